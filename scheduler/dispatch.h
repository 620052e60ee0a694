// Dispatch: how a ready NF gets the core. Both ends of each mechanism stand here, side by side:
// Waker is the vSwitch's, park() (park.h) the NF's. The protocol around them is in
// runtime/abi/wake.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/abi/region.h"
#include "runtime/abi/wake.h"
#include "runtime/base/types.h"
#include "scheduler/park.h"

namespace mayfly {

std::string_view dispatch_name(Dispatch dispatch);
absl::StatusOr<Dispatch> parse_dispatch(std::string_view name);  // the error lists the known ones

// The vSwitch's end. One system call a wake (`uring`: one for all wakes of a turn), none where the
// NF was found awake.
class Waker {
 public:
  virtual ~Waker() = default;
  // Only after the caller exchanged entry.word from kAsleep to kAwake.
  virtual void wake(SlotId slot, WakeEntry& entry) = 0;
  // Once a turn, after its wakes.
  virtual void submit() {}
  // Before a slot's process is forked: what it must inherit (an eventfd), -1 if nothing.
  virtual absl::StatusOr<int> prepare(SlotId slot, WakeEntry& entry) = 0;
};
// Where the kernel has no io_uring (or it is forbidden), `uring` wakes by eventfds one by one, which
// NFs cannot tell apart; `notice` then says so.
std::unique_ptr<Waker> make_waker(Dispatch dispatch, uint32_t slot_count,
                                  std::string* notice = nullptr);

}  // namespace mayfly
