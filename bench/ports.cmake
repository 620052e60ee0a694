mayfly_bench(ports_bench SOURCES ports.cc LIBS mayfly_ports PkgConfig::DPDK)
