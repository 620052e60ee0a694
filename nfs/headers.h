// Where the headers of a frame lie: the reading that NFs have in common. Installed with the SDK.
//
//   frame  | MACs | tags (0-2) | type | IP header, extensions | TCP, UDP, ... | data | padding |
//                                     ^ l3                    ^ l4                   ^ l3_end
//
// parse_headers() reads every length once, checks it against the bytes that are there, and never
// reads outside the frame. What it returns is safe to use without further checks:
//   l3 == ipv4            20 bytes at l3, and l4 - l3 bytes of header with its options
//   l3 == ipv6            40 bytes at l3
//   l4 == whole           the transport header's fixed part is there: 20 bytes for TCP, 8 for UDP,
//                         UDP-Lite and ICMP, 12 for SCTP and DCCP, 4 for ICMPv6, 0 for the rest
// l3 <= l4 <= l3_end <= frame size, always.
//
// IEEE 802.1Q-2018, RFC 791, RFC 8200, RFC 4302 (AH), RFC 1858 and 3128 (tiny fragments).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace mayfly {

inline uint16_t load_be16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof(v));
  return __builtin_bswap16(v);
}
inline uint32_t load_be32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return __builtin_bswap32(v);
}
inline void store_be16(uint8_t* p, uint16_t v) {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, sizeof(v));
}
inline void store_be32(uint8_t* p, uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof(v));
}

inline constexpr uint32_t kEthernetBytes = 14;
inline constexpr uint32_t kMacBytes = 6;
inline constexpr uint16_t kTypeIpv4 = 0x0800;
inline constexpr uint16_t kTypeArp = 0x0806;
inline constexpr uint16_t kTypeIpv6 = 0x86dd;

inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kDccp = 33;
inline constexpr uint8_t kIcmpV6 = 58;
inline constexpr uint8_t kSctp = 132;
inline constexpr uint8_t kUdpLite = 136;

enum class L3 : uint8_t {
  other,  // not IP: ARP, LLDP, MPLS, three tags, ...
  ipv4,
  ipv6,
  malformed,  // the type says IP, but version or lengths are wrong or the frame is cut
};

enum class L4 : uint8_t {
  none,            // no IP, or malformed
  whole,           // see above
  cut,             // the datagram ends inside the transport header
  later_fragment,  // no transport header here: this is the middle or the end of a datagram
};

struct Headers {
  L3 l3_kind = L3::other;
  L4 l4_kind = L4::none;
  uint8_t protocol = 0;   // of what is at l4, after IPv6 extension headers
  bool fragment = false;  // first or later
  uint16_t type = 0;      // ethertype, host order, past the tags; 0 in a frame too short for one
  uint16_t l3 = 0;        // offsets from the start of the frame
  uint16_t l4 = 0;
  uint16_t l3_end = 0;           // padding may follow
  uint32_t fragment_id = 0;      // of fragments
  uint16_t fragment_offset = 0;  // bytes

  bool is_ip() const { return l3_kind == L3::ipv4 || l3_kind == L3::ipv6; }
  // The first four bytes at l4 are the two ports.
  bool has_ports() const {
    return l4_kind == L4::whole && (protocol == kTcp || protocol == kUdp || protocol == kSctp ||
                                    protocol == kUdpLite || protocol == kDccp);
  }
};

