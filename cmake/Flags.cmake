# Warnings are errors of style here, not of the build: a newer compiler must not break a user.
add_compile_options(-Wall -Wextra -Wno-unused-parameter -fno-omit-frame-pointer
                    $<$<CONFIG:Release>:-O3>)
# x86-64-v2 (SSE4.2, 2009) is what DPDK itself asks for.
# PREFETCHW beside it: a hint, which older processors ignore; without it a prefetch for writing is one
# for reading, and every line that the other core has had costs a second transfer.
add_compile_options(-march=x86-64-v2 -mtune=generic -mprfchw)
include_directories(${CMAKE_SOURCE_DIR})
if(MAYFLY_SANITIZE)
  add_compile_options(-fsanitize=${MAYFLY_SANITIZE} -g1 -O1)
  add_link_options(-fsanitize=${MAYFLY_SANITIZE})
endif()
find_program(MAYFLY_CCACHE ccache)
if(MAYFLY_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MAYFLY_CCACHE})
endif()
