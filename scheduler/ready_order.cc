#include "scheduler/ready_order.h"

#include <algorithm>

namespace mayfly {
namespace {

// The first of the two comes later. Numbers of NFs that wait at a time are near each other.
bool later(const ReadyOrder::Entry& a, const ReadyOrder::Entry& b) {
  if (a.key != b.key) return a.key > b.key;
  return static_cast<int32_t>(a.number - b.number) > 0;
}

}  // namespace

ReadyOrder::ReadyOrder(bool by_key, uint32_t capacity) : capacity_(capacity) {
  if (by_key)
    heap_.reserve(capacity);
  else
    fifo_.resize(capacity);
}

void ReadyOrder::push(SlotId slot, uint64_t key, Cycles since) {
  heap_.push_back({key, since, number_++, slot});
  std::push_heap(heap_.begin(), heap_.end(), later);
  ++count_;
}

ReadyOrder::Entry ReadyOrder::pop_first() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const Entry first = heap_.back();
  heap_.pop_back();
  --count_;
  return first;
}

}  // namespace mayfly
