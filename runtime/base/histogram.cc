#include "runtime/base/histogram.h"

#include <algorithm>

namespace mayfly {

void Histogram::merge(const Histogram& other) {
  for (uint32_t i = 0; i < kCells; ++i) cells_[i] += other.cells_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void Histogram::clear() {
  std::fill(cells_.begin(), cells_.end(), 0);
  count_ = sum_ = max_ = 0;
}

uint64_t Histogram::top_of(uint32_t cell) {
  if (cell < (2u << kSubBits)) return cell;
  const uint32_t shift = (cell >> kSubBits) - 1;
  const uint64_t mantissa = cell - (shift << kSubBits);
  return ((mantissa + 1) << shift) - 1;
}

uint64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kCells; ++i) {
    seen += cells_[i];
    if (seen > 0 && static_cast<double>(seen) >= wanted) return std::min(top_of(i), max_);
  }
  return max_;
}

}  // namespace mayfly
