// The routes of l3fwd: their text, their compiled form, and the longest-prefix look-up.
//
//   PREFIX via MAC out PORT|next       frames for PREFIX get MAC as their destination and leave by
//                                      PORT (counted from 0), or go on along the chain
//   PREFIX unreachable                 refused with an ICMP error (host, or address, unreachable)
//   PREFIX blackhole                   dropped in silence
//   port N mac MAC [address A]...      the router's own MAC on port N, and its IPv4 and IPv6
//                                      address there, which ICMP errors are sent from
//
// PREFIX is IPv4 or IPv6; 0.0.0.0/0 and ::/0 are the default routes. The order of lines is of no
// importance. A forwarded frame's source MAC is that of its `out` port if one is given, else the
// address the frame was sent to (this router's, by definition).
//
// Look-up. Overlapping prefixes are cut at compile time into the disjoint intervals that they mean:
//
//   10.0.0.0/8    |==================A=================|
//   10.1.0.0/16         |====B====|
//   intervals     0 -- |A---|B-------|A-----------------|-- no route
//   starts        0    10.0 10.1     10.2               11.0
//
// so that the longest prefix of an address is the last interval that starts at or below it: one
// branchless binary search over a dense array (n prefixes make at most 2n + 1 intervals, 5,000
// IPv4 routes fit the 64 KiB of a configuration).
//
// Compiled form: RoutesConfig | Hop[] | RouterPort[] | uint128 starts6[] | uint32 starts4[] |
//                uint16 hops6[] | uint16 hops4[]
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nfs/nf.h"

namespace mayfly {

using Uint128 = unsigned __int128;  // an IPv6 address in host order

struct Hop {
  enum class Action : uint8_t { no_route, forward, forward_next, unreachable, blackhole };
  uint8_t mac[6];
  uint8_t source_mac[6];  // all zero: the frame's own destination
  Action action;
  uint8_t port;
  uint8_t reserved[2];
  bool operator==(const Hop&) const = default;
};
static_assert(sizeof(Hop) == 16);

struct RouterPort {
  uint8_t port;
  bool has4, has6, has_mac;
  uint8_t mac[6];
  uint8_t reserved[2];
  uint8_t address4[4];
  uint8_t address6[16];
};
static_assert(sizeof(RouterPort) == 32);

struct RoutesConfig {
  uint32_t hop_count, port_count, interval6_count, interval4_count;
  uint64_t icmp_per_s;
  uint64_t reserved;
};
static_assert(sizeof(RoutesConfig) == 32);

// The compiled routes of one tenant, checked to lie inside their configuration.
class RouteTable {
 public:
  static RouteTable over(std::span<const std::byte> blob);

  bool usable() const { return config_ != nullptr; }
  uint64_t icmp_per_s() const { return config_->icmp_per_s; }
  const Hop& find4(uint32_t address) const {
    return hop(hops4_[interval_of(starts4_, config_->interval4_count, address)]);
  }
  const Hop& find6(Uint128 address) const {
    return hop(hops6_[interval_of(starts6_, config_->interval6_count, address)]);
  }
  const RouterPort* router_port(uint8_t port) const;  // null: not described

 private:
  // The last interval that starts at or below `address`; the first starts at 0. Compilers make a
  // conditional move of it.
  template <class Address>
  static uint32_t interval_of(const Address* starts, uint32_t count, Address address) {
    const Address* base = starts;
    while (count > 1) {
      const uint32_t half = count / 2;
      base = base[half] <= address ? base + half : base;
      count -= half;
    }
    return static_cast<uint32_t>(base - starts);
  }
  const Hop& hop(uint16_t index) const { return hops_[index < config_->hop_count ? index : 0]; }

  const RoutesConfig* config_ = nullptr;
  const Hop* hops_ = nullptr;  // the first is `no_route`
  const RouterPort* ports_ = nullptr;
  const Uint128* starts6_ = nullptr;
  const uint32_t* starts4_ = nullptr;
  const uint16_t* hops6_ = nullptr;
  const uint16_t* hops4_ = nullptr;
};

// Appends the compiled routes of `text`. False with `error` about the argument "routes".
bool compile_routes(std::string_view text, uint64_t icmp_per_s, std::vector<std::byte>& blob,
                    ArgError& error);

}  // namespace mayfly
