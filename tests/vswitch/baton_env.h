// NFs under the baton on the moved clock: who is ready, who has the core, and who dies holding it.
#pragma once

#include <array>
#include <string>

#include "tests/vswitch/env.h"

namespace mayfly {

class BatonTest : public VSwitchTest {
 protected:
  Config with_baton(KeyBy by = KeyBy::src_ip) {
    Config c = two_ports({"x"}, by);
    c.dispatch = Dispatch::baton;
    c.wake.aging = kNever;
    return c;
  }
  // NFs for hosts 1 to `count`, bound in this order, at rest; `order` says who works from then on.
  void bind_hosts(uint8_t count) {
    const auto slots = give(0, count);
    for (uint8_t host = 1; host <= count; ++host) {
      port(0).in.push_back(udp(host));
      settle();
      slot_of_[host] = slots[slots.size() - host];
      nf(slot_of_[host]).on_burst = [this, host](Burst&) {
        order_ += static_cast<char>('0' + host);
      };
    }
    port(1).out.clear();
    waker_.woken.clear();
    ASSERT_TRUE(queue().parked());
  }
  void arrive(uint8_t host, uint32_t number = 0) { port(0).in.push_back(udp(host, 1000, number)); }
  SlotId of(uint8_t host) const { return slot_of_[host]; }
  BatonSeat& seat(uint8_t host) { return *seats_[index(of(host))]; }
  const CoreRecord& core(uint32_t i = 0) { return vswitch_->core(i); }
  const BatonQueue& queue() { return core().queue; }
  CoreBaton& shared() { return control_.core(0); }
  void die(SlotId slot) {
    loops_[index(slot)].reset();
    const DeathReport report{slot, false};
    vswitch_->on_deaths({&report, 1}, now_);
  }
  // Turns in which no NF does anything.
  void wait(Nanos time, Nanos step = micros(10)) {
    for (int64_t t = 0; t < time.n; t += step.n) turn(step);
  }
  static std::array<SlotId, 64> no_slots() {
    std::array<SlotId, 64> none;
    none.fill(kNone<SlotId>);
    return none;
  }
  // The holder hands over, and is killed before it wakes the next.
  void hand_over_without_wake() {
    BatonHead head{shared().head.load()};
    shared().head.store(BatonHead::make(head.epoch(), false, head.index() + 1).word);
  }

  std::array<SlotId, 64> slot_of_ = no_slots();
  std::string order_;
};

}  // namespace mayfly
