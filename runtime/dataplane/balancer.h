// Evens out several NF cores under dispatch `baton`: looks at their loads (VSwitch::sample_load)
// every 100 ms, and when one has had clearly more to do than another for three looks in a row, says
// how many of its instances are to move. Who has moved stays where it is for a while, so that
// instances do not wander to and fro.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "runtime/base/types.h"

namespace mayfly {

class Balancer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Move {
    uint32_t from, to;  // indices into cores.nfs
    double share;       // of the instances at work on `from`
  };

  // The load of each core: 1 is a core that always has something to do.
  std::optional<Move> look(std::span<const float> loads);
  // How many of `active` (those known to be at work there): all but one at most, and few at a time.
  static uint32_t count(const Move& move, uint32_t active);

  bool may_move(SlotId slot, Time now);
  void moved(SlotId slot, Time now) { moved_[raw(slot)] = now; }

  static constexpr auto kPeriod = std::chrono::milliseconds(100);
  static constexpr float kDifference = 0.25f;
  static constexpr int kLooks = 3;
  static constexpr uint32_t kMovesMax = 16;
  static constexpr auto kStay = std::chrono::seconds(2);

 private:
  uint32_t hot_ = 0, cool_ = 0;  // as of the last look
  int looks_ = 0;                // in a row with these
  std::unordered_map<uint32_t, Time> moved_;  // by slot: who moved lately; few
};

}  // namespace mayfly
