#include "runtime/ports/gen_zipf.h"

#include <algorithm>
#include <cmath>

namespace mayfly {
namespace {

constexpr uint32_t kSingles = 1024;  // ranks with a segment of their own
constexpr uint32_t kWidthShift = 6;  // later segments: 1/64 as wide as where they begin
constexpr int kTries = 64;           // rejections in a row: less likely than 10^-50

// Sum of k^-s for k from `a` to `b`, by Euler and Maclaurin: exact to 12 digits from 1,024 on.
double sum_of_powers(double a, double b, double s) {
  const auto f = [s](double x) { return std::pow(x, -s); };
  const auto slope = [s](double x) { return -s * std::pow(x, -s - 1); };
  // (b^(1-s) - a^(1-s)) / (1-s), which is log(b/a) at s = 1, without losing digits near it.
  const double log_ratio = std::log(b / a), t = (1 - s) * log_ratio;
  const double integral =
      std::pow(a, 1 - s) * log_ratio * (std::abs(t) < 1e-8 ? 1 + t / 2 : std::expm1(t) / t);
  return integral + (f(a) + f(b)) / 2 + (slope(b) - slope(a)) / 12;
}

}  // namespace

Zipf::Zipf(uint32_t n, double exponent) : exponent_(exponent) {
  std::vector<double> weights;
  for (uint32_t first = 0; first < n;) {
    const uint32_t rank = first + 1;
    const uint32_t width = first < kSingles ? 1 : std::min(rank >> kWidthShift, n - first);
    const double last = first + width;
    const double sure = std::pow(rank / last, exponent) * 4294967296.0;
    segments_.push_back({first, width, static_cast<uint32_t>(std::min(sure, 4294967295.0))});
    weights.push_back(width == 1 ? std::pow(rank, -exponent) : sum_of_powers(rank, last, exponent));
    first += width;
  }
  build_columns(std::move(weights));
}

// Vose's way (IEEE TSE 1991): what a light column lacks is taken from a heavy one.
void Zipf::build_columns(std::vector<double> weights) {
  double sum = 0;
  for (auto w = weights.rbegin(); w != weights.rend(); ++w) sum += *w;  // small ones first
  const auto count = static_cast<uint32_t>(weights.size());
  std::vector<uint32_t> light, heavy;
  for (uint32_t i = 0; i < count; ++i) {
    weights[i] *= count / sum;
    (weights[i] < 1 ? light : heavy).push_back(i);
  }
  for (uint32_t i = 0; i < count; ++i) columns_.push_back({UINT64_MAX, i});
  while (!light.empty() && !heavy.empty()) {
    const uint32_t small = light.back(), large = heavy.back();
    light.pop_back();
    columns_[small] = {static_cast<uint64_t>(weights[small] * 18446744073709549568.0), large};
    weights[large] -= 1 - weights[small];
    if (weights[large] < 1) {
      heavy.pop_back();
      light.push_back(large);
    }
  }
}

uint32_t Zipf::within(const Segment& segment, Random& random) const {
  uint32_t rank = segment.first;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t bits = random.next();
    rank = segment.first + static_cast<uint32_t>(((bits >> 32) * segment.width) >> 32);
    const auto drawn = static_cast<uint32_t>(bits);
    if (drawn < segment.sure) return rank;
    const double accept = std::pow((segment.first + 1.0) / (rank + 1.0), exponent_);
    if (drawn < accept * 4294967296.0) return rank;
  }
  return rank;
}

}  // namespace mayfly
