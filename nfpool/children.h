// The instances of a zygote: which slot each child process has, and the other way round.
//
// Fork leaves every page that the zygote writes between two forks behind in the child made before
// the write, as a private copy that nobody reads. With thousands of children a table on the heap
// costs each of them two or three pages. So the table lies in a mapping that children do not
// inherit, indexed directly by pid and by slot: no allocation, and memory only where it is used.
#pragma once

#include <cstdint>

#include "runtime/base/limits.h"
#include "runtime/base/types.h"

namespace mayfly {

class Children {
 public:
  static constexpr uint32_t kPidMax = 1u << 22;  // the kernel's own bound

  bool map();  // false: no address space, errno says why

  void add(int pid, SlotId slot) {
    slot_of_[pid] = raw(slot) + 1;
    pid_of_[index(slot)] = pid;
  }
  // The slot of a child that has ended, and forgets it; kNone if it is not in the table.
  SlotId remove(int pid) {
    const uint32_t found = slot_of_[pid];
    if (found == 0) return kNone<SlotId>;
    slot_of_[pid] = 0;
    pid_of_[found - 1] = 0;
    return SlotId{found - 1};
  }
  // 0: the slot has no process.
  int pid_of(SlotId slot) const { return index(slot) < kSlotCountMax ? pid_of_[index(slot)] : 0; }

 private:
  uint32_t* slot_of_ = nullptr;  // [kPidMax + 1], slot + 1
  int* pid_of_ = nullptr;        // [kSlotCountMax]
};

}  // namespace mayfly
