// Time. Code that decides anything takes `Cycles now` as an argument, so that a test moves the
// clock; only the outermost loops read it here.
#pragma once

#include <x86intrin.h>

#include "runtime/base/types.h"

namespace mayfly {

inline Cycles tsc_now() { return {__rdtsc()}; }

// Converts between the time stamp counter and wall time. The frequency is measured once by the
// dataplane and handed to everyone else through the domain's header.
class TscRate {
 public:
  constexpr explicit TscRate(uint64_t hz) : hz_(hz) {}
  constexpr uint64_t hz() const { return hz_; }
  constexpr Cycles cycles(Nanos t) const {
    return {static_cast<uint64_t>(static_cast<__int128>(t.n) * hz_ / 1'000'000'000)};
  }
  constexpr Nanos nanos(Cycles c) const {
    return {static_cast<int64_t>(static_cast<__int128>(c.n) * 1'000'000'000 / hz_)};
  }

 private:
  uint64_t hz_;
};

// The frequency of the counter, timed against CLOCK_MONOTONIC_RAW for 20 ms.
uint64_t measure_tsc_hz();

}  // namespace mayfly
