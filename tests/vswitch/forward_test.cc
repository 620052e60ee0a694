// Packets along chains: order, verdicts, changed and originated packets, the books.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

using ForwardTest = VSwitchTest;

TEST_F(ForwardTest, ThroughAChainOfThreeAndOutInOrder) {
  start(two_ports({"x", "y", "z"}));
  for (uint32_t i = 0; i < 3; ++i) give(i, 1);
  for (uint32_t i = 0; i < 40; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  ASSERT_EQ(port(1).out.size(), 40u);
  for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(number_of(port(1).out[i]), i);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(nf(only_bound(i)).packets, 40u);
  EXPECT_EQ(vswitch_->ledger().tx, 40u);
  expect_balance();
}

TEST_F(ForwardTest, SixteenNfsAreALegalChain) {
  std::vector<std::string> names;
  for (int i = 0; i < 16; ++i) names.push_back("nf" + std::to_string(i));
  start(two_ports(names));
  for (uint32_t i = 0; i < 16; ++i) give(i, 1);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(ForwardTest, BothSidesOfAnAddressMeetTheSameInstance) {
  start(two_ports({"x"}));
  give(0, 4);
  port(0).in.push_back(tcp(7, 5000, 0x10));
  port(1).in.push_back(tcp(7, 5000, 0x10, /*reversed=*/true));
  settle();
  EXPECT_EQ(nf(only_bound(0)).packets, 2u);
  EXPECT_EQ(port(0).out.size(), 1u);
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(ForwardTest, BothWaysOfAFiveTupleMeetTheSameInstance) {
  start(two_ports({"x"}, KeyBy::five_tuple));
  give(0, 4);
  port(0).in.push_back(tcp(7, 5000, 0x10));
  port(1).in.push_back(tcp(7, 5000, 0x10, true));
  port(0).in.push_back(tcp(7, 5001, 0x10));
  settle();
  EXPECT_EQ(bound(0).size(), 2u);
  EXPECT_EQ(vswitch_->flows().size(), 3u);
}

TEST_F(ForwardTest, ARuleThatLooksAtVlansAloneHasOneFlowPerVlan) {
  Config c = two_ports({"x"}, KeyBy::vlan);
  start(c);
  give(0, 8);
  for (uint16_t vlan = 1; vlan <= 3; ++vlan)
    for (uint32_t i = 0; i < 10; ++i) port(0).in.push_back(vlan_udp(vlan, i));
  settle();
  EXPECT_EQ(vswitch_->flows().size(), 3u);
  EXPECT_EQ(bound(0).size(), 3u);
  EXPECT_EQ(port(1).out.size(), 30u);
}

TEST_F(ForwardTest, VerdictsDropAndOut) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 1)[0];
  nf(s).on_burst = [](Burst& burst) {
    for (Packet& p : burst) {
      const uint8_t number = p.data()[p.size() - 4];
      if (number == 1) p.drop();
      if (number == 2) p.out(0);
      if (number == 3) p.out(99);
    }
  };
  for (uint32_t i = 0; i < 4; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  EXPECT_EQ(drops(Drop::nf_drop), 1u);
  EXPECT_EQ(port(0).out.size(), 1u);
  EXPECT_EQ(drops(Drop::no_out_port), 1u);
  EXPECT_EQ(port(1).out.size(), 1u);
  expect_balance();
}

TEST_F(ForwardTest, NfsShortenAndLengthenAtBothEnds) {
  start(two_ports({"x"}));
  const SlotId s = give(0, 1)[0];
  nf(s).on_burst = [](Burst& burst) {
    for (Packet& p : burst) {
      ASSERT_TRUE(p.strip_front(10));
      ASSERT_TRUE(p.prepend(100));
      ASSERT_TRUE(p.append(500));
      std::fill(p.bytes().begin(), p.bytes().end(), 0xab);
    }
  };
  port(0).in.push_back(udp(1));
  settle();
  ASSERT_EQ(port(1).out.size(), 1u);
  EXPECT_EQ(port(1).out[0], Frame(64 - 10 + 100 + 500, 0xab));
}

TEST_F(ForwardTest, OriginatedPacketsAreCountedAndGoWhereTheNfSays) {
  Config c = two_ports({"x", "y"});
  c.nfs[0].blank_buffers = 2;
  start(c);
  const SlotId s = give(0, 1)[0];
  give(1, 1);
  int refused = 0;
  nf(s).on_burst = [&](Burst& burst) {
    for (Packet& p : burst) {
      (void)p;
      for (int i = 0; i < 3; ++i) {
        Packet* fresh = burst.originate(60);
        if (fresh == nullptr) {
          ++refused;
          continue;
        }
        std::fill(fresh->bytes().begin(), fresh->bytes().end(), 0xcd);
        if (i == 0) fresh->out(0);
      }
    }
  };
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(vswitch_->ledger().originated, 2u);
  EXPECT_EQ(port(0).out, std::vector<Frame>{Frame(60, 0xcd)});
  EXPECT_EQ(port(1).out.size(), 2u);  // the packet, and the one sent on along the chain
  expect_balance();
  port(0).in.push_back(udp(1));  // its blanks were made up for
  settle();
  EXPECT_EQ(vswitch_->ledger().originated, 4u);
  expect_balance();
}

TEST_F(ForwardTest, NoRuleIsADrop) {
  Config c = two_ports({"x"});
  c.flows[0].match.protocol = 6;
  start(c);
  give(0, 1);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(drops(Drop::no_rule), 1u);
  expect_balance();
}

TEST_F(ForwardTest, AnInstanceHoldsNoMoreThanItsBound) {
  start(two_ports({"x"}));
  give(0, 1);
  for (uint32_t i = 0; i < 200; ++i) port(0).in.push_back(udp(1, 1000, i));
  for (int i = 0; i < 10; ++i) turn();  // the NF does not get the core
  EXPECT_EQ(vswitch_->instances()[0].held, config_.ring_entries - 1);
  EXPECT_EQ(drops(Drop::nf_ring_full), 200u - (config_.ring_entries - 1));
  expect_balance();
  settle();
  EXPECT_EQ(port(1).out.size(), config_.ring_entries - 1u);
  expect_balance();
}

TEST_F(ForwardTest, DrainingLeavesNothingBehind) {
  Config c = two_ports({"x", "y"});
  c.wake.batch = 32;
  c.wake.aging = kNever;
  start(c);
  give(0, 1);
  give(1, 1);
  for (uint32_t i = 0; i < 5; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  EXPECT_EQ(port(1).out.size(), 0u);  // fewer than a batch, and no ageing
  vswitch_->begin_drain(now_, {1'000'000'000});
  for (int i = 0; i < 100 && !vswitch_->drained(); ++i) {
    turn(millis(1));
    run_nfs();
  }
  EXPECT_TRUE(vswitch_->drained());
  EXPECT_EQ(port(1).out.size(), 5u);
  EXPECT_EQ(vswitch_->ledger().held(), 0);
}

TEST_F(ForwardTest, WhatCannotBeDrainedIsCounted) {
  start(two_ports({"x"}));
  give(0, 1);
  port(0).in.push_back(udp(1));
  turn();
  vswitch_->begin_drain(now_, {5'000'000});
  for (int i = 0; i < 10; ++i) turn(millis(1));
  EXPECT_TRUE(vswitch_->drained());
  EXPECT_EQ(vswitch_->abandon(), 1u);
  EXPECT_EQ(drops(Drop::shutdown), 1u);
  EXPECT_EQ(vswitch_->ledger().held(), 0);
}

}  // namespace
}  // namespace mayfly