namespace headers_internal {

inline uint32_t transport_bytes(uint8_t protocol) {
  switch (protocol) {
    case kTcp:
      return 20;
    case kUdp:
    case kUdpLite:
    case kIcmp:
      return 8;
    case kSctp:
    case kDccp:
      return 12;
    case kIcmpV6:
      return 4;
    default:
      return 0;
  }
}

inline Headers& malformed(Headers& h) {
  h.l3_kind = L3::malformed, h.l4_kind = L4::none;
  h.l4 = h.l3_end = h.l3;
  return h;
}

inline void settle_l4(Headers& h, uint32_t l4, uint32_t l3_end) {
  h.l4 = static_cast<uint16_t>(l4);
  h.l3_end = static_cast<uint16_t>(l3_end);
  if (h.fragment_offset != 0) {
    h.l4_kind = L4::later_fragment;
  } else {
    h.l4_kind = l3_end - l4 < transport_bytes(h.protocol) ? L4::cut : L4::whole;
  }
}

inline void parse_ipv4(std::span<const uint8_t> frame, Headers& h) {
  const uint8_t* ip = frame.data() + h.l3;
  const uint32_t room = static_cast<uint32_t>(frame.size()) - h.l3;
  if (room < 20 || (ip[0] >> 4) != 4) return void(malformed(h));
  const uint32_t header = (ip[0] & 15u) * 4;
  const uint32_t total = load_be16(ip + 2);
  if (header < 20 || total < header || total > room) return void(malformed(h));
  h.l3_kind = L3::ipv4;
  h.protocol = ip[9];
  const uint16_t fragment = load_be16(ip + 6);
  if ((fragment & 0x3fff) != 0) {
    h.fragment = true;
    h.fragment_offset = static_cast<uint16_t>((fragment & 0x1fff) * 8);
    h.fragment_id = load_be16(ip + 4);
  }
  settle_l4(h, h.l3 + header, h.l3 + total);
}

inline constexpr int kExtensionCountMax = 8;  // longer chains occur in attacks only

inline bool is_extension(uint8_t header) {
  switch (header) {
    case 0:
    case 43:
    case 44:
    case 51:
    case 60:
    case 135:
    case 139:
    case 140:
      return true;
    default:
      return false;
  }
}

inline void parse_ipv6(std::span<const uint8_t> frame, Headers& h) {
  const uint8_t* ip = frame.data() + h.l3;
  const uint32_t room = static_cast<uint32_t>(frame.size()) - h.l3;
  if (room < 40 || (ip[0] >> 4) != 6 || load_be16(ip + 4) > room - 40) return void(malformed(h));
  const uint32_t end = 40u + load_be16(ip + 4);
  uint32_t at = 40;
  uint8_t next = ip[6];
  for (int count = 0; is_extension(next) && h.fragment_offset == 0; ++count) {
    if (count == kExtensionCountMax || end - at < 8) return void(malformed(h));
    const uint8_t* extension = ip + at;
    uint32_t bytes = 8;
    if (next == 44) {
      if (h.fragment) return void(malformed(h));  // a fragment of a fragment
      const uint16_t word = load_be16(extension + 2);
      h.fragment = h.fragment || (word & 0xfff9) != 0;
      h.fragment_offset = word & 0xfff8;
      h.fragment_id = load_be32(extension + 4);
    } else {
      bytes = next == 51 ? (extension[1] + 2u) * 4 : (extension[1] + 1u) * 8;
    }
    if (bytes > end - at) return void(malformed(h));
    next = extension[0];
    at += bytes;
  }
  h.l3_kind = L3::ipv6;
  h.protocol = next;
  settle_l4(h, h.l3 + at, h.l3 + end);
}

}  // namespace headers_internal

inline Headers parse_headers(std::span<const uint8_t> frame) {
  Headers h;
  if (frame.size() < kEthernetBytes || frame.size() > 65535) return h;
  uint32_t at = kEthernetBytes;
  uint16_t type = load_be16(frame.data() + 12);
  for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8 || type == 0x9100); ++tags) {
    if (frame.size() < at + 4) break;  // ends inside a tag: not IP
    type = load_be16(frame.data() + at + 2);
    at += 4;
  }
  h.type = type;
  h.l3 = h.l4 = h.l3_end = static_cast<uint16_t>(at);
  if (type == kTypeIpv4) {
    headers_internal::parse_ipv4(frame, h);
  } else if (type == kTypeIpv6) {
    headers_internal::parse_ipv6(frame, h);
  } else {
    h.l3_end = static_cast<uint16_t>(frame.size());
  }
  return h;
}

inline bool is_group_mac(const uint8_t* mac) { return (mac[0] & 1) != 0; }

}  // namespace mayfly
