// When NFs are woken: batch, ageing, and never too late.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

using WakeTest = VSwitchTest;

TEST_F(WakeTest, ASleepingNfIsWokenAtTheBatch) {
  Config c = two_ports({"x"});
  c.wake.batch = 4;
  start(c);
  give(0, 1);
  for (uint32_t i = 0; i < 3; ++i) {
    port(0).in.push_back(udp(1));
    turn();
  }
  EXPECT_TRUE(waker_.woken.empty());
  port(0).in.push_back(udp(1));
  turn();
  EXPECT_EQ(waker_.woken.size(), 1u);
  EXPECT_EQ(vswitch_->wakes().wakes, 1u);
  EXPECT_EQ(vswitch_->wakes().woken_packets, 4u);
}

TEST_F(WakeTest, OrWhenTheOldestHasWaitedLongEnough) {
  Config c = two_ports({"x"});
  c.wake.batch = 32;
  c.wake.aging = micros(100);
  start(c);
  give(0, 1);
  port(0).in.push_back(udp(1));
  turn(micros(50));
  turn(micros(40));
  EXPECT_TRUE(waker_.woken.empty());
  turn(micros(20));
  turn();
  EXPECT_EQ(waker_.woken.size(), 1u);
}

TEST_F(WakeTest, AnAwakeNfCostsNoSystemCall) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 1)[0];
  port(0).in.push_back(udp(1));
  turn();
  EXPECT_EQ(waker_.woken.size(), 1u);
  for (int i = 0; i < 10; ++i) {  // it runs all the time
    loops_[index(s)]->turn();
    port(0).in.push_back(udp(1));
    turn();
  }
  EXPECT_EQ(waker_.woken.size(), 1u);
}

TEST_F(WakeTest, NothingIsWokenForPacketsThatCameBackBeforeTheirAgeing) {
  Config c = two_ports({"x"});
  c.wake.batch = 32;
  start(c);
  const SlotId s = give(0, 1)[0];
  wake(s).word.store(kAwake);
  port(0).in.push_back(udp(1));
  turn();
  run_nf(s);
  pass(millis(5));
  EXPECT_TRUE(waker_.woken.empty());
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(WakeTest, PerNfOverridesPerChainOverridesGlobal) {
  Config c = two_ports({"x", "y"});
  c.wake.batch = 32;
  c.wake.aging = kNever;
  c.nfs[1].wake = WakeConfig{.batch = 1, .adaptive = false, .aging = kNever};
  c.chains[0].wake = WakeConfig{.batch = 2, .adaptive = false, .aging = kNever};
  start(c);
  give(0, 1);
  const SlotId y = give(1, 1)[0];
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_TRUE(waker_.woken.empty());
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_GE(waker_.woken.size(), 2u);
  EXPECT_EQ(nf(y).packets, 2u);
}

TEST_F(WakeTest, ManyNfsAgeTogether) {
  Config c = two_ports({"x"});
  c.nfs[0].pool.max = 1000;
  c.packets = 4096;
  c.wake.batch = 32;
  start(c);
  give(0, 200);
  for (uint8_t i = 0; i < 200; ++i) port(0).in.push_back(udp(i));
  settle(micros(2));
  pass(millis(5));  // at most eight wakes a turn
  EXPECT_EQ(port(1).out.size(), 200u);
  EXPECT_EQ(waker_.woken.size(), 200u);
}

// Turns that take full bursts from their ports wake one NF for every two of them, so that each finds
// more; with nothing coming in all are woken soon.
TEST_F(WakeTest, BusyTurnsWakeFewer) {
  start(two_ports({"x"}));
  give(0, 60);
  for (uint32_t i = 0; i < 96; ++i) port(0).in.push_back(udp(static_cast<uint8_t>(i % 32)));
  turn();
  EXPECT_EQ(waker_.woken.size(), 0u);
  turn();
  EXPECT_EQ(waker_.woken.size(), 1u);
  turn();
  EXPECT_EQ(waker_.woken.size(), 1u);
  turn();  // nothing came in
  EXPECT_EQ(waker_.woken.size(), 9u);
  settle();
  EXPECT_EQ(port(1).out.size(), 96u);
}

// FAULTS rule 6: an NF that skips the re-check sleeps on a packet. Ageing is off; the audit finds
// it, counts it, and wakes it.
TEST_F(WakeTest, ALateWakeIsCountedAndMended) {
  Config c = two_ports({"x"});
  c.wake.aging = kNever;
  start(c);
  const SlotId s = give(0, 1)[0];
  wake(s).word.store(kAwake);
  port(0).in.push_back(udp(1));
  turn();                        // ready, found awake: no wake
  wake(s).word.store(kAsleep);   // ... and then it sleeps without looking
  pass(millis(500));
  EXPECT_EQ(vswitch_->wakes().late, 0u) << "one look is not enough";
  pass(seconds(2));
  EXPECT_EQ(vswitch_->wakes().late, 1u);
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(WakeTest, WithTheProtocolKeptNothingIsLate) {
  Config c = two_ports({"x"});
  c.wake.aging = kNever;
  start(c);
  give(0, 8);
  for (uint32_t i = 0; i < 2000; ++i) {
    port(0).in.push_back(udp(static_cast<uint8_t>(i % 8), 1000, i));
    turn(micros(300));
    if (i % 3 == 0) run_nfs();
  }
  settle();
  pass(seconds(3));
  EXPECT_EQ(vswitch_->wakes().late, 0u);
  EXPECT_EQ(port(1).out.size(), 2000u);
}

}  // namespace
}  // namespace mayfly
