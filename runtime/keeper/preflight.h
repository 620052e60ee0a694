// The checks before anything is started: a run that cannot work is refused with the remedy, one
// that will run short later is told so now.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/config/config.h"
#include "runtime/keeper/host.h"

namespace mayfly {

struct Preflight {
  std::vector<std::string> errors;  // any: do not start (exit 2)
  std::vector<std::string> notes;   // what the run does without, or may run out of
};

// What a configuration will need.
struct RunNeeds {
  uint64_t processes_at_start = 0;  // zygotes and idle instances
  uint64_t processes_max = 0;       // with every pool at its maximum
  uint64_t arena_bytes = 0;
  uint64_t control_bytes = 0;      // slots and wake table
  uint64_t nf_bytes_at_start = 0;  // private memory of the idle instances
  uint64_t descriptors_max = 0;    // of the dataplane
};
RunNeeds run_needs(const Config& config);

Preflight check_before_start(const Config& config, const HostFacts& host);

}  // namespace mayfly
