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

#include "runtime/abi/baton.h"
#include "runtime/base/clock.h"
#include "runtime/base/types.h"

namespace mayfly {

class BatonQueue {
 public:
  explicit BatonQueue(CoreBaton& core);

  bool full() const { return tail_ - head_.index() >= kReadyEntries - 2; }
  uint32_t waiting() const { return tail_ - head_.index(); }  // as of the last look()
  void push(SlotId slot, Cycles now);
  // Shows holders what was pushed. A full fence must follow before look().
  void publish() { core_.tail.store(tail_, std::memory_order_release); }

  // Reads the head. on_taken(slot, pushed_at) for every NF whose turn has come since.
  // False: the head was not where it can be, and a new epoch has begun.
  template <class OnTaken>
  bool look(OnTaken&& on_taken) {
    const BatonHead head{core_.head.load(std::memory_order_acquire)};
    if (head == head_) return true;
    const bool sane = head.epoch() == head_.epoch() && head.index() - head_.index() <= waiting();
    if (!sane) {
      restart();
      return false;
    }
    while (head_.index() != head.index()) take_one(on_taken);
    head_ = head;
    return true;
  }

  bool parked() const { return head_.parked(); }
  // The NF that owns the baton, as of the last look; kNone while it is parked.
  SlotId owner() const { return parked() ? kNone<SlotId> : SlotId{last_}; }
  BatonHead head() const { return head_; }

  // If it is parked and somebody waits: he gets it, and must be woken.
  template <class OnTaken>
  SlotId grant(OnTaken&& on_taken) {
    return parked() ? move_on(head_.epoch(), on_taken) : kNone<SlotId>;
  }
  // Takes the baton from its owner. The next gets it and must be woken; kNone: nobody waits (it is
  // parked then), or the head has moved meanwhile (look() will tell).
  template <class OnTaken>
  SlotId revoke(OnTaken&& on_taken) {
    const uint32_t epoch = (head_.epoch() + 1) & 0x7fffffff;
    if (skip_dead() != tail_) return move_on(epoch, on_taken);
    swap(BatonHead::make(epoch, true, head_.index()));
    return kNone<SlotId>;
  }
  // Its NF died; true if it waited here.
  bool forget(SlotId slot);

  CoreBaton& core() { return core_; }

 private:
  struct Entry {
    uint32_t slot = kNobody;
    Cycles pushed{0};
  };
  Entry& entry(uint32_t index) { return order_[index % kReadyEntries]; }

  template <class OnTaken>
  void take_one(OnTaken&& on_taken) {
    const Entry& e = entry(head_.index());
    last_ = e.slot;
    if (e.slot != kNobody) on_taken(SlotId{e.slot}, e.pushed);
    head_.word = BatonHead::make(head_.epoch(), head_.parked(), head_.index() + 1).word;
  }
  // The index of the first that waits and lives; the tail if there is none.
  uint32_t skip_dead() {
    uint32_t i = head_.index();
    while (i != tail_ && entry(i).slot == kNobody) ++i;
    return i;
  }
  template <class OnTaken>
  SlotId move_on(uint32_t epoch, OnTaken&& on_taken) {
    const uint32_t first = skip_dead();
    if (first == tail_) return kNone<SlotId>;
    const BatonHead to = BatonHead::make(epoch, false, first + 1);
    if (!swap_shared(to)) return kNone<SlotId>;
    while (head_.index() != to.index()) take_one(on_taken);
    head_ = to;
    return SlotId{last_};
  }
  bool swap_shared(BatonHead to) {
    uint64_t expected = head_.word;
    return core_.head.compare_exchange_strong(expected, to.word, std::memory_order_seq_cst);
  }
  bool swap(BatonHead to) {
    if (!swap_shared(to)) return false;
    head_ = to;
    return true;
  }
  void restart();

  CoreBaton& core_;
  BatonHead head_;        // as last seen
  uint32_t tail_ = 0;
  uint32_t last_ = kNobody;
  std::array<Entry, kReadyEntries> order_{};
};

}  // namespace mayfly
