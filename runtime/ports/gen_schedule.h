// When the generator's packets are due, how large they are, and which flow is next: everything
// about it that is arithmetic and not packets. All of it is a function of the configuration and the
// seed.
//
// Open loop: packet k is due at a time that does not depend on how the earlier ones fared. A late
// packet keeps its due time (it counts as late, and its latency counts from when it was due), none
// is skipped, and a generator that is behind gives as many as it is asked for.
//
// On/off bursts run on a clock of their own that stands still while the source is off, and goes
// through (on + off) / on times the rate while it is on: the mean over a period is the given rate.
//
//   source clock   0 ....... on ....... 2 on            gap = mean gap * on / (on + off)
//   TSC            0 ....... on | off | on ....... on | off | ...
#pragma once

#include <array>
#include <cstdint>

#include "runtime/base/types.h"
#include "runtime/config/config.h"
#include "runtime/ports/gen_random.h"

namespace mayfly {

class GenSchedule {
 public:
  GenSchedule(const GenConfig& config, uint64_t tsc_hz);

  // 0: unlimited, a packet is always due. The first packet after a change of rate is due one gap
  // after the next restart().
  void set_rate(double pps);
  bool unlimited() const { return gap_ == 0; }
  bool started() const { return started_; }
  void restart(Cycles now);

  // Is a packet due, and since when?
  bool is_due(Cycles now) const { return unlimited() ? is_on(now) : due_ <= now.n; }
  Cycles due(Cycles now) const { return unlimited() ? now : Cycles{due_}; }
  // On to the next packet; nothing to do where the rate is unlimited.
  void advance() {
    if (unlimited()) return;
    uint64_t step = gap_;
    if (arrival_ == Arrival::poisson) {
      const uint64_t factor = exponential_[random_.next() >> (64 - kTableBits)];
      step = static_cast<uint64_t>((static_cast<unsigned __int128>(gap_) * factor) >> kFraction);
    }
    step += fraction_;
    due_ += step >> kFraction;
    fraction_ = step & ((uint64_t{1} << kFraction) - 1);
    if (due_ >= burst_end_) skip_off();
  }
  Cycles gaps(uint32_t n) const { return {(gap_ >> kFraction) * n}; }

 private:
  static constexpr uint32_t kFraction = 24;  // fixed point: 6e-8 of a cycle
  static constexpr uint32_t kTableBits = 12;

  // The due time passed the end of a burst: over as many times off as it passed.
  void skip_off() {
    const uint64_t periods = (due_ - burst_end_) / on_ + 1;
    due_ += periods * off_;
    burst_end_ += periods * (on_ + off_);
  }
  bool is_on(Cycles now) const { return off_ == 0 || (now.n - began_) % (on_ + off_) < on_; }

  // Gaps of a Poisson process, in mean gaps: the exponential distribution at 4,096 equally likely
  // points, scaled so that its mean is exactly 1 (the longest is 9 mean gaps).
  std::array<uint64_t, 1u << kTableBits> exponential_;
  Random random_;
  Arrival arrival_;
  uint64_t tsc_hz_;
  uint64_t gap_ = 0;                 // mean while on, in 2^-24 cycles
  uint64_t on_ = 0, off_ = 0;        // cycles; off 0: no bursts
  uint64_t began_ = 0;               // where the first burst began
  uint64_t burst_end_ = UINT64_MAX;  // of the burst that due_ is in
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
