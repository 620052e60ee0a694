// Flows and bindings from the first packet to the last: expiry, FIN, RST, recycling, reset.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

using BindingTest = VSwitchTest;

TEST_F(BindingTest, IdleFlowsGiveTheirInstancesBack) {
  Config c = two_ports({"x"});
  c.flows[0].idle = millis(100);
  start(c);
  give(0, 1);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(bound(0).size(), 1u);
  pass(millis(60));
  port(0).in.push_back(udp(1));  // still alive: its time starts anew
  pass(millis(60));
  EXPECT_EQ(vswitch_->flows().size(), 1u);
  pass(millis(60));
  EXPECT_EQ(vswitch_->flows().size(), 0u);
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(vswitch_->nfs()[0].recycles, 1u);
  EXPECT_EQ(vswitch_->nfs()[0].idle.size(), 1u);
}

TEST_F(BindingTest, ARecycledInstanceIsResetBeforeItsNextFlow) {
  Config c = two_ports({"x"});
  c.flows[0].idle = millis(10);
  start(c);
  const SlotId s = give(0, 1)[0];
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(nf(s).binds, 1);
  EXPECT_EQ(nf(s).resets, 0);
  pass(millis(50));
  std::vector<int> resets_at_packet;
  nf(s).on_burst = [&](Burst&) { resets_at_packet.push_back(nf(s).resets); };
  port(0).in.push_back(udp(2));
  settle();
  EXPECT_EQ(nf(s).binds, 2);
  EXPECT_EQ(resets_at_packet, std::vector<int>{1});
}

TEST_F(BindingTest, FinLingersThenGoes) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  for (FlowConfig& f : c.flows) f.linger = millis(200);
  start(c);
  give(0, 1);
  port(0).in.push_back(tcp(1, 5000, 0x10));
  port(1).in.push_back(tcp(1, 5000, 0x10, true));
  settle();
  port(0).in.push_back(tcp(1, 5000, 0x11));
  port(1).in.push_back(tcp(1, 5000, 0x11, true));
  pass(millis(100));
  EXPECT_EQ(bound(0).size(), 1u);
  const SlotId s = only_bound(0);
  port(0).in.push_back(tcp(1, 5000, 0x10));  // a late packet meets the same instance
  pass(millis(50));
  EXPECT_EQ(nf(s).packets, 5u);
  pass(millis(400));
  EXPECT_EQ(vswitch_->flows().size(), 0u);
  EXPECT_EQ(bound(0).size(), 0u);
}

TEST_F(BindingTest, RstEndsBothWays) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  for (FlowConfig& f : c.flows) f.linger = millis(50);
  start(c);
  give(0, 1);
  port(0).in.push_back(tcp(1, 5000, 0x10));
  port(1).in.push_back(tcp(1, 5000, 0x14, true));
  settle();
  EXPECT_EQ(vswitch_->flows().size(), 2u);
  pass(millis(200));
  EXPECT_EQ(vswitch_->flows().size(), 0u);
  EXPECT_EQ(vswitch_->nfs()[0].recycles, 1u);
}

TEST_F(BindingTest, FinEndsNothingWhereInstancesAreNotPerConnection) {
  Config c = two_ports({"x"});
  c.flows[0].linger = millis(10);
  start(c);
  give(0, 1);
  port(0).in.push_back(tcp(1, 5000, 0x11));
  pass(millis(500));
  EXPECT_EQ(bound(0).size(), 1u);
}

TEST_F(BindingTest, ThousandsOfFlowsThroughAHandfulOfInstances) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  c.flows[0].idle = millis(2);
  start(c);
  give(0, 4);
  for (uint32_t round = 0; round < 500; ++round) {
    for (uint16_t f = 0; f < 4; ++f)
      port(0).in.push_back(udp(1, static_cast<uint16_t>(round * 4 + f), round));
    pass(millis(8));
  }
  EXPECT_EQ(port(1).out.size(), 2000u);
  EXPECT_EQ(vswitch_->nfs()[0].binds, 2000u);
  EXPECT_EQ(vswitch_->nfs()[0].idle.size(), 4u);
  expect_balance();
}

TEST_F(BindingTest, TicksComeWhileBoundAndNotWhileIdle) {
  Config c = two_ports({"x"});
  c.flows[0].idle = millis(55);
  c.nfs[0].tick_period_ns = 10'000'000;
  start(c);
  const SlotId s = give(0, 2)[1];  // the stack's top: the one that will be bound
  // The NF compares with the real counter; the test's clock is far behind it, so all are due.
  port(0).in.push_back(udp(1));
  pass(millis(500));
  EXPECT_GE(nf(s).ticks, 4);
  EXPECT_LE(nf(s).ticks, 7);
  EXPECT_EQ(nf(SlotId{0}).ticks, 0);
}

TEST_F(BindingTest, TheFlowTableFullIsACountedDrop) {
  Config c = two_ports({"x"}, KeyBy::rule);
  c.flows[0].match.src_port = Range<uint16_t>{0, 65535};  // one instance, a flow per port
  c.flow_count_max = 64;
  start(c);
  give(0, 1);
  for (uint32_t i = 0; i < 4000; ++i) {
    port(0).in.push_back(udp(1, static_cast<uint16_t>(i)));
    if (i % 32 == 31) settle();
  }
  settle();
  EXPECT_GT(drops(Drop::flow_table_full), 3000u);
  EXPECT_EQ(bound(0).size(), 1u);
  EXPECT_EQ(port(1).out.size() + drops(Drop::flow_table_full), 4000u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
