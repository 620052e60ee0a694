// Orders of ready NFs: the queue itself, and shares of a core by weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "scheduler/fair_clock.h"
#include "scheduler/ready_order.h"

namespace mayfly {
namespace {

TEST(ReadyOrder, FirstComeFirstServed) {
  ReadyOrder order(false, 8);
  uint32_t in = 0, out = 0;
  for (uint32_t round = 0; round < 100; ++round) {
    while (order.size() < 1 + round % 8) order.push(SlotId{in++});
    for (uint32_t n = round % 3; n > 0 && !order.empty(); --n)
      EXPECT_EQ(order.pop(), SlotId{out++});
  }
}

TEST(ReadyOrder, TheLowestKeyFirstAndOfEqualsWhoCameFirst) {
  std::mt19937 random(1);
  ReadyOrder order(true, 1000);
  std::vector<ReadyOrder::Entry> expected;
  for (uint32_t i = 0; i < 100'000; ++i) {
    if (random() % 2 == 0 && expected.size() < 1000) {
      const uint64_t key = random() % 16;
      order.push(SlotId{i}, key, Cycles{i});
      expected.push_back({key, Cycles{i}, 0, SlotId{i}});
      continue;
    }
    if (expected.empty()) continue;
    const auto first = std::min_element(expected.begin(), expected.end(),
                                        [](const auto& a, const auto& b) { return a.key < b.key; });
    EXPECT_EQ(order.first().slot, first->slot);
    const ReadyOrder::Entry got = order.pop_first();
    ASSERT_EQ(got.slot, first->slot);
    ASSERT_EQ(got.since, first->since);
    expected.erase(first);
    ASSERT_EQ(order.size(), expected.size());
  }
}

// What an NF says of the time it worked.
enum class Says { truth, nothing, too_much, anything };

// NFs that always want the core, one turn of `turn` cycles after the other, and a vSwitch that
// looks every 20,000 cycles or so. Returns what each got.
class Core {
 public:
  struct Nf {
    double weight;
    uint64_t turn;
    Says says = Says::truth;
    uint64_t got = 0, counter = 0;
    FairShare share = {};
  };

  explicit Core(std::vector<Nf> nfs) : nfs_(std::move(nfs)) {
    for (Nf& nf : nfs_) nf.share.weight = nf.weight;
    clock_.look(now_, false, false);
    next_look_ = now_ + Cycles{20'000};
  }

  std::vector<Nf>& run(uint64_t cycles) {
    const Cycles end = now_ + Cycles{cycles};
    while (now_ < end) one_turn();
    return nfs_;
  }

 private:
  void one_turn() {
    Nf* next = &nfs_[0];
    for (Nf& nf : nfs_) {
      clock_.enter(nf.share);
      if (nf.share.tag < next->share.tag) next = &nf;
    }
    clock_.serve(next->share, now_);
    const uint64_t cycles = next->turn / 2 + random_() % next->turn;
    const Cycles gone = now_ + Cycles{cycles};
    while (next_look_ < gone) {
      clock_.look(next_look_, true, true);
      next_look_ = next_look_ + Cycles{10'000 + random_() % 20'000};
    }
    now_ = gone;
    next->got += cycles;
    switch (next->says) {
      case Says::truth:
        next->counter += cycles;
        break;
      case Says::nothing:
        break;
      case Says::too_much:
        next->counter += 10 * cycles;
        break;
      case Says::anything:
        next->counter = random_();
        break;
    }
    clock_.charge(next->share, next->counter, next_look_);
  }

  std::vector<Nf> nfs_;
  FairClock clock_;
  Cycles now_{1'000'000}, next_look_{0};
  std::mt19937_64 random_{7};
};

constexpr uint64_t kSecond = 2'000'000'000;

TEST(FairClock, EachGetsItsPartByWeight) {
  for (const uint64_t turn : {5'000, 50'000, 2'000'000}) {
    SCOPED_TRACE(turn);
    const auto nfs = Core({{100, turn}, {300, turn}, {50, turn}}).run(20 * kSecond);
    const auto unit = static_cast<double>(nfs[0].got);
    EXPECT_NEAR(static_cast<double>(nfs[1].got), 3 * unit, 0.1 * unit);
    EXPECT_NEAR(static_cast<double>(nfs[2].got), 0.5 * unit, 0.02 * unit);
  }
}

TEST(FairClock, WhoeverNeedsLongerTurnsHasFewerOfThem) {
  const auto nfs = Core({{100, 5'000}, {100, 20'000}, {100, 300'000}}).run(5 * kSecond);
  const auto fair = static_cast<double>(nfs[0].got);
  EXPECT_NEAR(static_cast<double>(nfs[1].got), fair, 0.03 * fair);
  EXPECT_NEAR(static_cast<double>(nfs[2].got), fair, 0.03 * fair);
}

// Turns far shorter than the time between two looks: nobody sees them but now and then.
TEST(FairClock, ALiarGetsNoMoreInTheLongRun) {
  for (const Says says : {Says::nothing, Says::too_much, Says::anything}) {
    SCOPED_TRACE(static_cast<int>(says));
    const auto nfs =
        Core({{100, 5'000}, {100, 5'000, says}, {100, 5'000}, {300, 5'000}}).run(20 * kSecond);
    const auto unit = static_cast<double>(nfs[0].got);
    EXPECT_NEAR(static_cast<double>(nfs[1].got), unit, 0.25 * unit);
    EXPECT_NEAR(static_cast<double>(nfs[2].got), unit, 0.1 * unit);
    EXPECT_NEAR(static_cast<double>(nfs[3].got), 3 * unit, 0.3 * unit);
  }
}

TEST(FairClock, NobodyWaitsForEver) {
  const auto nfs = Core({{0.01, 5'000}, {1'000'000, 5'000}}).run(5 * kSecond);
  EXPECT_GT(nfs[0].got, 0u);
  EXPECT_GT(nfs[1].got, 1000 * nfs[0].got);
}

TEST(FairClock, WhoHasSleptHasSavedUpNothing) {
  FairClock clock;
  FairShare busy, sleeper;
  for (int i = 0; i < 100; ++i) {
    clock.enter(busy);
    clock.serve(busy, Cycles{1000u * static_cast<uint64_t>(i)});
    clock.look(Cycles{1000u * static_cast<uint64_t>(i) + 1}, true, true);
    clock.charge(busy, 500u * static_cast<uint64_t>(i + 1),
                 Cycles{1000u * static_cast<uint64_t>(i) + 1000});
  }
  const double before = busy.tag;
  clock.enter(sleeper);
  EXPECT_GT(sleeper.tag, 0.9 * before);
  EXPECT_LE(sleeper.tag, before);
}

TEST(FairClock, TimeThatNobodyElseWantedIsFree) {
  FairClock clock;
  FairShare alone;
  clock.look(Cycles{1}, false, false);
  clock.enter(alone);
  clock.serve(alone, Cycles{2});
  for (uint64_t t = 1; t < 1000; ++t) clock.look(Cycles{t * 1000}, true, false);
  clock.look(Cycles{1'000'000}, true, true);
  clock.charge(alone, 1'000'000, Cycles{1'001'000});
  EXPECT_LT(alone.tag, 3000);
}

TEST(FairClock, KeysAreInTheOrderOfTags) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const double a =
        std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 40) - 60);
    const double b =
        std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 40) - 60);
    EXPECT_EQ(a < b, FairClock::key(a) < FairClock::key(b));
  }
  EXPECT_LT(FairClock::key(1e300), FairClock::key(HUGE_VAL));
}

}  // namespace
}  // namespace mayfly
