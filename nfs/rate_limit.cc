// rate_limit: a token bucket per tenant or flow: what exceeds the rate is dropped (a policer; NFs
// do not hold packets, so there is no queue to shape with).
//
// What counts is the whole frame from the first MAC byte to the end, without preamble and FCS.
// Each ingress port has a bucket of its own (`per_port: true`), so that a tenant's two directions
// do not eat each other's rate: TCP's acknowledgements travel on the other bucket.
//
// Burst. Where round trips are short, TCP cannot go as slowly as a policer wants it to: even one
// packet per round trip of 0.1 ms is 120 Mb/s. It empties the bucket, loses a whole window, and
// falls silent until its retransmission timer fires: 200 ms at least on Linux, and more as losses
// repeat. Whatever the bucket earns in that silence and cannot hold is lost to the connection:
// iperf3 through a bucket of 50 ms of its rate gets 26-93 % of it. So by default the bucket holds
// 100 ms of the rate, but 400 ms for a second after each drop: a transfer of t seconds gets its
// rate, and exceeds it by 0.1 s / t at most, 2 % at 5 s.
#include "nfs/nf.h"

#include <algorithm>

#include "nfs/token_bucket.h"

namespace mayfly {
namespace {

inline constexpr uint64_t kBytesPerSecondPerMbps = 1'000'000 / 8;
inline constexpr uint64_t kDefaultBurstMs = 100;
inline constexpr uint64_t kDefaultBurstAfterDropMs = 400;
inline constexpr uint64_t kDefaultBurstBytesMin = 64 * 1024;  // one GSO frame
inline constexpr uint32_t kPortSlots = 256;                   // every value of Packet::port_in()

struct RateLimitConfig {
  TokenRate rate;     // tokens are bytes
  uint8_t port_mask;  // 0xff: a bucket per ingress port; 0: one for all
};

class RateLimit final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override { config_ = binding.config_as<RateLimitConfig>(); }

  void process(Burst& burst) override {
    for (Packet& packet : burst) {
      if (config_ == nullptr || !take(packet, burst.now_ns())) packet.drop();
    }
  }

  // Only ports that brought packets have dirtied their bucket.
  void reset() override {
    for (uint32_t port = 0; port < kPortSlots; ++port) {
      if (used_[port / 64] >> (port % 64) & 1) buckets_[port] = TokenBucket();
    }
    std::fill(std::begin(used_), std::end(used_), 0);
    config_ = nullptr;
  }

 private:
  bool take(const Packet& packet, uint64_t now_ns) {
    const uint8_t port = packet.port_in() & config_->port_mask;
    used_[port / 64] |= uint64_t{1} << (port % 64);
    return buckets_[port].spend(packet.size(), now_ns, config_->rate);
  }

  const RateLimitConfig* config_ = nullptr;
  uint64_t used_[kPortSlots / 64] = {};
  TokenBucket buckets_[kPortSlots];
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError&) {
  const uint64_t bytes_per_s = args.number("mbps") * kBytesPerSecondPerMbps;
  const uint64_t burst = args.number("burst");
  const auto default_burst = [&](uint64_t ms) {
    return std::max(bytes_per_s * ms / 1000, kDefaultBurstBytesMin);
  };
  append_config(
      blob, RateLimitConfig{
                .rate = burst != 0 ? TokenRate::make(bytes_per_s, burst)
                                   : TokenRate::make(bytes_per_s, default_burst(kDefaultBurstMs),
                                                     default_burst(kDefaultBurstAfterDropMs)),
                .port_mask = static_cast<uint8_t>(args.number("per_port") ? 0xff : 0)});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new RateLimit; }

constexpr NfArg kArgs[] = {
    {"mbps", ArgType::integer, "rate in Mbit/s, of frame bytes", nullptr, 1, 400'000},
    {"burst", ArgType::size,
     "bytes that may pass at once after silence (a frame above it never passes); 0B: 100 ms of the "
     "rate, 400 ms for a second after a drop, 64 KiB at least",
     "0B", 0, 1u << 30},
    {"per_port", ArgType::boolean,
     "true: a bucket for each ingress port, thus each direction; false: one for all", "true"},
};
constexpr NfImage kImage = {
    .name = "rate_limit",
    .summary = "token bucket: drops what exceeds the tenant's rate",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
