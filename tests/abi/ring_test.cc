#include "runtime/abi/ring.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace mayfly {
namespace {

constexpr uint32_t kEntries = 8;

struct Ring {
  explicit Ring(uint32_t start = 0, uint32_t n = kEntries)
      : entries(n),
        produced(start),
        consumed(start),
        in(entries.data(), n - 1),
        out(entries.data(), n - 1) {
    in.restart(start);
    out.restart(start);
  }
  bool push(uint64_t v) {
    if (!in.has_room(consumed)) return false;
    in.write({v});
    in.publish(produced);
    return true;
  }
  uint64_t pop() {
    const uint64_t v = out.take().bits;
    out.publish(consumed);
    return v;
  }
  std::vector<Descriptor> entries;
  RingIndex produced, consumed;
  RingProducer in;
  RingConsumer out;
};

TEST(Ring, HoldsAsManyAsItHasEntriesInOrder) {
  Ring r;
  EXPECT_EQ(r.out.waiting(r.produced), 0u);
  for (uint64_t i = 0; i < kEntries; ++i) EXPECT_TRUE(r.push(i));
  EXPECT_FALSE(r.push(99));
  EXPECT_FALSE(r.in.lied());
  EXPECT_EQ(r.out.waiting(r.produced), kEntries);
  for (uint64_t i = 0; i < kEntries; ++i) EXPECT_EQ(r.pop(), i);
  EXPECT_EQ(r.out.waiting(r.produced), 0u);
  EXPECT_TRUE(r.push(100));
}

TEST(Ring, WrittenEntriesWaitForPublish) {
  Ring r;
  ASSERT_TRUE(r.in.has_room(r.consumed));
  r.in.write({1});
  EXPECT_EQ(r.out.waiting(r.produced), 0u);
  r.in.publish(r.produced);
  EXPECT_EQ(r.out.waiting(r.produced), 1u);
}

TEST(Ring, TakenEntriesAreNotOverwrittenBeforePublish) {
  Ring r;
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(r.push(i));
  r.out.take();
  EXPECT_FALSE(r.in.has_room(r.consumed));
  r.out.publish(r.consumed);
  EXPECT_TRUE(r.in.has_room(r.consumed));
}

TEST(Ring, RunsAcrossTheWrapOfItsIndices) {
  Ring r(UINT32_MAX - 20);
  for (uint64_t i = 0; i < 100; ++i) {
    for (uint64_t k = 0; k < 5; ++k) ASSERT_TRUE(r.push(i * 5 + k));
    ASSERT_EQ(r.out.waiting(r.produced), 5u);
    for (uint64_t k = 0; k < 5; ++k) ASSERT_EQ(r.pop(), i * 5 + k);
  }
}

// A peer that scribbles: every value of its index is either a possible fill or a recognised lie.
TEST(Ring, ProducerIndexOutOfRangeIsALie) {
  for (const uint32_t start : {0u, 1000u, UINT32_MAX - 3}) {
    Ring r(start);
    for (const uint32_t lie : {kEntries + 1, 1u << 31, UINT32_MAX, UINT32_MAX - 7}) {
      r.produced.store(start + lie);
      EXPECT_FALSE(r.out.waiting(r.produced).has_value()) << start << " + " << lie;
    }
    for (uint32_t fill = 0; fill <= kEntries; ++fill) {
      r.produced.store(start + fill);
      EXPECT_EQ(r.out.waiting(r.produced), fill);
    }
  }
}

TEST(Ring, ConsumerIndexAheadOfTheProducerIsALie) {
  Ring r;
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(r.push(i));
  r.consumed.store(kEntries + 1);
  EXPECT_FALSE(r.in.has_room(r.consumed));
  EXPECT_TRUE(r.in.lied());
}

TEST(Ring, ConsumerIndexThatGoesBackIsALie) {
  Ring r;
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(r.push(i));
  for (uint64_t i = 0; i < kEntries; ++i) r.pop();
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(r.push(i));
  r.consumed.store(kEntries - 1);
  EXPECT_FALSE(r.in.has_room(r.consumed));
  EXPECT_TRUE(r.in.lied());
}

TEST(Ring, ScribbledIndicesNeverLeadOutsideTheEntries) {
  // Whatever the peer writes, what we read and write stays within entries and a bounded count.
  Ring r;
  uint32_t noise = 12345;
  for (int i = 0; i < 100000; ++i) {
    noise = noise * 1664525 + 1013904223;
    r.consumed.store(noise % 3 == 0 ? noise : r.in.written() - noise % kEntries);
    if (r.in.has_room(r.consumed)) r.in.write({noise});
    if (r.in.lied()) r.in.restart(noise);
    r.produced.store(noise % 5 == 0 ? noise * 7 : r.out.taken() + noise % (kEntries + 1));
    const auto waiting = r.out.waiting(r.produced);
    if (!waiting) continue;
    ASSERT_LE(*waiting, kEntries);
    for (uint32_t k = 0; k < *waiting; ++k) r.out.take();
  }
}

TEST(Ring, RestartBeginsAnewAfterALie) {
  Ring r;
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(r.push(i));
  r.consumed.store(500);
  EXPECT_FALSE(r.in.has_room(r.consumed));
  r.in.restart(40);
  r.consumed.store(40);
  EXPECT_TRUE(r.in.has_room(r.consumed));
  EXPECT_FALSE(r.in.lied());
  EXPECT_EQ(r.in.known_fill(), 0u);
}

TEST(Ring, TwoThreadsLoseAndReorderNothing) {
  constexpr uint64_t kCount = 200'000;
  Ring r(UINT32_MAX - 1000, 64);
  std::thread producer([&] {
    for (uint64_t i = 0; i < kCount;) {
      if (r.push(i)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t next = 0;
  bool in_order = true;
  while (next < kCount) {
    const auto waiting = r.out.waiting(r.produced);
    if (!waiting || *waiting == 0) {
      std::this_thread::yield();
      continue;
    }
    for (uint32_t k = 0; k < *waiting; ++k) in_order &= r.out.take().bits == next++;
    r.out.publish(r.consumed);
  }
  producer.join();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(r.out.waiting(r.produced), 0u);
}

}  // namespace
}  // namespace mayfly
