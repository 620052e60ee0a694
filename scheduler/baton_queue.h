// The vSwitch's end of one core's baton (runtime/abi/baton.h has the protocol): it decides the
// order, sees who has had his turn, wakes the first when the baton is parked, and revokes.
//
// Nothing that lies in shared memory is believed: the order is kept in a private copy, and a head
// that is not where it can be is a violation, mended by a new epoch that begins where the last one
// was seen.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/abi/baton.h"
#include "runtime/base/clock.h"
#include "runtime/base/types.h"

namespace mayfly {

class BatonQueue {
 public:
  explicit BatonQueue(CoreBaton& core);

  // As of the last look(). Those that died while they waited take room, but do not wait.
  bool full() const { return length() >= kReadyEntries - 2; }
  uint32_t waiting() const { return length() - dead_; }
  void push(SlotId slot, Cycles now);
  void set_wanted(bool wanted) {
    if (std::exchange(wanted_, wanted) != wanted)
      core_.wanted.store(wanted, std::memory_order_relaxed);
  }
  // What waits, the next first.
  template <class F>
  void for_each_waiting(F&& f) const {
    for (uint32_t i = head_.index(); i != tail_; ++i)
      if (const uint32_t slot = order_[i % kReadyEntries].slot; slot != kNobody) f(SlotId{slot});
  }
  // Shows holders what was pushed. A full fence must follow before look().
  void publish() { core_.tail.store(tail_, std::memory_order_release); }

  // Reads the head. on_taken(slot, pushed_at) for every NF whose turn has come since.
  // False: the head was not where it can be, and a new epoch has begun.
  template <class OnTaken>
  bool look(OnTaken&& on_taken) {
    const BatonHead head{core_.head.load(std::memory_order_acquire)};
    if (head == head_) return true;
    const bool sane = head.epoch() == head_.epoch() && head.index() - head_.index() <= length();
    if (!sane) {
      restart();
      return false;
    }
    while (head_.index() != head.index()) take_one(on_taken);
    head_ = head;
    return true;
  }

  bool parked() const { return head_.parked(); }
  // The NF that owns the baton, as of the last look; kNone while it is parked, or was handed to one
  // that had died.
  SlotId owner() const { return parked() ? kNone<SlotId> : SlotId{last_}; }
  BatonHead head() const { return head_; }

  // If it is parked and somebody waits: he gets it, and must be woken.
  template <class OnTaken>
  SlotId grant(OnTaken&& on_taken) {
    return parked() && length() != 0 ? move_on(on_taken) : kNone<SlotId>;
  }
  // Takes the baton from its owner. The next gets it and must be woken; kNone: nobody waits (it is
  // parked then), or the head has moved meanwhile (look() will tell).
  template <class OnTaken>
  SlotId revoke(OnTaken&& on_taken) {
    return move_on(on_taken);
  }
  // Its NF died; true if it waited here.
  bool forget(SlotId slot);

  const CoreBaton& core() const { return core_; }

 private:
  struct Entry {
    uint32_t slot = kNobody;
    Cycles pushed{0};
  };
  static_assert(raw(kNone<SlotId>) == kNobody);
  Entry& entry(uint32_t index) { return order_[index % kReadyEntries]; }
  uint32_t length() const { return tail_ - head_.index(); }

  template <class OnTaken>
  void take_one(OnTaken&& on_taken) {
    const Entry& e = entry(head_.index());
    last_ = e.slot;
    if (e.slot != kNobody)
      on_taken(SlotId{e.slot}, e.pushed);
    else
      --dead_;
    head_.word = BatonHead::make(head_.epoch(), head_.parked(), head_.index() + 1).word;
  }
  // The index of the first that waits and lives; the tail if there is none.
  uint32_t skip_dead() {
    uint32_t i = head_.index();
    while (i != tail_ && entry(i).slot == kNobody) ++i;
    return i;
  }
  uint32_t new_epoch() const { return (head_.epoch() + 1) & 0x7fffffff; }
  // In a new epoch, the first that lives gets it; if there is none, it is parked behind the dead.
  template <class OnTaken>
  SlotId move_on(OnTaken&& on_taken) {
    const uint32_t first = skip_dead();
    const bool nobody = first == tail_;
    const BatonHead to = BatonHead::make(new_epoch(), nobody, nobody ? tail_ : first + 1);
    uint64_t expected = head_.word;
    if (!core_.head.compare_exchange_strong(expected, to.word, std::memory_order_seq_cst))
      return kNone<SlotId>;
    while (head_.index() != to.index()) take_one(on_taken);
    head_ = to;
    return owner();
  }
  void restart();

  CoreBaton& core_;
  BatonHead head_;        // as last seen
  uint32_t tail_ = 0;
  uint32_t dead_ = 0;     // between head and tail
  uint32_t last_ = kNobody;
  bool wanted_ = false;
  std::array<Entry, kReadyEntries> order_{};
};

}  // namespace mayfly
