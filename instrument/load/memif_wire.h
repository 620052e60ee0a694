// A wire to another DPDK process, over net_memif: shared memory, one queue each way. Source and
// sink belong in one thread. The peer is the client; open_memif() returns when it has connected.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "instrument/load/engine.h"

namespace mayfly::load {

struct MemifPlan {
  std::string socket;       // path
  std::string file_prefix;  // of this EAL
  bool huge_pages = false;
  int cpu = 0;
};
absl::StatusOr<std::unique_ptr<Wire>> open_memif(const MemifPlan& plan);

}  // namespace mayfly::load
