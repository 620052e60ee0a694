mayfly_bench(bare_futex SOURCES bare_futex.cc LIBS mayfly_abi)

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME bench.whole_path
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/whole_path.py --smoke
                   --mayfly ${CMAKE_BINARY_DIR}/bin/mayfly)
  set_tests_properties(bench.whole_path PROPERTIES LABELS bench TIMEOUT 300 RUN_SERIAL ON)
endif()
