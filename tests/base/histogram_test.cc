#include "runtime/base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace mayfly {
namespace {

TEST(Histogram, EmptyIsZero) {
  const Histogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.quantile(0.5), 0u);
  EXPECT_EQ(empty.mean(), 0);
  EXPECT_EQ(empty.max(), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (uint64_t v = 0; v < 2048; ++v) h.record(v);
  EXPECT_EQ(h.quantile(0), 0u);
  EXPECT_EQ(h.quantile(0.5), 1023u);
  EXPECT_EQ(h.quantile(1), 2047u);
  EXPECT_DOUBLE_EQ(h.mean(), 1023.5);
}

TEST(Histogram, AnyOneValueIsKnownToATenthOfAPercent) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = random() >> (21 + random() % 40);
    Histogram h;
    h.record(value);
    h.record(value * 2 + 1);  // so that `max` does not help
    EXPECT_GE(h.quantile(0.5), value);
    EXPECT_LE(h.quantile(0.5), value + value / 1000);
  }
}

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(2);
  std::lognormal_distribution<double> latency(9, 2);
  std::vector<uint64_t> values;
  Histogram h;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<uint64_t>(latency(random)));
    h.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const size_t rank = static_cast<size_t>(std::ceil(q * values.size()));
    const uint64_t exact = values[rank == 0 ? 0 : rank - 1];
    EXPECT_GE(h.quantile(q), exact) << q;
    EXPECT_LE(h.quantile(q), exact + exact / 1000 + 1) << q;
  }
}

TEST(Histogram, TheLargestValueIsExactAndNoQuantilePassesIt) {
  Histogram h;
  h.record(1'000'003);
  EXPECT_EQ(h.max(), 1'000'003u);
  EXPECT_EQ(h.quantile(1), 1'000'003u);
  h.record(UINT64_MAX);
  EXPECT_EQ(h.max(), UINT64_MAX);
  EXPECT_EQ(h.count(), 2u);
  EXPECT_GE(h.quantile(1), uint64_t{1} << 42);  // past the top: only `max` knows
}

TEST(Histogram, MergingIsRecordingInOne) {
  std::mt19937_64 random(3);
  Histogram left, right, both;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = random() >> 30;
    (i % 3 == 0 ? left : right).record(value);
    both.record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), both.count());
  EXPECT_EQ(left.max(), both.max());
  EXPECT_DOUBLE_EQ(left.mean(), both.mean());
  for (const double q : {0.1, 0.5, 0.99}) EXPECT_EQ(left.quantile(q), both.quantile(q));
}

TEST(Histogram, ClearedIsEmpty) {
  Histogram h;
  h.record(5);
  h.clear();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.quantile(0.5), 0u);
}

TEST(Histogram, QuantilesOutsideTheUnitAreItsEnds) {
  Histogram h;
  h.record(5);
  h.record(7);
  EXPECT_EQ(h.quantile(-1), 5u);
  EXPECT_EQ(h.quantile(2), 7u);
}

TEST(Histogram, ItsCellsHoldEveryValueInOrder) {
  Histogram h;
  std::mt19937_64 random(4);
  for (int i = 0; i < 10'000; ++i) h.record(random() >> (24 + random() % 38));
  uint64_t before = 0, count = 0;
  bool first = true;
  h.for_each([&](uint64_t top, uint64_t in_cell) {
    EXPECT_TRUE(first || top > before);
    EXPECT_GT(in_cell, 0u);
    count += in_cell;
    EXPECT_EQ(h.quantile((static_cast<double>(count) - 0.5) / 10'000), top);
    before = top;
    first = false;
  });
  EXPECT_EQ(count, 10'000u);
  EXPECT_EQ(before, h.max());
}

}  // namespace
}  // namespace mayfly
