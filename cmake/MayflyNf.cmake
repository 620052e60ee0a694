# mayfly_add_nf(NAME SOURCE...): an NF image, NAME.so, as the zygote loads it. Also part of the
# installed CMake package, for NFs built outside this tree.
set(MAYFLY_NF_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/nf.map)

function(mayfly_add_nf name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE mayfly::sdk)
  # A project that sets no build type still gets an NF of full speed.
  target_compile_options(${name} PRIVATE $<$<CONFIG:>:-O2>)
  # Lean: nothing exported but the entry point, no C++ runtime to relocate in every parent.
  target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL
                      -Wl,-z,now -Wl,--version-script=${MAYFLY_NF_EXPORTS})
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" CXX_VISIBILITY_PRESET hidden
                        VISIBILITY_INLINES_HIDDEN ON LINK_DEPENDS ${MAYFLY_NF_EXPORTS})
  if(MAYFLY_NF_OUTPUT_DIRECTORY)
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY
                          ${MAYFLY_NF_OUTPUT_DIRECTORY})
  endif()
endfunction()
