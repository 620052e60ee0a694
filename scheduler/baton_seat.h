// The NF's end of the baton (runtime/abi/baton.h has the protocol). Like park.h it stands apart, so
// that an NF process links nothing else of the scheduler.
#pragma once

#include "runtime/abi/baton.h"
#include "runtime/abi/region.h"

namespace mayfly {

class BatonSeat {
 public:
  BatonSeat(const ControlView& control, uint32_t core, SlotId self)
      : control_(control), core_(&control.core(core)), self_(raw(self)) {}

  // To wait for something else: gives the baton to whoever is next, or to the vSwitch, if it is ours.
  void leave();
  // Sleeps until it is ours again.
  void come_back();

  // Is the baton ours? Looks at the head; only then may the others be called.
  bool mine();
  // Before sleeping: says in the wake entry that we do, then looks again, at the core where we are
  // now. True: no sleep, the baton is ours.
  bool mine_after_all();
  // Has the head stayed as it was since then? (Not: revoked.)
  bool still_mine() const { return core_->head.load(std::memory_order_relaxed) == head_.word; }

  enum class Passed : uint8_t {
    nobody,  // nobody waits: it is still ours
    kept,    // we were the next ourselves
    handed,  // another has it, and was woken
    lost,    // it had been revoked
  };
  Passed pass();

  // For people: more work came while nobody waited, so that no switch was needed.
  void count_kept() { count(core_->kept); }

  // For the balance between cores: the holder has nothing to do since `tsc`; it, or one after it, has.
  void note_idle(uint64_t tsc) {
    if (core_->idle_since.load(std::memory_order_relaxed) == 0)
      core_->idle_since.store(tsc, std::memory_order_relaxed);
  }
  void note_work() {
    if (core_->idle_since.load(std::memory_order_relaxed) != 0) end_idle();
  }

  // Gives it to the vSwitch. False: it was revoked. Afterwards the caller must look whether there
  // is work meanwhile, and then unpark() or sleep.
  bool park();
  bool anybody_waits() const;
  // Does anybody else want the core, in the queue or not?
  bool is_wanted() const {
    return core_->wanted.load(std::memory_order_relaxed) != 0 || anybody_waits();
  }
  // Takes it back; false: somebody else has it now.
  bool unpark();

 private:
  // The first that waits, or kNobody; `index` is moved past it.
  uint32_t next(uint32_t& index) const;
  bool exchange(BatonHead to);
  void end_idle();
  void wake(uint32_t slot) const;
  // Holders alone write the counters, one at a time.
  static void count(std::atomic<uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::atomic<Absence>& absence() const { return control_.slot(SlotId{self_}).from_nf.absence; }

  ControlView control_;
  CoreBaton* core_;
  uint32_t self_;
  BatonHead head_;
};

}  // namespace mayfly
