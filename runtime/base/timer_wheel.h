// A hierarchical timing wheel (Varghese and Lauck, SOSP 1987) over dense ids: arming, cancelling
// and firing cost O(1), advancing over empty time costs O(1) per level, whatever the number of
// timers, thanks to a 64-bit occupancy word per level. advance() does at most `budget` units of
// work (a fire or a move to a finer level) and goes on where it stopped, so that a million timers
// due at once never make one long turn.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace mayfly {

class TimerWheel {
 public:
  // `tick`: resolution. A timer never fires early, and at most one tick late (plus what the
  // caller's own rhythm and budget add).
  TimerWheel(uint32_t timer_count, Cycles tick, Cycles now);

  void arm(uint32_t timer, Cycles due);     // re-arms if armed; a due time in the past fires next
  void cancel(uint32_t timer);              // no-op if not armed
  bool armed(uint32_t timer) const;
  uint32_t armed_count() const;

  // Calls fire(id) for timers due at `now` (disarmed first: fire may arm it again). Returns the
  // number fired.
  template <class Fire>
  uint32_t advance(Cycles now, uint32_t budget, Fire&& fire);
};

}  // namespace mayfly
