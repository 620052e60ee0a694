// What changes and is measured while packets flow: wake settings, measuring windows.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class LiveTest : public VSwitchTest {
 protected:
  // One packet of each of these clients, taken in.
  void send(std::initializer_list<uint8_t> hosts) {
    for (const uint8_t host : hosts) port(0).in.push_back(udp(host));
    turn();
  }
  void set_wake(WakeConfig wake) {
    vswitch_->set_wake(ChainId{0}, 0, wake);
    for (uint32_t slot = 0; slot < control_.header().slot_count; slot += 256)
      vswitch_->call_waiting(SlotId{slot}, 256);
  }
};

TEST_F(LiveTest, ASmallerBatchWakesFromTheNextPacketOn) {
  Config c = two_ports({"x"});
  c.wake = {.batch = 8, .adaptive = false, .aging = kNever};
  start(c);
  give(0, 4);
  set_wake({.batch = 2, .adaptive = false, .aging = kNever});
  send({1});
  EXPECT_TRUE(waker_.woken.empty());
  send({1});
  EXPECT_EQ(waker_.woken.size(), 1u);
}

TEST_F(LiveTest, ALargerBatchIsWaitedForAndAgesByTheNewTime) {
  Config c = two_ports({"x"});
  c.wake = {.batch = 1, .adaptive = false, .aging = kNever};
  start(c);
  give(0, 4);
  send({1});
  EXPECT_EQ(waker_.woken.size(), 1u);
  settle();
  set_wake({.batch = 8, .adaptive = false, .aging = micros(50)});
  send({1});
  turn(micros(60));
  EXPECT_EQ(waker_.woken.size(), 1u);
  turn();
  EXPECT_EQ(waker_.woken.size(), 2u);
}

// With ageing off nothing would ever call them again: the change does.
TEST_F(LiveTest, WhoWaitsByTheOldSettingsIsCalled) {
  Config c = two_ports({"x"});
  c.wake = {.batch = 8, .adaptive = false, .aging = kNever};
  start(c);
  give(0, 40);
  for (uint8_t host = 0; host < 30; ++host) send({host});
  pass(seconds(1));
  EXPECT_TRUE(waker_.woken.empty());
  set_wake({.batch = 8, .adaptive = false, .aging = micros(100)});
  settle();
  EXPECT_EQ(waker_.woken.size(), 30u);
  EXPECT_EQ(port(1).out.size(), 30u);
  send({1});
  pass(millis(1));
  EXPECT_EQ(port(1).out.size(), 31u);
  EXPECT_EQ(vswitch_->wakes().late, 0u);
}

TEST_F(LiveTest, ATimerOfTheOldAgeingDoesNotHoldTheNewOne) {
  Config c = two_ports({"x"});
  c.wake = {.batch = 8, .adaptive = false, .aging = seconds(10)};
  start(c);
  give(0, 4);
  send({1});
  set_wake({.batch = 8, .adaptive = false, .aging = micros(100)});
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
  send({1});
  pass(millis(1));
  EXPECT_EQ(port(1).out.size(), 2u);
}

TEST_F(LiveTest, AdaptiveAndBack) {
  Config c = two_ports({"x"});
  c.wake = {.batch = 8, .adaptive = false, .aging = micros(100)};
  start(c);
  give(0, 4);
  set_wake({.batch = 8, .adaptive = true, .aging = micros(100)});
  for (int i = 0; i < 20; ++i) {  // a packet a millisecond: alone, so woken at once
    send({1});
    run_nfs();
    pass(millis(1));
  }
  const size_t before = waker_.woken.size();
  send({1});
  EXPECT_EQ(waker_.woken.size(), before + 1);
  settle();
  set_wake({.batch = 8, .adaptive = false, .aging = kNever});
  for (int i = 0; i < 7; ++i) send({1});
  EXPECT_EQ(waker_.woken.size(), before + 1);
  send({1});
  EXPECT_EQ(waker_.woken.size(), before + 2);
}

TEST_F(LiveTest, WherePollingNfsAreBoundTheirBatchStaysOne) {
  Config c = two_ports({"x"});
  c.dispatch = Dispatch::poll;
  start(c);
  give(0, 4);
  set_wake({.batch = 32, .adaptive = false, .aging = kNever});
  send({1});
  EXPECT_EQ(waker_.woken.size(), 1u);
}

// ---------------------------------------------------------------------------------------------
// Windows

TEST_F(LiveTest, ReturnedCountsEachLiveNfOnce) {
  start(two_ports({"x", "y"}));
  give(0, 20), give(1, 20);
  ASSERT_TRUE(vswitch_->begin_window());
  EXPECT_EQ(vswitch_->returned(), 0u);
  for (int i = 0; i < 5; ++i) send({1, 2, 3});
  settle();
  EXPECT_EQ(port(1).out.size(), 15u);
  EXPECT_EQ(vswitch_->returned(), 6u);  // three clients, two NFs each
  ASSERT_TRUE(vswitch_->begin_window());
  EXPECT_EQ(vswitch_->returned(), 0u);
  send({2});
  settle();
  EXPECT_EQ(vswitch_->returned(), 2u);
}

TEST_F(LiveTest, TheDeadAreNotCountedAndTheirSuccessorsAre) {
  start(two_ports({"x"}));
  const auto slots = give(0, 2);
  ASSERT_TRUE(vswitch_->begin_window());
  send({1, 2});
  settle();
  EXPECT_EQ(vswitch_->returned(), 2u);
  const DeathReport death{slots[0], false};
  vswitch_->on_deaths({&death, 1}, now_);
  EXPECT_EQ(vswitch_->returned(), 1u);
  give(0, 1);
  send({1, 2});
  settle();
  EXPECT_EQ(port(1).out.size(), 4u);
  EXPECT_EQ(vswitch_->returned(), 2u);
  // One that died before it returned anything in this window was not counted.
  ASSERT_TRUE(vswitch_->begin_window());
  const DeathReport other{slots[1], false};
  vswitch_->on_deaths({&other, 1}, now_);
  EXPECT_EQ(vswitch_->returned(), 0u);
}

TEST_F(LiveTest, NumbersOfWindowsRunOutAndStartAgain) {
  start(two_ports({"x"}));
  give(0, 8);
  int renewed = 0;
  for (int i = 0; i < 1000; ++i) {
    if (!vswitch_->begin_window()) {
      for (uint32_t slot = 0; slot < control_.header().slot_count; slot += 256)
        vswitch_->forget_windows(SlotId{slot}, 256);
      ASSERT_TRUE(vswitch_->begin_window());
      ++renewed;
    }
    if (i % 100 == 0) send({1, 2});  // its stamp stays from here on
    if (i % 7 == 0) send({3});
    settle();
    ASSERT_EQ(vswitch_->returned(), (i % 100 == 0 ? 2u : 0u) + (i % 7 == 0 ? 1u : 0u)) << i;
  }
  EXPECT_GE(renewed, 3);
}

TEST_F(LiveTest, TheWorstTurnIsThatOfTheWindow) {
  start(two_ports({"x"}));
  turn(millis(3));
  turn();
  ASSERT_TRUE(vswitch_->begin_window());
  turn(micros(20));
  turn();
  EXPECT_GE(vswitch_->turns().worst_cycles, 3'000'000u);
  EXPECT_EQ(vswitch_->turns().window_worst_cycles, 20'000u);
}

}  // namespace
}  // namespace mayfly
