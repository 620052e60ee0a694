#include "runtime/base/clock.h"

#include <time.h>

namespace mayfly {
namespace {

int64_t monotonic_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

}  // namespace

uint64_t measure_tsc_hz() {
  const int64_t begin_ns = monotonic_ns();
  const uint64_t begin = __rdtsc();
  int64_t now_ns = begin_ns;
  while (now_ns - begin_ns < 20'000'000) now_ns = monotonic_ns();
  const uint64_t ticks = __rdtsc() - begin;
  return static_cast<uint64_t>(static_cast<__int128>(ticks) * 1'000'000'000 / (now_ns - begin_ns));
}

}  // namespace mayfly
