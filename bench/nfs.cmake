mayfly_bench(nf_cost
             SOURCES ${CMAKE_SOURCE_DIR}/bench/nf_cost.cc ${CMAKE_SOURCE_DIR}/nfs/firewall_rules.cc
                     ${CMAKE_SOURCE_DIR}/nfs/l3fwd_routes.cc
             LIBS mayfly::sdk ${CMAKE_DL_LIBS} PkgConfig::DPDK)
target_compile_definitions(nf_cost PRIVATE
                           MAYFLY_NF_IMAGES="${CMAKE_BINARY_DIR}/lib/mayfly/nfs"
                           MAYFLY_TEST_IMAGES="${CMAKE_BINARY_DIR}/tests/nfs")
add_dependencies(nf_cost nf_images)
