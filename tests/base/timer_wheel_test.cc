#include "runtime/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

namespace mayfly {
namespace {

constexpr uint64_t kTick = 64;
constexpr uint32_t kPlenty = 1u << 30;

// A wheel, the clock of a test, and what fired when.
struct Env {
  uint64_t now;
  TimerWheel wheel;
  std::vector<uint32_t> fired;

  explicit Env(uint32_t timer_count, uint64_t start = 1'000'000)
      : now(start), wheel(timer_count, Cycles{kTick}, Cycles{start}) {}
  void arm_in(uint32_t timer, uint64_t cycles) { wheel.arm(timer, Cycles{now + cycles}); }
  uint32_t tick(uint64_t cycles, uint32_t budget = kPlenty) {
    now += cycles;
    return wheel.advance(Cycles{now}, budget, [&](uint32_t timer) { fired.push_back(timer); });
  }
  std::vector<uint32_t> taken() { return std::exchange(fired, {}); }
};
using Timers = std::vector<uint32_t>;

TEST(TimerWheel, FiresNotEarlyAndAtMostOneTickLate) {
  for (uint64_t start = 0; start < 3 * kTick; start += 7) {
    for (const uint64_t wait : {1, 63, 64, 65, 4095, 4096, 4097, 262'144, 300'000, 20'000'000}) {
      Env env(1, start);
      env.arm_in(0, wait);
      EXPECT_EQ(env.tick(wait - 1), 0u) << wait;
      env.tick(kTick);
      EXPECT_EQ(env.taken(), Timers{0}) << wait;
      EXPECT_FALSE(env.wheel.armed(0));
    }
  }
}

TEST(TimerWheel, OneInThePastFiresNext) {
  Env env(2);
  env.wheel.arm(0, Cycles{0});
  env.wheel.arm(1, Cycles{env.now});
  env.tick(kTick);
  std::sort(env.fired.begin(), env.fired.end());
  EXPECT_EQ(env.taken(), (Timers{0, 1}));
}

TEST(TimerWheel, CancelledOnesDoNotFire) {
  Env env(3);
  for (uint32_t timer = 0; timer < 3; ++timer) env.arm_in(timer, 1000);
  env.wheel.cancel(1);
  env.wheel.cancel(1);
  EXPECT_EQ(env.wheel.armed_count(), 2u);
  env.tick(5000);
  EXPECT_EQ(env.taken(), (Timers{0, 2}));
  EXPECT_EQ(env.wheel.armed_count(), 0u);
}

TEST(TimerWheel, ArmingAgainMovesIt) {
  Env env(1);
  env.arm_in(0, 1000);
  env.arm_in(0, 100'000);
  EXPECT_EQ(env.wheel.armed_count(), 1u);
  EXPECT_EQ(env.tick(50'000), 0u);
  env.arm_in(0, 100);
  EXPECT_EQ(env.tick(200), 1u);
}

TEST(TimerWheel, AFiringTimerMayArmItselfAndCancelOthers) {
  Env env(3);
  for (uint32_t timer = 0; timer < 3; ++timer) env.arm_in(timer, 1000);
  uint32_t fires = 0;
  const auto fire = [&](uint32_t timer) {
    EXPECT_EQ(timer, 0u);
    EXPECT_FALSE(env.wheel.armed(0));
    ++fires;
    env.wheel.cancel(1);
    env.wheel.cancel(2);
    env.arm_in(0, 1000);
  };
  for (int i = 0; i < 10; ++i) {
    env.now += 1000 + kTick;
    env.wheel.advance(Cycles{env.now}, kPlenty, fire);
  }
  EXPECT_EQ(fires, 10u);
  EXPECT_EQ(env.wheel.armed_count(), 1u);
}

// A caller that arms for now, in the call that fires, gets at most `budget` calls, not a hang.
TEST(TimerWheel, ATimerThatIsAlwaysDueUsesUpItsBudgetOnly) {
  Env env(1);
  env.arm_in(0, 0);
  env.now += kTick;
  uint32_t fires = 0;
  env.wheel.advance(Cycles{env.now}, 100, [&](uint32_t) {
    ++fires;
    env.arm_in(0, 0);
  });
  EXPECT_LE(fires, 100u);
}

TEST(TimerWheel, FiresInOrderOfTicks) {
  Env env(1000);
  std::mt19937_64 random(1);
  std::vector<uint64_t> due(1000);
  for (uint32_t timer = 0; timer < 1000; ++timer) {
    due[timer] = random() % 10'000'000;
    env.arm_in(timer, due[timer]);
  }
  env.tick(20'000'000);
  ASSERT_EQ(env.fired.size(), 1000u);
  for (size_t i = 1; i < env.fired.size(); ++i) {
    EXPECT_LE(due[env.fired[i - 1]], due[env.fired[i]] + kTick);
  }
}

TEST(TimerWheel, NeverIsNever) {
  Env env(2);
  env.wheel.arm(0, Cycles{UINT64_MAX});
  env.arm_in(1, 5'000'000);
  EXPECT_EQ(env.tick(uint64_t{1} << 50), 1u);
  EXPECT_EQ(env.taken(), Timers{1});
  EXPECT_TRUE(env.wheel.armed(0));
}

TEST(TimerWheel, SurvivesAClockThatStepsBack) {
  Env env(1);
  env.arm_in(0, 10'000);
  env.tick(5'000);
  env.now -= 4'000;
  EXPECT_EQ(env.tick(0), 0u);
  env.now += 4'000;
  EXPECT_EQ(env.tick(5'000 + kTick), 1u);
}

TEST(TimerWheel, ATickOfOneCycleWorks) {
  TimerWheel wheel(1, Cycles{1}, Cycles{0});
  wheel.arm(0, Cycles{uint64_t{1} << 63});
  EXPECT_EQ(wheel.advance(Cycles{(uint64_t{1} << 63) - 1}, kPlenty, [](uint32_t) {}), 0u);
  EXPECT_EQ(wheel.advance(Cycles{uint64_t{1} << 63}, kPlenty, [](uint32_t) {}), 1u);
}

TEST(TimerWheel, AMillionDueAtOnceNeverMakeOneLongTurn) {
  constexpr uint32_t kTimers = 1'000'000, kBudget = 1000;
  Env env(kTimers);
  for (uint32_t timer = 0; timer < kTimers; ++timer) env.arm_in(timer, 300'000);
  env.tick(400'000, 0);
  uint32_t turns = 0, fired = 0;
  while (env.wheel.armed_count() > 0) {
    const uint32_t now_fired = env.tick(1, kBudget);
    ASSERT_LE(now_fired, kBudget);
    fired += now_fired;
    ASSERT_LT(++turns, 5 * kTimers / kBudget);
  }
  EXPECT_EQ(fired, kTimers);
}

// Against a model, with budgets so small that every move to a finer level is interrupted, and
// timers armed and cancelled meanwhile.
class TimerWheelModel : public testing::TestWithParam<uint32_t> {};

TEST_P(TimerWheelModel, AgreesWithASortedList) {
  constexpr uint32_t kTimers = 300;
  const uint32_t budget = GetParam();
  Env env(kTimers);
  std::vector<std::optional<uint64_t>> due(kTimers);
  std::mt19937_64 random(budget);
  for (int step = 0; step < 60'000; ++step) {
    const uint32_t timer = random() % kTimers;
    if (random() % 8 == 0) {
      env.wheel.cancel(timer);
      due[timer].reset();
    } else if (random() % 2 == 0) {
      due[timer] = env.now + (random() >> (44 + random() % 20));
      if (random() % 8 == 0) due[timer] = env.now - random() % 500'000;  // long past
      env.wheel.arm(timer, Cycles{*due[timer]});
    }
    env.tick(random() % 4 == 0 ? random() % 100'000 : random() % 200, budget);
    for (const uint32_t fired : env.taken()) {
      ASSERT_TRUE(due[fired].has_value());
      ASSERT_LE(*due[fired], env.now);  // never early
      due[fired].reset();
    }
    if (step % 50 == 0) {  // with work enough, nothing that is due stays behind
      env.tick(kTick);
      for (const uint32_t fired : env.taken()) due[fired].reset();
      for (uint32_t i = 0; i < kTimers; ++i) {
        ASSERT_EQ(env.wheel.armed(i), due[i].has_value());
        if (due[i]) {
          ASSERT_GT(*due[i] + kTick, env.now) << step;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Budgets, TimerWheelModel, testing::Values(1, 2, 7, 1000));

}  // namespace
}  // namespace mayfly
