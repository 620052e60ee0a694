// What changes and is measured while traffic flows: wake settings, measuring windows. Each call is
// short or takes a range of slots, so that the caller bounds the turn that it runs in.
#include <algorithm>

#include "runtime/vswitch/vswitch.h"

namespace mayfly {

WakeParams wake_params_of(const Config& config, const WakeConfig& wake, TscRate rate) {
  WakeParams params;
  // A polling NF never sleeps while bound: whatever arrives first must wake an idle one.
  params.batch = config.dispatch == Dispatch::poll ? 1 : wake.batch;
  params.adaptive = config.dispatch != Dispatch::poll && wake.adaptive;
  params.aging = wake.aging == kNever ? kNoAging : rate.cycles(wake.aging);
  params.batch_max = config.ring_entries / 2;
  return params;
}

// Instances point at these: the next packet of each meets the new ones.
void VSwitch::set_wake(ChainId chain, uint32_t position, const WakeConfig& wake) {
  chains_[index(chain)].wake[position] = wake_params_of(config_, wake, rate_);
}

// A shorter ageing time does not reach a timer that runs already, and where there was none, none
// would ever be armed: whoever waits is called now. One wake too early at most, for each.
void VSwitch::call_waiting(SlotId first, uint32_t count) {
  const uint32_t end = std::min(raw(first) + count, slot_count_);
  for (uint32_t s = raw(first); s < end; ++s) {
    const Instance& instance = instances_[s];
    if (instance.state != InstanceState::bound && instance.state != InstanceState::draining)
      continue;
    if (instance.wake.waiting != 0 && instance.held != 0) call_ready(SlotId{s});
  }
}

bool VSwitch::begin_window() {
  if (window_ == UINT8_MAX) return false;
  ++window_;
  returned_ = 0;
  turns_.window_worst_cycles = 0;
  return true;
}

// Numbers start again with the range that begins at slot 0.
void VSwitch::forget_windows(SlotId first, uint32_t count) {
  if (raw(first) == 0) {
    window_ = 1;
    returned_ = 0;
  }
  const uint32_t end = std::min(raw(first) + count, slot_count_);
  for (uint32_t s = raw(first); s < end; ++s) instances_[s].window = 0;
}

}  // namespace mayfly
