#include "runtime/base/clock.h"

#include <gtest/gtest.h>

#include "runtime/base/types.h"

namespace mayfly {
namespace {

TEST(TscRate, ConvertsBothWays) {
  constexpr TscRate rate(2'600'000'000);
  EXPECT_EQ(rate.cycles(micros(1)).n, 2600u);
  EXPECT_EQ(rate.cycles(seconds(1)).n, 2'600'000'000u);
  EXPECT_EQ(rate.nanos(Cycles{2600}).n, 1000);
  EXPECT_EQ(rate.nanos(rate.cycles(millis(37))).n, 37'000'000);
}

TEST(TscRate, DoesNotOverflowInAYear) {
  constexpr TscRate rate(5'000'000'000);
  constexpr Nanos kYear = seconds(365 * 24 * 3600);
  EXPECT_EQ(rate.cycles(kYear).n, 5ull * kYear.n);
  EXPECT_EQ(rate.nanos(rate.cycles(kYear)), kYear);
}

TEST(TscRate, RoundsDownWhatTheCounterCannotTell) {
  constexpr TscRate rate(1'000'000'000 / 3);
  EXPECT_EQ(rate.cycles(Nanos{2}).n, 0u);
  EXPECT_EQ(rate.cycles(Nanos{4}).n, 1u);
  EXPECT_EQ(rate.nanos(Cycles{1}).n, 3);
}

TEST(TscRate, OfThisMachineIsPlausibleAndRepeatable) {
  const uint64_t once = measure_tsc_hz(), twice = measure_tsc_hz();
  EXPECT_GT(once, 100'000'000u);
  EXPECT_LT(once, 20'000'000'000u);
  EXPECT_NEAR(static_cast<double>(once), static_cast<double>(twice), 0.01 * once);
}

TEST(Tsc, DoesNotGoBack) {
  Cycles before = tsc_now();
  for (int i = 0; i < 1000; ++i) {
    const Cycles now = tsc_now();
    ASSERT_GE(now, before);
    before = now;
  }
}

TEST(Nanos, UnitsAddUp) {
  EXPECT_EQ(micros(1000), millis(1));
  EXPECT_EQ(millis(1000), seconds(1));
  EXPECT_EQ(seconds(1) - millis(1), micros(999'000));
  EXPECT_LT(micros(-1), Nanos{0});
}

TEST(BigEndian, LiesAsInAPacket) {
  const Be16 port = Be16::of(80);
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(&port)[0], 0);
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(&port)[1], 80);
  EXPECT_EQ(port.host(), 80);
  EXPECT_EQ(Be32::of(0x01020304).host(), 0x01020304u);
  EXPECT_EQ(Be64::of(1).wire, 0x0100000000000000u);
}

TEST(Ids, KnowTheirNone) {
  EXPECT_EQ(raw(kNone<PortId>), 255);
  EXPECT_EQ(raw(kNone<FlowId>), 0xffffffff);
  EXPECT_NE(FlowId{0}, kNone<FlowId>);
}

}  // namespace
}  // namespace mayfly
