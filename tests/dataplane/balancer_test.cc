#include "runtime/dataplane/balancer.h"

#include <gtest/gtest.h>

#include <array>

namespace mayfly {
namespace {

using Loads = std::array<float, 3>;

TEST(Balancer, EvenLoadsMoveNothing) {
  Balancer balancer;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(balancer.look(Loads{0.9f, 0.8f, 0.7f}));
}

TEST(Balancer, ThreeLooksInARow) {
  Balancer balancer;
  const Loads loads{0.2f, 1.0f, 0.6f};
  EXPECT_FALSE(balancer.look(loads));
  EXPECT_FALSE(balancer.look(loads));
  const auto move = balancer.look(loads);
  ASSERT_TRUE(move);
  EXPECT_EQ(move->from, 1u);
  EXPECT_EQ(move->to, 0u);
  EXPECT_FLOAT_EQ(move->share, 0.4f) << "what makes both equal";
  EXPECT_FALSE(balancer.look(loads)) << "that must first show";
}

TEST(Balancer, AnotherPairBeginsAnew) {
  Balancer balancer;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(balancer.look(Loads{0.2f, 1.0f, 0.6f}));
    EXPECT_FALSE(balancer.look(Loads{0.2f, 0.6f, 1.0f}));
  }
}

TEST(Balancer, OneAtLeastStays) {
  const Balancer::Move move{0, 1, 0.5};
  EXPECT_EQ(Balancer::count(move, 0), 0u);
  EXPECT_EQ(Balancer::count(move, 1), 0u) << "it would only move the load";
  EXPECT_EQ(Balancer::count(move, 2), 1u);
  EXPECT_EQ(Balancer::count(move, 20), 10u);
  EXPECT_EQ(Balancer::count(move, 64), Balancer::kMovesMax);
  EXPECT_EQ(Balancer::count({0, 1, 0.01}, 20), 1u);
  EXPECT_EQ(Balancer::count({0, 1, 1}, 3), 2u);
}

TEST(Balancer, WhoHasMovedStays) {
  Balancer balancer;
  const Balancer::Time now{std::chrono::hours(1)};
  EXPECT_TRUE(balancer.may_move(SlotId{5}, now));
  balancer.moved(SlotId{5}, now);
  EXPECT_FALSE(balancer.may_move(SlotId{5}, now + std::chrono::seconds(1)));
  EXPECT_TRUE(balancer.may_move(SlotId{6}, now));
  EXPECT_TRUE(balancer.may_move(SlotId{5}, now + std::chrono::seconds(3)));
}

}  // namespace
}  // namespace mayfly
