#include "runtime/dataplane/balancer.h"

#include <algorithm>
#include <cmath>

namespace mayfly {

std::optional<Balancer::Move> Balancer::look(std::span<const float> loads) {
  const auto [coolest, hottest] = std::minmax_element(loads.begin(), loads.end());
  const auto hot = static_cast<uint32_t>(hottest - loads.begin());
  const auto cool = static_cast<uint32_t>(coolest - loads.begin());
  const float difference = *hottest - *coolest;
  if (difference < kDifference || hot != hot_ || cool != cool_) looks_ = 0;
  hot_ = hot;
  cool_ = cool;
  if (difference < kDifference || ++looks_ < kLooks) return std::nullopt;
  looks_ = 0;
  return Move{hot, cool, difference / 2 / *hottest};
}

uint32_t Balancer::count(const Move& move, uint32_t active) {
  if (active < 2) return 0;
  const auto wanted = static_cast<uint32_t>(std::lround(active * move.share));
  return std::clamp(wanted, 1u, std::min(active - 1, kMovesMax));
}

bool Balancer::may_move(SlotId slot, Time now) {
  std::erase_if(moved_, [&](const auto& entry) { return now - entry.second > kStay; });
  return !moved_.contains(raw(slot));
}

}  // namespace mayfly
