// The wake policy, with a clock that the test moves: one cycle is one nanosecond.
#include "scheduler/wake_policy.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

constexpr Cycles kMicrosecond{1000};

TEST(WakePolicy, ReadyAtTheBatchAndNotBefore) {
  const WakeParams params{.batch = 4};
  WakeState state;
  state.begin(params);
  EXPECT_EQ(state.on_packets(params, 1, {100}), WakeAdvice::nothing);
  EXPECT_EQ(state.on_packets(params, 2, {200}), WakeAdvice::nothing);
  EXPECT_EQ(state.on_packets(params, 1, {300}), WakeAdvice::ready);
}

TEST(WakePolicy, FirstWaitingPacketArmsTheAgeingTimerOnce) {
  const WakeParams params{.batch = 4, .aging = {50'000}};
  WakeState state;
  state.begin(params);
  EXPECT_EQ(state.on_packets(params, 1, {100}), WakeAdvice::arm);
  EXPECT_EQ(state.on_packets(params, 1, {200}), WakeAdvice::nothing);
  state.on_served();
  EXPECT_EQ(state.on_packets(params, 1, {300}), WakeAdvice::arm);
}

TEST(WakePolicy, NoAgeingMeansTheBatchAlone) {
  const WakeParams params{.batch = 32};
  WakeState state;
  state.begin(params);
  for (uint64_t i = 0; i < 31; ++i)
    EXPECT_EQ(state.on_packets(params, 1, {1'000'000'000 * i}), WakeAdvice::nothing);
  EXPECT_EQ(state.on_packets(params, 1, {1}), WakeAdvice::ready);
}

TEST(WakePolicy, BatchOfOneIsAlwaysReady) {
  const WakeParams params{.batch = 1, .aging = {50'000}};
  WakeState state;
  state.begin(params);
  for (uint64_t i = 1; i < 10; ++i) {
    EXPECT_EQ(state.on_packets(params, 1, {i}), WakeAdvice::ready);
    state.on_served();
  }
}

// Packets every `gap`, woken whenever the policy says so or the ageing time has passed.
uint16_t settled_batch(const WakeParams& params, Cycles gap, int packets) {
  WakeState state;
  state.begin(params);
  uint64_t due = UINT64_MAX;
  Cycles now{1'000'000};
  for (int i = 0; i < packets; ++i, now = now + gap) {
    if (now.n >= due) state.on_served(), due = UINT64_MAX;
    const WakeAdvice advice = state.on_packets(params, 1, now);
    if (advice == WakeAdvice::ready) state.on_served(), due = UINT64_MAX;
    if (advice == WakeAdvice::arm) due = now.n + params.aging.n;
  }
  return state.batch;
}

TEST(WakePolicy, AdaptiveWakesASlowNfAtOnceAndBatchesAFastOne) {
  const WakeParams params{.adaptive = true, .aging = {100 * kMicrosecond.n}, .batch_max = 64};
  EXPECT_EQ(settled_batch(params, {1'000'000}, 200), 1);   // 1 kpps: nothing to wait for
  EXPECT_EQ(settled_batch(params, {100'000}, 500), 1);     // one packet per ageing time
  const uint16_t middle = settled_batch(params, {5'000}, 5'000);  // 20 per ageing time
  EXPECT_GE(middle, 8);
  EXPECT_LE(middle, 12);
  EXPECT_EQ(settled_batch(params, {100}, 50'000), 64);     // 1,000 per ageing time: the bound
}

TEST(WakePolicy, AdaptiveFollowsAChangeOfRate) {
  const WakeParams params{.adaptive = true, .aging = {100 * kMicrosecond.n}, .batch_max = 64};
  WakeState state;
  state.begin(params);
  Cycles now{1'000'000};
  const auto feed = [&](Cycles gap, int count) {
    for (int i = 0; i < count; ++i, now = now + gap)
      if (state.on_packets(params, 1, now) == WakeAdvice::ready) state.on_served();
      else if (now.n - state.since >= params.aging.n) state.on_served();
  };
  feed({100}, 20'000);
  EXPECT_EQ(state.batch, 64);
  feed({1'000'000}, 100);
  EXPECT_EQ(state.batch, 1);
}

TEST(WakePolicy, AFixedBatchMayChangeWhilePacketsWait) {
  WakeParams params{.batch = 8, .adaptive = false, .aging = kNoAging};
  WakeState state;
  state.begin(params);
  EXPECT_EQ(state.on_packets(params, 3, Cycles{1}), WakeAdvice::nothing);
  params.batch = 4;
  EXPECT_EQ(state.on_packets(params, 1, Cycles{2}), WakeAdvice::ready);
  state.on_served();
  params.batch = 6;
  EXPECT_EQ(state.on_packets(params, 4, Cycles{3}), WakeAdvice::nothing);
  params.adaptive = true;  // as the rate says, from the next round on
  state.on_served();
  state.on_packets(params, 1, Cycles{1'000'000});
  state.on_served();
  EXPECT_EQ(state.on_packets(params, 1, Cycles{2'000'000}), WakeAdvice::ready);
}

}  // namespace
}  // namespace mayfly
