// Where an NF gives its descriptors back: a ring of its own and its doorbell, or the ring that all
// NFs of the domain share (runtime/abi/shared_ring.h).
#pragma once

#include <time.h>

#include <cstdint>

#include "runtime/abi/region.h"

namespace mayfly {

class NfOutput {
 public:
  NfOutput(const ControlView& control, SlotId id)
      : slot_id_(id),
        slot_(control.slot(id)),
        own_(slot_.out_entries(control.header().ring_entries), control.header().ring_entries - 1),
        doorbells_(control.doorbells()),
        shared_(control.shared_ring(), id) {}

  // The vSwitch sees it after publish(); in a shared ring it may do so at once. Room there is,
  // unless an NF that misbehaves has filled the shared ring: then this waits for the vSwitch, which
  // takes whatever is there.
  void write(Descriptor d) {
    if (!shared_.exists()) return own_.write(d);
    while (!shared_.push(d)) nap();
  }
  void publish() {
    if (shared_.exists()) return shared_.publish();
    own_.publish(slot_.from_nf.out_produced);
    doorbells_.ring(slot_id_);
  }

  // A request for blanks, one at a time, and whether the vSwitch has read it: `out_consumed` counts
  // what it took from a ring of our own, and our requests from a shared one.
  uint32_t ask(Descriptor d) {
    write(d);
    return shared_.exists() ? asks_++ : own_.written() - 1;
  }
  bool heard(uint32_t mark) const {
    const uint32_t heard = slot_.from_switch.out_consumed.load(std::memory_order_relaxed);
    return static_cast<int32_t>(heard - mark) > 0;
  }

 private:
  static void nap() {
    const timespec t{0, 100'000};
    nanosleep(&t, nullptr);
  }

  SlotId slot_id_;
  Slot& slot_;
  RingProducer own_;
  DoorbellView doorbells_;
  SharedRingProducer shared_;
  uint32_t asks_ = 0;
};

}  // namespace mayfly
