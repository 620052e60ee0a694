// The keeper: a small process that starts the dataplane and whatever the dataplane asks for, and
// outlives any of them just long enough to clean up.
//
//     starting --ready--> running --signal, --for--> draining --report, exit 0--> done
//         \________________\_________________________/
//             the dataplane dies or says "error", or a second signal: kill everything, clean up
//
// Invariants: every child dies with its parent (PDEATHSIG); orphans (NFs whose zygote died) come
// to the keeper, which is their subreaper; when run() returns no descendant is alive and the run
// directory can go. One thread, one poll loop; nothing in it waits on anything a child controls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/base/types.h"
#include "runtime/config/config.h"
#include "runtime/keeper/run_outcome.h"

namespace mayfly {

struct RunOptions {
  std::string name = "default";
  std::optional<Nanos> run_for;  // from `ready` on
  std::string report_path;       // empty: none
  bool quiet = false;            // errors only
  std::string headline;          // printed once the checks have passed
  std::string dataplane;         // executable; empty: mayfly-dataplane beside this one
};

// Checks, runs, cleans up, prints. The exit code.
int run_keeper(Config config, const RunOptions& options);

}  // namespace mayfly
