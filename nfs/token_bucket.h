// A token bucket without division, floating point or drift. Installed with the SDK.
//
// Credit is kept in token-nanoseconds: an elapsed nanosecond earns `tokens_per_s` of it, a token
// costs 10^9, the bucket holds burst * 10^9. Nothing is ever rounded, so over any time t exactly
// tokens_per_s * t + burst tokens pass at most, at any rate, however often the bucket is asked.
//
// For a second after it refused somebody the bucket may hold more, `burst_after_refusal`: what is
// earned while the refused one hesitates is then not lost to it (rate_limit.cc says why), and yet
// nobody who was never refused gets more than `burst` at once.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mayfly {

inline constexpr uint64_t kNanosPerSecond = 1'000'000'000;

struct TokenRate {
  uint64_t tokens_per_s = 1;
  uint64_t burst = 1;  // tokens the bucket holds, at most 2^30
  uint64_t burst_after_refusal = 1;
  uint64_t fill_ns = 1;  // from empty to full: elapsed time is cut to it, so no product overflows

  static TokenRate make(uint64_t tokens_per_s, uint64_t burst) {
    return make(tokens_per_s, burst, burst);
  }
  static TokenRate make(uint64_t tokens_per_s, uint64_t burst, uint64_t burst_after_refusal) {
    tokens_per_s = std::max<uint64_t>(tokens_per_s, 1);
    burst = std::clamp<uint64_t>(burst, 1, 1u << 30);
    burst_after_refusal = std::clamp<uint64_t>(burst_after_refusal, burst, 1u << 30);
    return {tokens_per_s, burst, burst_after_refusal,
            burst_after_refusal * kNanosPerSecond / tokens_per_s + 1};
  }
};

class TokenBucket {
 public:
  // Takes `tokens` if they are there. A fresh bucket is full. A new rate takes effect at once.
  bool spend(uint64_t tokens, uint64_t now_ns, const TokenRate& rate) {
    refill(now_ns, rate);
    const uint64_t cost = tokens * kNanosPerSecond;
    if (cost > credit_) {
      refused_until_ns_ = now_ns + kNanosPerSecond;
      return false;
    }
    credit_ -= cost;
    return true;
  }
  uint64_t tokens(uint64_t now_ns, const TokenRate& rate) {
    refill(now_ns, rate);
    return credit_ / kNanosPerSecond;
  }

 private:
  void refill(uint64_t now_ns, const TokenRate& rate) {
    const uint64_t elapsed = now_ns > last_ns_ ? now_ns - last_ns_ : 0;
    const uint64_t burst = now_ns < refused_until_ns_ ? rate.burst_after_refusal : rate.burst;
    credit_ += std::min(elapsed, rate.fill_ns) * rate.tokens_per_s;
    credit_ = std::min(credit_, burst * kNanosPerSecond);
    last_ns_ = std::max(last_ns_, now_ns);
  }

  uint64_t credit_ = UINT64_MAX / 2;  // more than any burst: cut to it at the first refill
  uint64_t last_ns_ = 0;
  uint64_t refused_until_ns_ = 0;
};

}  // namespace mayfly
