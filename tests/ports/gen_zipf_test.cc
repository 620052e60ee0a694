#include "runtime/ports/gen_zipf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace mayfly {
namespace {

// How far the draws are from 1 / rank^s over ranges of ranks (each expected often enough): how many
// standard deviations chi-squared is above what chance alone gives.
double misfit(uint32_t n, double s, uint64_t seed, uint32_t draws) {
  std::vector<uint32_t> seen(n, 0);
  const Zipf zipf(n, s);
  Random random(seed);
  for (uint32_t i = 0; i < draws; ++i) ++seen.at(zipf.next(random));
  double sum = 0;
  for (uint32_t k = n; k >= 1; --k) sum += std::pow(k, -s);
  double chi = 0, expected = 0, found = 0;
  int ranges = 0;
  for (uint32_t k = 1; k <= n; ++k) {
    expected += std::pow(k, -s) / sum * draws;
    found += seen[k - 1];
    if (expected < 50 && k != n) continue;
    chi += expected < 5 ? 0 : (found - expected) * (found - expected) / expected;
    ++ranges;
    expected = found = 0;
  }
  const double freedom = std::max(ranges - 1, 1);
  return (chi - freedom) / std::sqrt(2 * freedom);
}

TEST(Zipf, DrawsFollowThePowerLaw) {
  for (const uint32_t n : {1u, 2u, 7u, 1000u, 1024u, 1025u, 5000u, 300'000u})
    for (const double s : {0.01, 0.5, 0.99, 1.0, 1.0000001, 1.2, 2.0, 10.0}) {
      EXPECT_LT(misfit(n, s, 11, 400'000), 4) << n << " flows, exponent " << s;
    }
}

TEST(Zipf, SixteenMillionFlowsCostATableThatFitsTheCache) {
  const auto begin = std::chrono::steady_clock::now();
  const Zipf zipf(1u << 24, 1.0);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(zipf.segment_count(), 2000u);
  EXPECT_LT(took, std::chrono::milliseconds(200));
  Random random(3);
  double below_100 = 0, upper_half = 0;
  constexpr int kDraws = 1'000'000;
  for (int i = 0; i < kDraws; ++i) {
    const uint32_t rank = zipf.next(random);
    ASSERT_LT(rank, 1u << 24);
    below_100 += rank < 100;
    upper_half += rank >= 1u << 23;
  }
  const double harmonic = std::log(16777216.0) + 0.57721566;
  EXPECT_NEAR(below_100 / kDraws, 5.18737751 / harmonic, 0.003);
  EXPECT_NEAR(upper_half / kDraws, std::log(2.0) / harmonic, 0.001);
}

TEST(Zipf, OneSeedOneSequence) {
  const Zipf zipf(100'000, 1.1);
  Random a(5), b(5), c(6);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t rank = zipf.next(a);
    EXPECT_EQ(rank, zipf.next(b));
    differs |= rank != zipf.next(c);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace mayfly
