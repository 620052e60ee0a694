mayfly_bench(ring_bench SOURCES ring.cc LIBS mayfly_abi PkgConfig::DPDK)
