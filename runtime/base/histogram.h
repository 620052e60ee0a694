// A log-linear histogram of durations: exact below 2,048 units, then 1,024 cells per power of
// two, so that any value is known to 3 significant digits (error below 0.1 %), in the manner of
// HdrHistogram. Values past the top land in the last cell and keep `max` exact.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace mayfly {

class Histogram {
 public:
  Histogram() : cells_(kCells, 0) {}

  void record(uint64_t value) {
    ++cells_[cell_of(value)];
    ++count_;
    sum_ += value;
    if (value > max_) max_ = value;
  }
  void merge(const Histogram& other);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ ? static_cast<double>(sum_) / static_cast<double>(count_) : 0; }
  // The smallest recorded value such that at least `q` (0..1) of all values are at or below it,
  // to the histogram's precision; 0 when empty.
  uint64_t quantile(double q) const;
  // f(largest value of the cell, values in it) of every cell that is not empty, in order. The last
  // one's is `max`.
  template <class F>
  void for_each(F&& f) const {
    for (uint32_t i = 0; i < kCells; ++i)
      if (cells_[i] != 0) f(top_of(i) < max_ ? top_of(i) : max_, cells_[i]);
  }

 private:
  static constexpr uint32_t kSubBits = 10;
  static constexpr uint32_t kExponents = 32;  // up to 2^43 units: 56 minutes at 2.6 GHz
  static constexpr uint32_t kCells = (kExponents + 2) << kSubBits;

  static uint32_t cell_of(uint64_t value) {
    if (value < (2u << kSubBits)) return static_cast<uint32_t>(value);
    const uint32_t shift = static_cast<uint32_t>(std::bit_width(value)) - kSubBits - 1;
    if (shift > kExponents) return kCells - 1;
    return (shift << kSubBits) + static_cast<uint32_t>(value >> shift);
  }
  static uint64_t top_of(uint32_t cell);

  std::vector<uint64_t> cells_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace mayfly
