add_executable(trivial_process trivial_process.cc)
target_link_options(trivial_process PRIVATE -static)
set_target_properties(trivial_process PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
mayfly_bench(process_cost SOURCES process_cost.cc LIBS mayfly_abi mayfly_arena)
target_compile_definitions(process_cost PRIVATE
                           MAYFLY_BIN="${CMAKE_BINARY_DIR}/bin"
                           MAYFLY_NF_IMAGES="${CMAKE_BINARY_DIR}/lib/mayfly/nfs"
                           MAYFLY_TRIVIAL="${CMAKE_BINARY_DIR}/bench/trivial_process")
add_dependencies(process_cost trivial_process mayfly-zygote nf_images)
mayfly_bench(bind_cost SOURCES bind_cost.cc LIBS mayfly_vswitch mayfly_nf_side)
target_compile_definitions(bind_cost PRIVATE MAYFLY_NF_IMAGES="${CMAKE_BINARY_DIR}/lib/mayfly/nfs")
add_dependencies(bind_cost nf_images)
