mayfly_bench(flow_lookup SOURCES flow_lookup.cc
             LIBS mayfly_flowdir absl::flat_hash_map absl::hash)
