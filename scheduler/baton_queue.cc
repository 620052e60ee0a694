#include "scheduler/baton_queue.h"

namespace mayfly {

BatonQueue::BatonQueue(CoreBaton& core) : core_(core) {
  head_ = BatonHead::make(1, true, 0);  // nobody has it
  core_.tail.store(0, std::memory_order_relaxed);
  core_.wanted.store(0, std::memory_order_relaxed);
  core_.head.store(head_.word, std::memory_order_relaxed);
  core_.idle_since.store(1, std::memory_order_relaxed);  // for ever
  for (auto& e : core_.entries) e.store(kNobody, std::memory_order_relaxed);
}

void BatonQueue::push(SlotId slot, Cycles now) {
  entry(tail_) = {raw(slot), now};
  core_.entry(tail_).store(raw(slot), std::memory_order_relaxed);
  ++tail_;
}

bool BatonQueue::forget(SlotId slot) {
  bool waited = false;
  for (uint32_t i = head_.index(); i != tail_; ++i) {
    if (entry(i).slot != raw(slot)) continue;
    entry(i).slot = kNobody;
    core_.entry(i).store(kNobody, std::memory_order_relaxed);
    ++dead_;
    waited = true;
  }
  return waited;
}

// Somebody scribbled over the core's words: all are written anew, from the private copy.
void BatonQueue::restart() {
  head_ = BatonHead::make(new_epoch(), true, head_.index());
  for (uint32_t i = head_.index(); i != tail_; ++i)
    core_.entry(i).store(entry(i).slot, std::memory_order_relaxed);
  core_.tail.store(tail_, std::memory_order_release);
  core_.head.store(head_.word, std::memory_order_seq_cst);
}

}  // namespace mayfly
