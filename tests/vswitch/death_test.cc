// kill -9 in every window: what is lost, what is redelivered, what comes back to the pool.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class DeathOfNfTest : public VSwitchTest {
 protected:
  void die(SlotId slot, bool crashed = false) {
    loops_[index(slot)].reset();
    const DeathReport report{slot, crashed};
    vswitch_->on_deaths({&report, 1}, now_);
  }
  void expect_numbers(uint32_t first, uint32_t last) {
    ASSERT_EQ(port(1).out.size(), last - first + 1);
    for (uint32_t i = 0; i < port(1).out.size(); ++i)
      EXPECT_EQ(number_of(port(1).out[i]), first + i);
  }
};

TEST_F(DeathOfNfTest, WhatItHadNotConsumedIsRedeliveredInOrder) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 1)[0];
  for (uint32_t i = 0; i < 50; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  turn();
  EXPECT_EQ(vswitch_->instances()[index(s)].held, 50u);
  die(s);
  for (uint32_t i = 50; i < 60; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  give(0, 1);
  settle();
  expect_numbers(0, 59);
  EXPECT_EQ(drops(Drop::nf_died), 0u);
  EXPECT_EQ(vswitch_->nfs()[0].deaths, 1u);
  expect_balance();
}

TEST_F(DeathOfNfTest, AnIdleInstanceTakesOverAtOnce) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 2)[1];
  for (uint32_t i = 0; i < 10; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  EXPECT_EQ(only_bound(0), s);
  die(s);
  settle();
  expect_numbers(0, 9);
  EXPECT_EQ(nf(only_bound(0)).binds, 1);
}

TEST_F(DeathOfNfTest, WhatItConsumedAndDidNotReturnIsLostUnderItsReason) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 2)[1];
  for (uint32_t i = 0; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  // It took seven and died in process(): its consumer index says so.
  slot(s).from_nf.in_consumed.store(7);
  die(s);
  settle();
  EXPECT_EQ(drops(Drop::nf_died), 7u);
  expect_numbers(7, 19);
  expect_balance();
}

TEST_F(DeathOfNfTest, WhatItHadReturnedGoesOn) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 2)[1];
  for (uint32_t i = 0; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  run_nf(s);  // returned, and not yet collected
  die(s);
  settle();
  expect_numbers(0, 19);
  EXPECT_EQ(drops(Drop::nf_died), 0u);
  expect_balance();
}

TEST_F(DeathOfNfTest, AnImpossibleIndexMeansItReadEverything) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 2)[1];
  for (uint32_t i = 0; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  slot(s).from_nf.in_consumed.store(0x80000000);
  die(s);
  settle();
  EXPECT_EQ(drops(Drop::nf_died), 20u);
  expect_balance();
}

TEST_F(DeathOfNfTest, BlanksOnLoanComeBack) {
  Config c = two_ports({"x"});
  c.nfs[0].blank_buffers = 16;
  start(c);
  for (int round = 0; round < 300; ++round) {  // 300 x 16 blanks: more than there are buffers
    const SlotId s = give(0, 1)[0];
    port(0).in.push_back(udp(1));
    settle();
    die(s);
    if (next_slot_ == 60) next_slot_ = 0;
  }
  EXPECT_EQ(port(1).out.size(), 300u);
  expect_balance();
}

TEST_F(DeathOfNfTest, DeathOfAnIdleInstanceLeavesThePoolSmaller) {
  start(two_ports({"x"}));
  const auto slots = give(0, 3);
  die(slots[1]);
  EXPECT_EQ(vswitch_->nfs()[0].idle.size(), 2u);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(DeathOfNfTest, AllOfAChainAtOnce) {
  start(two_ports({"x", "y", "z"}));
  std::vector<SlotId> slots;
  for (uint32_t i = 0; i < 3; ++i) slots.push_back(give(i, 1)[0]);
  for (uint32_t i = 0; i < 30; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  std::vector<DeathReport> reports;
  for (SlotId s : slots) {
    loops_[index(s)].reset();
    reports.push_back({s, false});
  }
  vswitch_->on_deaths(reports, now_);
  for (uint32_t i = 0; i < 3; ++i) give(i, 1);
  settle();
  expect_numbers(0, 29);
  expect_balance();
}

TEST_F(DeathOfNfTest, AFlowThatKeepsCrashingItsNfIsHeldBackAndOthersAreNot) {
  start(two_ports({"x"}));
  give(0, 40);
  uint64_t sent = 0;
  for (int crash = 0; crash < 6; ++crash) {
    port(0).in.push_back(udp(1, 1000, 1));
    ++sent;
    turn();
    const auto all = bound(0);
    if (all.empty()) break;
    slot(all[0]).from_nf.in_consumed.store(slot(all[0]).from_switch.in_produced.load());
    die(all[0], /*crashed=*/true);
  }
  EXPECT_TRUE(bound(0).empty()) << "the fourth crash in a row starts the back-off";
  port(0).in.push_back(udp(1, 1000, 1));
  turn();
  EXPECT_GE(drops(Drop::instance_backoff), 1u);
  port(0).in.push_back(udp(2, 1000, 2));
  settle();
  ASSERT_EQ(port(1).out.size(), 1u);
  EXPECT_EQ(number_of(port(1).out[0]), 2u);
  pass(millis(30));
  port(0).in.push_back(udp(1, 1000, 3));
  settle();
  EXPECT_EQ(port(1).out.size(), 2u) << "served again after the back-off";
  expect_balance();
}

TEST_F(DeathOfNfTest, WithEveryOtherVacancyTaken) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  c.packets = 16384;
  c.flow_count_max = 1 << 16;
  start(c);
  const SlotId s = give(0, 1)[0];
  for (uint32_t i = 0; i < 12'000; ++i) {  // far more flows than there can be instances
    port(0).in.push_back(udp(static_cast<uint8_t>(i >> 12), static_cast<uint16_t>(i & 0xfff)));
    if (i % 32 == 31) turn();
  }
  EXPECT_GT(drops(Drop::pool_empty), 0u);
  die(s);
  turn();
  expect_balance();
}

TEST_F(DeathOfNfTest, ADeathReportedOfNobodyIsIgnored) {
  start(two_ports({"x"}));
  const DeathReport report{SlotId{100}, true};
  vswitch_->on_deaths({&report, 1}, now_);
  EXPECT_EQ(vswitch_->nfs()[0].deaths, 0u);
}

TEST_F(DeathOfNfTest, WhileItsBindingDrains) {
  Config c = two_ports({"x"});
  c.flows[0].idle = millis(10);
  start(c);
  const SlotId s = give(0, 1)[0];
  port(0).in.push_back(udp(1));
  turn();
  for (int i = 0; i < 50; ++i) turn(millis(1));  // the flow expires with its packet inside
  EXPECT_EQ(vswitch_->flows().size(), 0u);
  EXPECT_EQ(vswitch_->instances()[index(s)].state, InstanceState::draining);
  die(s);
  give(0, 1);
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
  EXPECT_EQ(vswitch_->nfs()[0].idle.size(), 1u);
  EXPECT_EQ(vswitch_->live_bindings(), 0u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
