// The loop of an NF under the baton (runtime/abi/baton.h).
#include <errno.h>
#include <immintrin.h>

#include "nfpool/nf_loop.h"
#include "runtime/base/clock.h"
#include "scheduler/park.h"

namespace mayfly {

bool NfLoop::baton_turn(BatonSeat& seat) {
  if (!has_baton(seat)) return false;
  wake_.word.store(kAwake, std::memory_order_relaxed);
  hold_baton(seat);
  return true;
}

// If not, the word says that we sleep.
bool NfLoop::has_baton(BatonSeat& seat) {
  if (seat.mine()) return true;
  if (seat.mine_after_all()) return true;
  // Packets came while we still had the baton, or our budget was used up: the vSwitch must hear
  // that they wait.
  if (in_.waiting(slot_.from_switch.in_produced).value_or(0) != 0)
    env_.control.doorbells().ring(slot_id_);
  return false;
}

void NfLoop::hold_baton(BatonSeat& seat) {
  const uint64_t budget = env_.control.header().baton_budget;
  uint64_t until = packets_ + budget;
  uint64_t idle_since = 0;
  seat_ = &seat;
  clock_on();
  while (seat.still_mine()) {
    burst_max_ = burst_within(until - packets_, seat);
    if (turn()) {
      seat.note_work();
      idle_since = 0;
      if (packets_ < until && in_.waiting(slot_.from_switch.in_produced).value_or(0) != 0) continue;
    }
    if (idle_since == 0)
      report_held();
    else
      clock_on();  // the core was idle
    switch (seat.pass()) {
      case BatonSeat::Passed::nobody:
        if (!idle_with_baton(seat, idle_since)) return;
        [[fallthrough]];
      case BatonSeat::Passed::kept: until = packets_ + budget; break;
      case BatonSeat::Passed::handed:
      case BatonSeat::Passed::lost: return;
    }
  }
}

// Who waits is looked up only if it may make a difference.
uint32_t NfLoop::burst_within(uint64_t budget, const BatonSeat& seat) const {
  return budget < kNfBurst && seat.is_wanted() ? static_cast<uint32_t>(budget) : kNfBurst;
}

void NfLoop::clock_on() {
  if (env_.control.header().baton_reports_held != 0) held_since_ = tsc_now().n;
}

// What we worked since the clock was set: before the baton goes, so that whoever sees it gone sees
// this.
void NfLoop::report_held() {
  if (env_.control.header().baton_reports_held == 0) return;
  const uint64_t now = tsc_now().n;
  held_cycles_ += now - held_since_;
  held_since_ = now;
  slot_.from_nf.held_cycles.store(held_cycles_, std::memory_order_relaxed);
}

// Nobody waits. True: there is work, or there may soon be; false: the baton is not ours any more.
bool NfLoop::idle_with_baton(BatonSeat& seat, uint64_t& idle_since) {
  if (something_to_do()) {
    seat.count_kept();
    return true;
  }
  const uint64_t now = tsc_now().n;
  if (idle_since == 0) {
    idle_since = now;
    seat.note_idle(now);
  }
  if (now - idle_since < env_.control.header().baton_idle_cycles) {
    _mm_pause();
    return true;
  }
  if (!seat.park()) return false;
  // park() was a full fence: what came before it is seen here, what comes after it finds the baton
  // parked.
  idle_since = 0;
  return (seat.anybody_waits() || something_to_do()) && seat.unpark();
}

// ---------------------------------------------------------------------------------------------
// Waiting for something else

void NfLoop::hook(CoreHandle& handle, NfLoop* loop) {
  handle.loop = loop;
  handle.release = [](void* self) { static_cast<NfLoop*>(self)->release_core(); };
  handle.regain = [](void* self) { static_cast<NfLoop*>(self)->regain_core(); };
}

void NfLoop::release_core() {
  if (release_depth_++ != 0) return;
  report_held();
  away_since_ = tsc_now().n;
  seat_->leave();
}

// The NF asks for errno behind this.
void NfLoop::regain_core() {
  if (--release_depth_ != 0) return;
  const int error = errno;
  seat_->come_back();
  errno = error;
  away_cycles_ += tsc_now().n - away_since_;
  clock_on();
}

}  // namespace mayfly
