// The idle instances of one NF, apart by the core they run on. Each core's are a stack: the last one
// used is the warmest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/types.h"

namespace mayfly {

class IdlePool {
 public:
  // Nothing is allocated later.
  void reserve(uint32_t cores, uint32_t slots) {
    stacks_.resize(cores);
    for (auto& stack : stacks_) stack.reserve(slots);
  }

  void push(SlotId slot, uint32_t core) {
    stacks_[core].push_back(slot);
    ++size_;
  }
  // From `wanted` if it has one, else from the core that has most; there must be one.
  SlotId pop(uint32_t wanted) {
    if (stacks_[wanted].empty())
      for (uint32_t i = 0; i < stacks_.size(); ++i)
        if (stacks_[i].size() > stacks_[wanted].size()) wanted = i;
    const SlotId slot = stacks_[wanted].back();
    stacks_[wanted].pop_back();
    --size_;
    return slot;
  }
  void erase(SlotId slot, uint32_t core) { size_ -= static_cast<uint32_t>(std::erase(stacks_[core], slot)); }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  std::vector<std::vector<SlotId>> stacks_;
  uint32_t size_ = 0;
};

}  // namespace mayfly
