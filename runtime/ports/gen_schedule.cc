#include "runtime/ports/gen_schedule.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "runtime/base/clock.h"

namespace mayfly {
namespace {

using Share = std::pair<uint16_t, uint16_t>;  // frame bytes, parts

constexpr Share kImix[] = {{60, 7}, {590, 4}, {1514, 1}};
constexpr Share kWeb[] = {{64, 40},  {74, 34},  {90, 26},  {110, 24}, {120, 16},
                          {150, 28}, {180, 20}, {220, 16}, {250, 14}, {400, 12},
                          {700, 8},  {1100, 6}, {1514, 12}};

}  // namespace

GenSchedule::GenSchedule(const GenConfig& config, uint64_t tsc_hz)
    : random_(config.seed ^ 0x5c4ed01e), arrival_(config.arrival), tsc_hz_(tsc_hz) {
  const double n = static_cast<double>(exponential_.size());
  std::array<double, 1u << kTableBits> gaps;
  double sum = 0;
  for (size_t i = 0; i < gaps.size(); ++i) {
    gaps[i] = -std::log((static_cast<double>(i) + 0.5) / n);
    sum += gaps[i];
  }
  for (size_t i = 0; i < gaps.size(); ++i) {
    exponential_[i] = static_cast<uint64_t>(std::llround(gaps[i] * n / sum * (1u << kFraction)));
  }
  if (arrival_ == Arrival::bursts) {
    const TscRate rate(tsc_hz);
    on_ = std::max<uint64_t>(rate.cycles(config.on).n, 1);
    off_ = rate.cycles(config.off).n;
  }
  set_rate(config.rate_pps);
}

void GenSchedule::set_rate(double pps) {
  // Below one packet in 100 s there is nothing to pace.
  const double mean = static_cast<double>(tsc_hz_) / std::max(pps, 0.01) * (1u << kFraction);
  const double share = off_ == 0 ? 1 : static_cast<double>(on_) / static_cast<double>(on_ + off_);
  gap_ = pps <= 0 ? 0 : std::max<uint64_t>(static_cast<uint64_t>(mean * share), 1);
  started_ = false;
}

void GenSchedule::restart(Cycles now) {
  started_ = true;
  due_ = began_ = now.n;
  burst_end_ = off_ == 0 ? UINT64_MAX : now.n + on_;
  fraction_ = 0;
  advance();
}

GenSizes::GenSizes(const GenConfig& config) {
  if (config.mix == SizeMix::fixed) {
    fixed_ = largest_ = config.size_bytes;
    return;
  }
  const std::span<const Share> shares =
      config.mix == SizeMix::imix ? std::span<const Share>(kImix) : std::span<const Share>(kWeb);
  uint32_t parts = 0;
  for (const Share& s : shares) parts += s.second;
  // Entry i of the table stands for the point i / 256 of the distribution.
  uint32_t before = 0;
  for (const Share& s : shares) {
    const auto begin = before * table_.size() / parts;
    before += s.second;
    std::fill(table_.begin() + begin, table_.begin() + before * table_.size() / parts, s.first);
    largest_ = std::max<uint32_t>(largest_, s.first);
  }
}

}  // namespace mayfly
