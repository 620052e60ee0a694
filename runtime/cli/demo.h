// The demo's configuration: one flow per tenant from the built-in source, each through NF
// instances of its own.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/keeper/host.h"

namespace mayfly {

struct DemoPlan {
  uint32_t tenants = 1000;
  uint32_t chain = 2;  // NFs a packet crosses
  std::string rate, dispatch;
  uint32_t vswitch_core = 0, nf_core = 0;
  std::vector<std::string> notes;  // what was reduced, and why
};

// Fits the wish to the host: fewer tenants if processes or memory would not do; the
// first two usable cores.
absl::StatusOr<DemoPlan> plan_demo(DemoPlan wish, const HostFacts& host);

std::string demo_config(const DemoPlan& plan);  // YAML

}  // namespace mayfly
