// The NFs of one core that are ready and not yet in the queue that holders see (baton_queue.h): a
// FIFO, or the lowest key first and among equal keys the first that came. What the keys are is for
// others to say. Each NF is in it at most once, so that it never grows past its capacity, and
// nothing allocates after it was made.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace mayfly {

class ReadyOrder {
 public:
  struct Entry {
    uint64_t key;
    Cycles since;     // when it became ready
    uint32_t number;  // of all that ever joined, modulo 2^32
    SlotId slot;
  };

  ReadyOrder(bool by_key, uint32_t capacity);

  bool empty() const { return count_ == 0; }
  uint32_t size() const { return count_; }

  // FIFO.
  void push(SlotId slot) {
    const uint32_t tail = head_ + count_++;
    fifo_[tail >= capacity_ ? tail - capacity_ : tail] = slot;
  }
  SlotId pop() {
    const SlotId slot = fifo_[head_];
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    --count_;
    return slot;
  }

  // By key.
  void push(SlotId slot, uint64_t key, Cycles since);
  const Entry& first() const { return heap_.front(); }
  Entry pop_first();

 private:
  uint32_t capacity_, head_ = 0, count_ = 0, number_ = 0;
  std::vector<SlotId> fifo_;
  std::vector<Entry> heap_;
};

}  // namespace mayfly
