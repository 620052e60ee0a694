// Frames for tests, composed from the inside out:
//   ethernet(kIpv4, ipv4({.protocol = kTcp}, tcp(4711, 80)))
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

namespace mayfly::frames {

using Bytes = std::vector<uint8_t>;

inline constexpr uint16_t kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd;
inline constexpr uint16_t kVlanTag = 0x8100, kServiceTag = 0x88a8, kOldServiceTag = 0x9100;
inline constexpr uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kDccp = 33, kRouting = 43,
                         kFragment = 44, kEsp = 50, kAuthentication = 51, kIcmpv6 = 58,
                         kNoNext = 59, kDestination = 60, kSctp = 132, kUdpLite = 136;

inline void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
inline Bytes operator+(Bytes a, const Bytes& b) {
  append(a, b);
  return a;
}
inline Bytes be16(uint32_t v) { return {static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v)}; }
inline Bytes be32(uint32_t v) { return be16(v >> 16) + be16(v); }

inline Bytes ethernet(uint16_t type, const Bytes& payload, uint8_t src = 1, uint8_t dst = 2) {
  return Bytes{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src} + be16(type) + payload;
}
// What follows a tag's own ethertype: the tag, and the type of what it tags.
inline Bytes tag(uint32_t id, uint16_t type, const Bytes& payload, uint32_t priority = 0) {
  return be16(priority << 13 | id) + be16(type) + payload;
}

struct Ipv4 {
  const char* src = "10.0.0.1";
  const char* dst = "10.0.0.2";
  uint8_t protocol = kUdp;
  uint16_t id = 0;
  uint16_t place = 0;  // fragment flags and offset
  uint32_t option_words = 0;
  int total_bytes = -1;  // -1: the true one
};
inline Bytes ipv4(const Ipv4& h, const Bytes& payload) {
  const uint32_t header_bytes = 20 + 4 * h.option_words;
  const uint32_t true_bytes = header_bytes + static_cast<uint32_t>(payload.size());
  in_addr src, dst;
  inet_pton(AF_INET, h.src, &src);
  inet_pton(AF_INET, h.dst, &dst);
  return Bytes{static_cast<uint8_t>(0x40 | header_bytes / 4), 0} +
         be16(h.total_bytes < 0 ? true_bytes : static_cast<uint32_t>(h.total_bytes)) + be16(h.id) +
         be16(h.place) + Bytes{64, h.protocol, 0, 0} + be32(ntohl(src.s_addr)) +
         be32(ntohl(dst.s_addr)) + Bytes(4 * h.option_words, 1) + payload;
}

struct Ipv6 {
  const char* src = "2001:db8::1";
  const char* dst = "2001:db8::2";
  uint8_t next = kUdp;
  int payload_bytes = -1;  // -1: the true one
};
inline Bytes ipv6(const Ipv6& h, const Bytes& payload) {
  Bytes addresses(32);
  inet_pton(AF_INET6, h.src, addresses.data());
  inet_pton(AF_INET6, h.dst, addresses.data() + 16);
  const uint32_t bytes =
      h.payload_bytes < 0 ? static_cast<uint32_t>(payload.size()) : uint32_t(h.payload_bytes);
  return Bytes{0x60, 0, 0, 0} + be16(bytes) + Bytes{h.next, 64} + addresses + payload;
}
// Hop-by-hop, routing and destination headers, 8 * (1 + more) bytes long.
inline Bytes extension(uint8_t next, const Bytes& payload, uint8_t more = 0) {
  return Bytes{next, more} + Bytes(6 + 8 * size_t{more}, 0) + payload;
}
inline Bytes authentication(uint8_t next, const Bytes& payload) {
  return Bytes{next, 4} + Bytes(22, 7) + payload;
}
inline Bytes fragment(uint8_t next, uint32_t offset, bool more, uint32_t id, const Bytes& payload) {
  return Bytes{next, 0} + be16(offset | (more ? 1 : 0)) + be32(id) + payload;
}

inline Bytes tcp(uint32_t src, uint32_t dst, uint8_t flags = 0x10, uint32_t option_words = 0) {
  return be16(src) + be16(dst) + Bytes(8, 3) +
         Bytes{static_cast<uint8_t>((5 + option_words) << 4), flags, 1, 0, 0, 0, 0, 0} +
         Bytes(4 * option_words, 1);
}
inline Bytes udp(uint32_t src, uint32_t dst, uint32_t data_bytes = 8) {
  return be16(src) + be16(dst) + be16(8 + data_bytes) + be16(0) + Bytes(data_bytes, 0x55);
}
inline Bytes ports_and(uint32_t src, uint32_t dst, uint32_t more_bytes) {  // SCTP, DCCP
  return be16(src) + be16(dst) + Bytes(more_bytes, 9);
}
inline Bytes echo(uint8_t type, uint32_t identifier) {
  return Bytes{type, 0, 0, 0} + be16(identifier) + be16(1) + Bytes(8, 0x61);
}

}  // namespace mayfly::frames
