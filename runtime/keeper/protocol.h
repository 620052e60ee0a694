// Keeper <-> dataplane: a SOCK_SEQPACKET pair, one JSON object per message, descriptors beside it
// (SCM_RIGHTS). The dataplane decides, the keeper does: it spawns, reaps, kills and cleans up.
//
// The keeper starts `mayfly-dataplane --keeper-fd N --config-fd M --run-dir DIR`: M is a memfd
// holding the configuration as CBOR; DIR is the run directory (api.sock goes there); PDEATHSIG is
// SIGKILL. SIGTERM asks the dataplane to drain, report and exit 0.
//
// dataplane -> keeper
//   {"op":"start_zygote","nf":NAME,"generation":G,"argv":[PATH,...]}   + descriptors; they become
//        3, 4, 5, ... in the child, in this order; everything else is closed there
//   {"op":"stop_zygote","nf":NAME,"generation":G}             SIGKILL it (its NFs die with it)
//   {"op":"starting","forked":N,"of":M}                       for the start-up progress line
//   {"op":"ready"}                                            traffic flows from here on
//   {"op":"stats", ...}                                       once a second; as GET /v1/stats
//   {"op":"notice","message":TEXT}                            a line for the operator
//   {"op":"error","message":TEXT}                             cannot start; then exits 2
//   {"op":"report"}   + one memfd with the --report JSON      the last message, then exits 0
// keeper -> dataplane
//   {"op":"zygote_started","nf":NAME,"generation":G,"pid":P}
//   {"op":"zygote_exited","nf":NAME,"generation":G,"status":WAITSTATUS}
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace mayfly {

inline constexpr size_t kKeeperMessageBytesMax = 128 * 1024;
inline constexpr size_t kKeeperDescriptorsMax = 16;

// One message each way. send: the kernel copies; recv: descriptors are appended to `fds` with
// CLOEXEC set, a closed peer is Status Unavailable, nothing waiting (non-blocking) is NotFound.
absl::Status send_message(int socket, const nlohmann::json& message,
                          const std::vector<int>& fds = {});
absl::StatusOr<nlohmann::json> receive_message(int socket, std::vector<int>& fds);

}  // namespace mayfly
