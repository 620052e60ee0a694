// What NFs give back through the ring that they share (`downstream: shared`). Whose an entry is, is
// what its producer wrote: a number out of range or of a slot without a process is nobody's,
// counted and ignored. Everything else goes through the checks of collect.cc, in the name of that
// slot.
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

// Takes kCollectMax descriptors at most. There is nothing to look for: one line says what has come.
bool VSwitch::collect_shared(Cycles now) {
  Returned returned[kCollectMax];
  const uint32_t count = take_shared(returned);
  if (count != 0) pass_on({returned, count}, now);
  return count != 0;
}

// Before a slot is used again: all that its dead process gave back. A process whose death was
// reported writes no more, so an entry of its is within one ring's length of where we are: after
// this, whatever comes in that slot's name is its successor's. Bounded by the ring.
void VSwitch::drain_shared(Cycles now) {
  Returned returned[kCollectMax];
  const uint64_t end = shared_ring_.taken() + shared_ring_.size();
  uint64_t before;
  do {
    before = shared_ring_.taken();
    pass_on({returned, take_shared(returned)}, now);
  } while (shared_ring_.taken() != before && before < end);
}

uint32_t VSwitch::take_shared(std::span<Returned> out) {
  SharedRingConsumer::Entry entries[kCollectMax];
  const uint32_t taken = shared_ring_.take({entries, std::min<size_t>(out.size(), kCollectMax)});
  for (uint32_t i = 0; i < taken; ++i) {
    const Descriptor d = entries[i].descriptor;
    if (raw(entries[i].slot) < slot_count_)
      __builtin_prefetch(&instances_[index(entries[i].slot)], 1);
    if (raw(d.buffer()) < arena_.buffer_count()) __builtin_prefetch(&arena_.meta(d.buffer()), 1);
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < taken; ++i) {
    const SlotId slot = entries[i].slot;
    if (raw(slot) >= slot_count_ || instances_[index(slot)].state == InstanceState::free)
      ++strays_;
    else
      out[count++] = {slot, entries[i].descriptor};
  }
  return count;
}

void VSwitch::pass_on(std::span<const Returned> returned, Cycles now) {
  Hop hops[kCollectMax];
  uint32_t hop_count = 0;
  for (const Returned& r : returned) {
    hop_count += take_back(r, now, hops[hop_count]);
    // The NF's own mark of what was heard (nfpool/nf_output.h): here, its requests.
    if (static_cast<FromNf>(r.descriptor.op()) == FromNf::ask_blanks) {
      Instance& instance = instances_[index(r.slot)];
      instance.slot->from_switch.out_consumed.store(++instance.out_consumed,
                                                    std::memory_order_relaxed);
    }
  }
  forward({hops, hop_count});
  // Only now: a packet between two NFs is held by neither.
  for (const Returned& r : returned) {
    const Instance& instance = instances_[index(r.slot)];
    if (instance.state == InstanceState::draining && instance.held == 0)
      finish_if_drained(instance.binding);
  }
}

}  // namespace mayfly
