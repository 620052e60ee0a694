// A wire through network namespaces: frames leave by interface `NAME<tenant>` of one namespace and
// come back on any interface of another.
//
//   source namespace                                                      sink namespace
//   sendmmsg, a packet to each tenant's interface -> [ tenant 0 ] -> one packet socket for all
//                                                    [ tenant 1 ]    interfaces, mapped ring
//                                                         ...
//
// No queueing discipline (PACKET_QDISC_BYPASS), no copy on the way in (TPACKET_V2 ring; version 3
// would hold packets back until a block is full): as little as a program can cost the kernel.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "instrument/load/engine.h"

namespace mayfly::load {

struct RawPlan {
  std::string source_netns, sink_netns;  // paths
  std::string interface;                 // "t": t0, t1, ...
  uint32_t tenant_count = 0;
};
absl::StatusOr<std::unique_ptr<Wire>> open_raw(const RawPlan& plan);

}  // namespace mayfly::load
