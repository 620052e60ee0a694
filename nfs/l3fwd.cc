// l3fwd: a router. Longest prefix match over a routes file per tenant, IPv4 and IPv6 (the file's
// format and the look-up are in l3fwd_routes.h).
//
//   not IP (ARP, ...)            on along the chain, untouched
//   malformed, wrong checksum    drop (RFC 1812 section 5.2.2)
//   to a group (MAC or address), or from or to an address that is not to be forwarded:
//                                drop (sections 5.3.4 and 5.3.7)
//   no route, unreachable        ICMP destination unreachable, drop
//   TTL or hop limit 0 or 1      ICMP time exceeded, drop
//   else                         TTL less one, checksum updated (RFC 1624), MACs rewritten, out
//
// ICMP errors (l3fwd_icmp.h) leave by the port the packet came in by, at most `icmp_per_s` a second
// (RFC 1812 section 4.3.2.8), a burst of a tenth of a second's worth.
#include <cstring>

#include "nfs/checksum.h"
#include "nfs/headers.h"
#include "nfs/l3fwd_icmp.h"
#include "nfs/l3fwd_routes.h"
#include "nfs/token_bucket.h"

namespace mayfly {
namespace {

// Each costs every instance a buffer of the arena. Two a burst are 100 a second and more.
inline constexpr uint32_t kBlankCount = 2;

// 0/8 (but no source at all is DHCP's, which is not forwarded either), 127/8, 224/4 and up.
bool may_cross4(const uint8_t* ip) {
  const auto crosses = [](const uint8_t* a) { return a[0] != 0 && a[0] != 127 && a[0] < 224; };
  return crosses(ip + 12) && crosses(ip + 16);
}

// Unspecified and loopback (::/127), link-local (fe80::/10), multicast (ff00::/8).
bool may_cross6(const uint8_t* ip) {
  const auto crosses = [](const uint8_t* a) {
    static constexpr uint8_t kZero[15] = {};
    const bool link_local = a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
    return a[0] != 0xff && !link_local && !(a[15] <= 1 && std::memcmp(a, kZero, 15) == 0);
  };
  return crosses(ip + 8) && crosses(ip + 24);
}

Uint128 address6(const uint8_t* p) {
  uint64_t high, low;
  std::memcpy(&high, p, sizeof(high));
  std::memcpy(&low, p + 8, sizeof(low));
  return static_cast<Uint128>(__builtin_bswap64(high)) << 64 | __builtin_bswap64(low);
}

class L3Forward final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    routes_ = RouteTable::over(binding.config);
    if (!routes_.usable()) return;
    const uint64_t per_s = routes_.icmp_per_s();
    icmp_rate_ = TokenRate::make(per_s, per_s / 10 + 1);
  }

  void process(Burst& burst) override {
    for (Packet& packet : burst) {
      if (!routes_.usable()) {
        packet.drop();
        continue;
      }
      const Headers h = parse_headers(packet.bytes());
      if (h.l3_kind != L3::other && is_group_mac(packet.data())) {
        packet.drop();
        continue;
      }
      switch (h.l3_kind) {
        case L3::ipv4:
          route4(burst, packet, h);
          break;
        case L3::ipv6:
          route6(burst, packet, h);
          break;
        case L3::malformed:
          packet.drop();
          break;
        case L3::other:
          break;
      }
    }
  }

  void reset() override { *this = L3Forward(); }

 private:
  void route4(Burst& burst, Packet& packet, const Headers& h) {
    uint8_t* ip = packet.data() + h.l3;
    if (!checksum_holds(ip, h.l4 - h.l3) || !may_cross4(ip)) return packet.drop();
    const Hop& hop = routes_.find4(load_be32(ip + 16));
    if (!goes_on(burst, packet, h, hop, ip[8])) return;
    const uint16_t before = load_be16(ip + 8);  // TTL, protocol
    ip[8] = static_cast<uint8_t>(ip[8] - 1);
    checksum_update(ip + 10, before, load_be16(ip + 8));
    send(packet, hop);
  }

  void route6(Burst& burst, Packet& packet, const Headers& h) {
    uint8_t* ip = packet.data() + h.l3;
    if (!may_cross6(ip)) return packet.drop();
    const Hop& hop = routes_.find6(address6(ip + 24));
    if (!goes_on(burst, packet, h, hop, ip[7])) return;
    ip[7] = static_cast<uint8_t>(ip[7] - 1);
    send(packet, hop);
  }

  // False: the packet ends here, with an ICMP error where there has to be one.
  bool goes_on(Burst& burst, Packet& packet, const Headers& h, const Hop& hop, uint8_t ttl) {
    switch (hop.action) {
      case Hop::Action::no_route:
        return refuse(burst, packet, h, IcmpError::no_route);
      case Hop::Action::unreachable:
        return refuse(burst, packet, h, IcmpError::host_unreachable);
      case Hop::Action::blackhole:
        packet.drop();
        return false;
      case Hop::Action::forward:
      case Hop::Action::forward_next:
        break;
    }
    return ttl > 1 || refuse(burst, packet, h, IcmpError::time_exceeded);
  }

  bool refuse(Burst& burst, Packet& packet, const Headers& h, IcmpError error) {
    packet.drop();
    if (may_answer_with_error(packet, h) && routes_.icmp_per_s() != 0 &&
        icmp_bucket_.spend(1, burst.now_ns(), icmp_rate_))
      send_icmp_error(burst, packet, h, error, routes_.router_port(packet.port_in()));
    return false;
  }

  static void send(Packet& packet, const Hop& hop) {
    static constexpr uint8_t kNone[kMacBytes] = {};
    uint8_t* frame = packet.data();
    const bool has_source = std::memcmp(hop.source_mac, kNone, kMacBytes) != 0;
    std::memmove(frame + kMacBytes, has_source ? hop.source_mac : frame, kMacBytes);
    std::memcpy(frame, hop.mac, kMacBytes);
    if (hop.action == Hop::Action::forward) packet.out(hop.port);
  }

  RouteTable routes_;
  TokenRate icmp_rate_;
  TokenBucket icmp_bucket_;
};

bool compile(const Args& args, std::vector<std::byte>& config, ArgError& error) {
  return compile_routes(args.text("routes"), args.number("icmp_per_s"), config, error);
}

NetworkFunction* create(std::span<const std::byte>) { return new L3Forward; }

constexpr NfArg kArgs[] = {
    {"routes", ArgType::file, "the routes, one a line (docs/nfs.md)", nullptr},
    {"icmp_per_s", ArgType::integer, "ICMP errors sent in a second at most; 0: none", "100", 0,
     1'000'000},
};
constexpr NfImage kImage = {
    .name = "l3fwd",
    .summary = "router: longest prefix match, TTL, ICMP errors",
    .args = kArgs,
    .compile = compile,
    .create = create,
    .blank_buffers = kBlankCount,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
