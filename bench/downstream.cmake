mayfly_bench(collect_cost SOURCES collect_cost.cc LIBS mayfly_abi)

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME bench.downstream
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/downstream.py --smoke
                   --mayfly ${CMAKE_BINARY_DIR}/bin/mayfly)
  set_tests_properties(bench.downstream PROPERTIES LABELS bench TIMEOUT 300 RUN_SERIAL ON)
endif()
