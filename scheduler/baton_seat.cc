#include "scheduler/baton_seat.h"

#include "runtime/base/clock.h"
#include "scheduler/park.h"

namespace mayfly {

bool BatonSeat::mine() {
  head_.word = core_->head.load(std::memory_order_acquire);
  if (head_.parked()) return false;
  if (core_->entry(head_.index() - 1).load(std::memory_order_relaxed) != self_) return false;
  // An entry is rewritten only after the head has moved on.
  std::atomic_thread_fence(std::memory_order_acquire);
  return still_mine();
}

bool BatonSeat::mine_after_all() {
  WakeEntry& entry = control_.wake(SlotId{self_});
  entry.word.store(kAsleep, std::memory_order_relaxed);
  // Pairs with the granter, who moves the head first and looks at the word then; and with the
  // vSwitch, who publishes packets first and looks at the head then.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // Not earlier: who moves us to another core, and makes us its owner, looks at the word then.
  const uint32_t core = entry.core.load(std::memory_order_acquire);
  if (core < control_.header().core_count) core_ = &control_.core(core);
  return mine();
}

uint32_t BatonSeat::next(uint32_t& index) const {
  // acquire pairs with the vSwitch's release: the entries below the tail are written.
  const uint32_t tail = core_->tail.load(std::memory_order_acquire);
  if (tail - index > kReadyEntries) return kNobody;  // scribbled over, or we are far behind
  while (index != tail) {
    const uint32_t slot = core_->entry(index++).load(std::memory_order_relaxed);
    if (slot < control_.header().slot_count) return slot;
  }
  return kNobody;
}

bool BatonSeat::exchange(BatonHead to) {
  // seq_cst: a full fence, before what the caller reads next (other rings, the tail).
  if (!core_->head.compare_exchange_strong(head_.word, to.word, std::memory_order_seq_cst))
    return false;
  head_ = to;
  return true;
}

BatonSeat::Passed BatonSeat::pass() {
  uint32_t index = head_.index();
  const uint32_t slot = next(index);
  if (slot == kNobody) return Passed::nobody;
  if (!exchange(BatonHead::make(head_.epoch(), false, index))) return Passed::lost;
  count(slot == self_ ? core_->kept : core_->handovers);
  if (slot == self_) return Passed::kept;
  wake(slot);
  return Passed::handed;
}

void BatonSeat::end_idle() {
  const uint64_t since = core_->idle_since.load(std::memory_order_relaxed);
  const uint64_t idle = core_->idle_cycles.load(std::memory_order_relaxed);
  core_->idle_cycles.store(idle + (tsc_now().n - since), std::memory_order_relaxed);
  core_->idle_since.store(0, std::memory_order_relaxed);
}

void BatonSeat::wake(uint32_t slot) const {
  WakeEntry& entry = control_.wake(SlotId{slot});
  if (entry.word.exchange(kAwake, std::memory_order_seq_cst) == kAsleep) futex_wake(entry.word);
}

bool BatonSeat::park() {
  if (!exchange(BatonHead::make(head_.epoch(), true, head_.index()))) return false;
  count(core_->parks);
  return true;
}

bool BatonSeat::anybody_waits() const {
  uint32_t index = head_.index();
  return next(index) != kNobody;
}

bool BatonSeat::unpark() {
  return exchange(BatonHead::make(head_.epoch(), false, head_.index()));
}

void BatonSeat::leave() {
  absence().store(Absence::away, std::memory_order_relaxed);
  // A locked operation, before the exchange that the vSwitch sees us gone by.
  core_->absences.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    const Passed passed = pass();
    if (passed == Passed::handed || passed == Passed::lost) return;
    if (passed == Passed::kept) continue;  // we stood in the queue, for a tick
    if (!park() || !anybody_waits() || !unpark()) return;
  }
}

void BatonSeat::come_back() {
  WakeEntry& entry = control_.wake(SlotId{self_});
  absence().store(Absence::back, std::memory_order_release);
  while (!mine()) {
    if (mine_after_all()) break;
    control_.doorbells().ring(SlotId{self_});
    mayfly::park(Dispatch::baton, entry, -1);
  }
  entry.word.store(kAwake, std::memory_order_relaxed);
  absence().store(Absence::present, std::memory_order_relaxed);
}

}  // namespace mayfly
