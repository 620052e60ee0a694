// Wake policy: when is an NF ready? A batch of `batch` packets waits, or the oldest has waited
// `aging`. Mechanism (how it is then woken) is dispatch.h; the ageing timers themselves are the
// vSwitch's timer wheel, so that looking for expired ones costs O(expired).
//
// `adaptive` follows the arrival rate r of each NF (packets per cycle, an EWMA over wakes):
//
//   expected = r * aging            packets that one ageing time brings
//   batch    = 1                    if expected < 2: waiting buys nothing but latency
//            = expected / 2         otherwise, at most `batch_max`: half an ageing time of delay
//
// A policy answers events and touches neither packets nor processes; time comes in as `now`.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/base/types.h"

namespace mayfly {

inline constexpr Cycles kNoAging{UINT64_MAX};

struct WakeParams {
  uint32_t batch = 8;        // packets
  bool adaptive = false;
  Cycles aging = kNoAging;   // kNoAging: the batch alone decides
  uint32_t batch_max = 64;   // adaptive: upper bound (at most what an NF may hold)
};

enum class WakeAdvice : uint8_t {
  nothing,  // not ready, and a timer (if any) is running already
  arm,      // not ready: start the ageing timer at now + aging
  ready,
};

// One NF's state: what came since it was last called ready.
struct WakeState {
  uint64_t since = 0;        // TSC of the first waiting packet
  float packets_per_cycle = 0;
  uint16_t waiting = 0;
  uint16_t batch = 1;        // in force while adaptive

  void begin(const WakeParams& p) {
    *this = {};
    batch = p.adaptive ? 1 : static_cast<uint16_t>(std::min<uint32_t>(p.batch, UINT16_MAX));
  }

  // `n` packets were put into its ring at `now`.
  WakeAdvice on_packets(const WakeParams& p, uint32_t n, Cycles now) {
    const bool first = waiting == 0;
    waiting = static_cast<uint16_t>(std::min<uint32_t>(waiting + n, UINT16_MAX));
    if (first) on_gap(p, now);
    counted_ += n;
    // A fixed batch is read where it stands: it may be changed while NFs wait.
    if (waiting >= (p.adaptive ? batch : p.batch)) return WakeAdvice::ready;
    return first && p.aging != kNoAging ? WakeAdvice::arm : WakeAdvice::nothing;
  }

  // It was called ready (and woken if it slept), or everything it had came back.
  void on_served() { waiting = 0; }

 private:
  // A new round begins: the packets counted since the last one, over the time it took.
  void on_gap(const WakeParams& p, Cycles now) {
    if (p.adaptive && since != 0 && now.n > since) {
      const float rate = static_cast<float>(counted_) / static_cast<float>(now.n - since);
      packets_per_cycle += 0.25f * (rate - packets_per_cycle);
      const float span = p.aging == kNoAging ? 0 : static_cast<float>(p.aging.n);
      const float expected = packets_per_cycle * span;
      const float cap = static_cast<float>(p.batch_max);
      batch = expected < 2 ? 1 : static_cast<uint16_t>(std::min(expected / 2, cap));
    }
    since = now.n;
    counted_ = 0;
  }

  uint32_t counted_ = 0;
};

}  // namespace mayfly
