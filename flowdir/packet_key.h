// What a frame is, as far as steering is concerned: every header field that a rule may match or an
// instance may be keyed by, in one fixed cache line.
//
// parse() never fails: what it cannot understand keeps its L2 key (MACs, tags, ethertype) and
// zeroes elsewhere. It never reads outside the frame. Understood: Ethernet II and 802.3, 802.1Q,
// 802.1ad / QinQ, also with 0x9100 (two tags; a third stays payload), IPv4 with options, IPv6 with
// up to eight hop-by-hop, routing, destination, fragment and authentication headers, TCP, UDP,
// UDP-Lite, SCTP, DCCP, ICMP and ICMPv6 (an echo's identifier stands in both port fields, so that
// request and reply are one flow). References: IEEE 802.1Q-2018, RFC 791, 8200, 9293, 768, 9260,
// 792, 4443.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/types.h"

namespace mayfly {

struct alignas(64) PacketKey {
  uint8_t src_ip[16];  // IPv4 as ::ffff:a.b.c.d; zero when not IP
  uint8_t dst_ip[16];
  uint8_t src_mac[6];
  uint8_t dst_mac[6];
  uint16_t outer_vlan;  // VLAN id, host order; 0: untagged (a priority tag, id 0, counts as none)
  uint16_t inner_vlan;
  Be16 src_port;  // TCP, UDP, SCTP, DCCP; ICMP echo identifier; else 0
  Be16 dst_port;
  uint16_t ethertype;   // host order, of the innermost payload; 802.3 length frames: 0
  uint8_t protocol;     // IP protocol of the payload (after IPv6 extension headers); 0 if not IP
  uint8_t port;         // PortId it came in by
  uint8_t reserved[8];  // zero

  bool operator==(const PacketKey&) const = default;
};
static_assert(sizeof(PacketKey) == 64);

enum class Fragment : uint8_t { none, first, later };

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpRst = 0x04;

struct ParsedPacket {
  PacketKey key;
  Fragment fragment;
  uint8_t tcp_flags;     // 0 unless TCP with a whole header
  uint32_t fragment_id;  // of `first` and `later`
  uint32_t ip_length;    // bytes the IP header claims from the start of the frame; 0 if not IP
};

void parse(std::span<const uint8_t> frame, PortId port, ParsedPacket& out);

}  // namespace mayfly
