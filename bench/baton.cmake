find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  foreach(name baton idle)
    add_test(NAME bench.${name}
             COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/${name}.py --smoke
                     --mayfly ${CMAKE_BINARY_DIR}/bin/mayfly)
    set_tests_properties(bench.${name} PROPERTIES LABELS bench TIMEOUT 300 RUN_SERIAL ON)
  endforeach()
endif()
