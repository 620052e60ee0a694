// No idle instance left: every policy, and what waiting costs at most.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

using PoolTest = VSwitchTest;

Attention attention_of(VSwitch& v) {
  Attention a;
  v.fetch_attention(a);
  return a;
}

TEST_F(PoolTest, QueueWaitsForAForkAndKeepsOrder) {
  start(two_ports({"x", "y"}));
  give(0, 1);
  for (uint32_t i = 0; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  EXPECT_EQ(attention_of(*vswitch_).nfs[1].vacancies, 1u);
  EXPECT_EQ(port(1).out.size(), 0u);
  give(1, 1);
  for (uint32_t i = 20; i < 30; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  ASSERT_EQ(port(1).out.size(), 30u);
  for (uint32_t i = 0; i < 30; ++i) EXPECT_EQ(number_of(port(1).out[i]), i);
  expect_balance();
}

TEST_F(PoolTest, QueueIsBoundedInPacketsAndInTime) {
  start(two_ports({"x"}));
  for (uint32_t i = 0; i < 200; ++i) port(0).in.push_back(udp(1, 1000, i));
  settle();
  EXPECT_EQ(drops(Drop::backlog_full), 200u - (config_.ring_entries - 1));
  expect_balance();
  pass(millis(1500));
  EXPECT_EQ(drops(Drop::pool_empty), config_.ring_entries - 1u);
  expect_balance();
  give(0, 1);  // the place still waits, and is served late
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(PoolTest, QueuedFlowsAreServedInOrderAsInstancesComeBack) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  c.flows[0].idle = millis(20);
  start(c);
  give(0, 1);
  for (uint16_t f = 0; f < 3; ++f) port(0).in.push_back(udp(1, f, f));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
  // The first flow ends after 20 ms, and so do the others, though their packet still waits: it is
  // delivered all the same, in its turn.
  pass(millis(200));
  ASSERT_EQ(port(1).out.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(number_of(port(1).out[i]), i);
  EXPECT_EQ(vswitch_->nfs()[0].idle.size(), 1u);
  expect_balance();
}

TEST_F(PoolTest, DropCountsAndMakesNoFlow) {
  Config c = two_ports({"x"});
  c.nfs[0].pool.empty = EmptyPool::drop;
  start(c);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(drops(Drop::pool_empty), 1u);
  EXPECT_EQ(vswitch_->flows().size(), 0u);
  give(0, 1);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(PoolTest, BypassPassesUnprocessedUntilTheFlowEnds) {
  Config c = two_ports({"x"});
  c.nfs[0].pool.empty = EmptyPool::bypass;
  c.flows[0].idle = millis(10);
  start(c);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
  give(0, 1);
  EXPECT_EQ(bound(0).size(), 0u);
  pass(millis(50));
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(nf(only_bound(0)).packets, 1u);
  expect_balance();
}

TEST_F(PoolTest, ShareGivesANewFlowAnInstanceOfTheSameTenantOnly) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  c.nfs[0].pool.empty = EmptyPool::share;
  for (FlowConfig& f : c.flows) f.tenant_by = KeyBy::src_ip;
  start(c);
  std::vector<VSwitch::TenantChange> changes;
  for (uint32_t t = 0; t < 2; ++t) {
    InstanceKey key{.kind = KeyKind::address};
    const uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0,
                                 static_cast<uint8_t>(t + 1)};
    std::copy(std::begin(address), std::end(address), key.bytes);
    changes.push_back({TenantId{t}, true, std::nullopt, {}, false, key});
  }
  size_t done = 0;
  vswitch_->change_tenants(changes, done, now_);
  ASSERT_EQ(done, 2u);
  give(0, 1);
  port(0).in.push_back(udp(1, 1));
  port(0).in.push_back(udp(1, 2));  // shares with the flow before
  port(0).in.push_back(udp(2, 3));  // another tenant's: waits
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
  EXPECT_EQ(nf(only_bound(0)).packets, 2u);
  give(0, 1);
  settle();
  EXPECT_EQ(port(1).out.size(), 3u);
  EXPECT_EQ(bound(0).size(), 2u);
  expect_balance();
}

TEST_F(PoolTest, TheLowWaterMarkAsksForAttention) {
  Config c = two_ports({"x"});
  c.nfs[0].pool.idle = 2;
  start(c);
  give(0, 2);
  attention_of(*vswitch_);
  uint64_t count;
  EXPECT_LT(read(attention_fd_, &count, sizeof count), 0);
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(read(attention_fd_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(attention_of(*vswitch_).nfs[0].idle, 1u);
}

}  // namespace
}  // namespace mayfly
