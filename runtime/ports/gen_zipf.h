// Draws ranks 1 to n with probability proportional to 1 / rank^s, exactly, in constant time: a few
// nanoseconds, since the source must not cost what it is to measure.
//
//   rank      1  2  3 ... 1024 | 1025 .. 1040 | 1041 .. 1056 | ...        | ... n
//   segment   one each         | each at most 1/64 as wide as where it begins
//
// 1. Which segment: Walker's alias method over their exact weights (Walker, ACM TOMS 1977; at most
//    some 1,700 segments at n = 2^24: two tables that stay in the second-level cache).
// 2. Which rank of it: uniform, accepted with probability (first / rank)^s. That is never below
//    (64 / 65)^s, and a draw below the segment's least such probability (`sure`) is accepted
//    without computing it: a power is taken for about s draws in 130.
//
// Rejection-inversion (Hörmann and Derflinger, ACM TOMACS 1996) needs no tables, but a power and a
// logarithm for every packet: as much as a packet costs the vSwitch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/ports/gen_random.h"

namespace mayfly {

class Zipf {
 public:
  // `n` at least 1, `exponent` above 0.
  Zipf(uint32_t n, double exponent);

  // A rank, from 0: the most popular.
  uint32_t next(Random& random) const {
    // The high half of the product is a column; the low half is uniform within it.
    const auto at = static_cast<unsigned __int128>(random.next()) * columns_.size();
    const auto column = static_cast<uint32_t>(at >> 64);
    const bool own = static_cast<uint64_t>(at) < columns_[column].own;
    const Segment& segment = segments_[own ? column : columns_[column].alias];
    return segment.width == 1 ? segment.first : within(segment, random);
  }

  size_t segment_count() const { return segments_.size(); }

 private:
  struct Segment {
    uint32_t first;  // rank from 0
    uint32_t width;
    uint32_t sure;  // in 2^-32
  };
  struct Column {
    uint64_t own;  // share of this column that is its own segment, in 2^-64; the rest is `alias`
    uint32_t alias;
  };

  uint32_t within(const Segment& segment, Random& random) const;
  void build_columns(std::vector<double> weights);

  double exponent_;
  std::vector<Segment> segments_;
  std::vector<Column> columns_;
};

}  // namespace mayfly
