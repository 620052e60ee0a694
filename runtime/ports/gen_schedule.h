// When the generator's packets are due, how large they are, and which flow is next: everything
// about it that is arithmetic and not packets. All of it is a function of the configuration and the
// seed.
//
// Open loop: packet k is due at a time that does not depend on how the earlier ones fared. A late
// packet keeps its due time (it counts as late, and its latency counts from when it was due), none
// is skipped, and a generator that is behind gives as many as it is asked for.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/base/types.h"
#include "runtime/config/config.h"

namespace mayfly {

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t n) {
    return static_cast<uint32_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }

 private:
  uint64_t state_;
};

class GenSchedule {
 public:
  GenSchedule(const GenConfig& config, uint64_t tsc_hz);

  // 0: unlimited, a packet is always due. The first packet after a change of rate is due one gap
  // after the next restart().
  void set_rate(double pps);
  bool unlimited() const { return gap_ == 0; }
  bool started() const { return started_; }
  void restart(Cycles now);

  Cycles due() const { return {due_}; }
  // On to the next packet.
  void advance() {
    uint64_t step = gap_;
    if (arrival_ == Arrival::poisson) {
      const uint64_t factor = exponential_[random_.next() >> (64 - kTableBits)];
      step = static_cast<uint64_t>((static_cast<unsigned __int128>(gap_) * factor) >> kFraction);
    }
    step += fraction_;
    due_ += step >> kFraction;
    fraction_ = step & ((uint64_t{1} << kFraction) - 1);
  }
  Cycles gaps(uint32_t n) const { return {(gap_ >> kFraction) * n}; }

 private:
  static constexpr uint32_t kFraction = 24;  // fixed point: 6e-8 of a cycle
  static constexpr uint32_t kTableBits = 12;
  // Gaps of a Poisson process, in mean gaps: the exponential distribution at 4,096 equally likely
  // points, scaled so that its mean is exactly 1 (the longest is 9 mean gaps).
  std::array<uint64_t, 1u << kTableBits> exponential_;
  Random random_;
  Arrival arrival_;
  uint64_t tsc_hz_;
  uint64_t gap_ = 0;  // mean, in 2^-24 cycles
  uint64_t due_ = 0;
  uint64_t fraction_ = 0;
  bool started_ = false;
};

// Frame sizes, without FCS.
class GenSizes {
 public:
  // fixed: size_bytes. imix: 60, 590 and 1,514 bytes, 7 : 4 : 1. web: by the distribution that the
  // BESS / ClickOS comparison takes from a web server cluster, median 120 bytes, 85 % below 256.
  explicit GenSizes(const GenConfig& config);
  uint32_t next(Random& random) const {
    return fixed_ != 0 ? fixed_ : table_[random.next() >> (64 - kTableBits)];
  }
  uint32_t largest() const { return largest_; }

 private:
  static constexpr uint32_t kTableBits = 8;
  std::array<uint16_t, 1u << kTableBits> table_{};
  uint32_t fixed_ = 0;
  uint32_t largest_ = 0;
};

}  // namespace mayfly
