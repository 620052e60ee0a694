// The bodies of PATCH /v1/ports/NAME and PATCH /v1/wake.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "runtime/api/dataplane_api.h"
#include "runtime/config/config.h"

namespace mayfly {

// {"rate": "1.5Mpps"} or {"rate": "max"}: packets a second, 0 for max.
absl::StatusOr<double> parse_rate_request(const std::string& body);

// {"batch": 32 | "adaptive", "aging": "100us" | "off", "chain": NAME | "nf": NAME, "inherit": true}
// `config` knows the names and bounds; values are checked as in its `wake:` section.
absl::StatusOr<WakeChange> parse_wake_request(const std::string& body, const Config& config);

}  // namespace mayfly
