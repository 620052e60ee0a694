#include "flowdir/flow_table.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>
#include <vector>

namespace mayfly {
namespace {

constexpr uint64_t kSecret = 42;

PacketKey flow_key(uint32_t n) {
  PacketKey key{};
  key.src_ip[10] = key.src_ip[11] = key.dst_ip[10] = key.dst_ip[11] = 0xff;
  for (int i = 0; i < 4; ++i) key.src_ip[12 + i] = static_cast<uint8_t>(n >> 8 * i);
  key.src_port = Be16::of(static_cast<uint16_t>(n));
  key.dst_port = Be16::of(80);
  key.ethertype = 0x0800;
  key.protocol = 6;
  return key;
}

// A table as the vSwitch uses it.
struct Env {
  FlowTable table;
  explicit Env(uint32_t flow_count_max) : table(flow_count_max, kSecret) {}

  FlowId find(uint32_t n) const { return table.find(flow_key(n), table.hash(flow_key(n))); }
  FlowId insert(uint32_t n) { return table.insert(flow_key(n), table.hash(flow_key(n))); }
};

TEST(FlowTable, FindsWhatWasInserted) {
  Env env(100);
  EXPECT_EQ(env.find(1), kNone<FlowId>);
  const FlowId flow = env.insert(1);
  ASSERT_NE(flow, kNone<FlowId>);
  EXPECT_EQ(env.find(1), flow);
  EXPECT_EQ(env.find(2), kNone<FlowId>);
  EXPECT_TRUE(env.table.entry(flow).key == flow_key(1));
  EXPECT_TRUE(env.table.live(flow));
  EXPECT_EQ(env.table.size(), 1u);
  EXPECT_EQ(env.table.capacity(), 100u);
}

TEST(FlowTable, ForgetsWhatWasErased) {
  Env env(100);
  const FlowId flow = env.insert(1);
  env.table.erase(flow);
  EXPECT_EQ(env.find(1), kNone<FlowId>);
  EXPECT_FALSE(env.table.live(flow));
  EXPECT_EQ(env.table.size(), 0u);
}

TEST(FlowTable, AReusedEntryStartsAfresh) {
  Env env(1);
  const FlowId first = env.insert(1);
  env.table.entry(first).state.packets = 77;
  env.table.entry(first).state.closing = 1;
  env.table.erase(first);
  const FlowId second = env.insert(2);
  EXPECT_EQ(second, first);
  EXPECT_EQ(env.table.entry(second).state.packets, 0u);
  EXPECT_EQ(env.table.entry(second).state.closing, 0);
  EXPECT_EQ(env.table.entry(second).state.tenant, 0xffffffff);
}

TEST(FlowTable, NoIdIsLiveBeforeItIsGiven) {
  Env env(10);
  EXPECT_FALSE(env.table.live(FlowId{0}));
  EXPECT_FALSE(env.table.live(FlowId{9}));
  EXPECT_FALSE(env.table.live(FlowId{10}));
  EXPECT_FALSE(env.table.live(kNone<FlowId>));
}

class FlowTableOfSize : public testing::TestWithParam<uint32_t> {};

TEST_P(FlowTableOfSize, HoldsExactlyWhatItPromises) {
  const uint32_t count = GetParam();
  Env env(count);
  for (uint32_t i = 0; i < count; ++i) ASSERT_NE(env.insert(i), kNone<FlowId>) << i;
  EXPECT_EQ(env.insert(count), kNone<FlowId>);
  EXPECT_EQ(env.table.size(), count);
  std::vector<bool> seen(count);
  for (uint32_t i = 0; i < count; ++i) {
    const FlowId flow = env.find(i);
    ASSERT_NE(flow, kNone<FlowId>) << i;
    ASSERT_TRUE(env.table.entry(flow).key == flow_key(i));
    ASSERT_FALSE(seen[index(flow)]);
    seen[index(flow)] = true;
  }
  EXPECT_TRUE(env.table.invariants_hold());
  for (uint32_t i = count; i < 2 * count; ++i) ASSERT_EQ(env.find(i), kNone<FlowId>);
  for (uint32_t i = 0; i < count; i += 2) env.table.erase(env.find(i));
  for (uint32_t i = 0; i < count; ++i) ASSERT_EQ(env.find(i) != kNone<FlowId>, i % 2 == 1) << i;
  for (uint32_t i = 0; i < count; i += 2) ASSERT_NE(env.insert(i), kNone<FlowId>) << i;
  EXPECT_EQ(env.insert(count), kNone<FlowId>);
  EXPECT_TRUE(env.table.invariants_hold());
}

// 1,048,576 is the default of a configuration; it takes 80 % of the places of its buckets.
INSTANTIATE_TEST_SUITE_P(Sizes, FlowTableOfSize,
                         testing::Values(1, 2, 16, 17, 1000, 4096, 65536, 1'000'000, 1u << 20));

// Flows come and go in a table that is kept full: whatever the order, it answers as a map does, and
// never refuses what it has room for.
TEST(FlowTable, AnswersAsAMapDoesUnderChurn) {
  constexpr uint32_t kCapacity = 4096, kNames = 8192, kSteps = 1'000'000;
  Env env(kCapacity);
  std::unordered_map<uint32_t, FlowId> reference;
  std::mt19937 random(7);
  for (uint32_t step = 0; step < kSteps; ++step) {
    const uint32_t n = random() % kNames;
    const auto known = reference.find(n);
    const FlowId found = env.find(n);
    ASSERT_EQ(found, known == reference.end() ? kNone<FlowId> : known->second);
    if (found == kNone<FlowId>) {
      const FlowId fresh = env.insert(n);
      ASSERT_EQ(fresh == kNone<FlowId>, reference.size() == kCapacity);
      if (fresh != kNone<FlowId>) reference.emplace(n, fresh);
    } else if (random() % 4 == 0) {
      env.table.erase(found);
      reference.erase(known);
    }
    ASSERT_EQ(env.table.size(), reference.size());
    if (step % 50'000 == 0) {
      ASSERT_TRUE(env.table.invariants_hold());
    }
  }
  EXPECT_GT(reference.size(), kCapacity * 9 / 10);
}

TEST(FlowTable, KeepsEntriesWhereTheyAreWhileOthersMove) {
  constexpr uint32_t kCapacity = 1u << 14;
  Env env(kCapacity);
  std::vector<FlowId> flows;
  for (uint32_t i = 0; i < kCapacity; ++i) flows.push_back(env.insert(i));
  for (uint32_t i = 0; i < kCapacity; ++i) ASSERT_EQ(env.find(i), flows[i]);
}

TEST(FlowTable, StagedLookUpGivesTheSame) {
  Env env(1000);
  for (uint32_t i = 0; i < 1000; ++i) env.insert(i);
  for (uint32_t i = 0; i < 2000; ++i) {
    const uint64_t hash = env.table.hash(flow_key(i));
    env.table.prefetch(hash);
    env.table.prefetch_entry(hash);
    ASSERT_EQ(env.table.find(flow_key(i), hash) != kNone<FlowId>, i < 1000);
  }
}

// Worst case for look-up and insertion: equal hashes. Keys stay apart; what does not fit into two
// buckets is refused, not lost.
TEST(FlowTable, EqualHashesAreToldApartAndEndInARefusal) {
  FlowTable table(1000, kSecret);
  constexpr uint64_t kHash = 0x1234567890abcdef;
  uint32_t held = 0;
  while (table.insert(flow_key(held), kHash) != kNone<FlowId>) ++held;
  EXPECT_EQ(held, 20u);
  for (uint32_t i = 0; i < 40; ++i) {
    const FlowId flow = table.find(flow_key(i), kHash);
    ASSERT_EQ(flow != kNone<FlowId>, i < held);
    if (i < held) {
      ASSERT_TRUE(table.entry(flow).key == flow_key(i));
    }
  }
  for (uint32_t i = 0; i < held; ++i) table.erase(table.find(flow_key(i), kHash));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_TRUE(table.invariants_hold());
  EXPECT_NE(table.insert(flow_key(0), kHash), kNone<FlowId>);
}

}  // namespace
}  // namespace mayfly
