// Frames for NF tests, put together from the inside out:
//   ethernet(ipv4({.protocol = kTcp}, tcp(1234, 80)))
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nfs/checksum.h"
#include "nfs/harness.h"
#include "nfs/headers.h"
#include "nfs/text.h"

namespace mayfly {

inline Frame operator+(Frame a, const Frame& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Frame be16(uint32_t v) { return {static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v)}; }
inline Frame be32(uint32_t v) { return be16(v >> 16) + be16(v & 0xffff); }
inline Frame zeroes(size_t n) { return Frame(n, 0); }

inline Frame address(const std::string& text) {
  const bool ipv6 = text.find(':') != text.npos;
  Frame bytes(ipv6 ? 16 : 4);
  if (inet_pton(ipv6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data()) != 1)
    throw std::runtime_error("not an address: " + text);
  return bytes;
}
inline Frame mac(const std::string& text) {
  const auto parsed = parse_mac(text);
  if (!parsed) throw std::runtime_error("not a MAC: " + text);
  return Frame(parsed->begin(), parsed->end());
}

inline constexpr const char* kMacA = "02:00:00:00:00:0a";
inline constexpr const char* kMacRouter = "02:00:00:00:00:99";

struct Link {
  std::string to = kMacRouter, from = kMacA;
  std::vector<uint16_t> tags = {};  // VLAN ids, outer first
  uint32_t type = 0;           // 0: by the payload's first nibble
};
inline Frame ethernet(const Link& link, const Frame& payload) {
  Frame frame = mac(link.to) + mac(link.from);
  for (size_t i = 0; i < link.tags.size(); ++i)
    frame = frame + be16(i + 1 < link.tags.size() ? 0x88a8 : 0x8100) + be16(link.tags[i]);
  const bool ipv6 = !payload.empty() && payload[0] >> 4 == 6;
  return frame + be16(link.type != 0 ? link.type : ipv6 ? kTypeIpv6 : kTypeIpv4) + payload;
}
inline Frame ethernet(const Frame& payload) { return ethernet({}, payload); }

struct Ip {
  std::string from = "10.0.0.1", to = "192.0.2.10";
  uint8_t protocol = kUdp;
  uint8_t ttl = 64;
  uint16_t fragment_offset = 0;  // bytes
  bool more_fragments = false;
  uint32_t id = 7;
  Frame options = {};  // IPv4; a multiple of 4 bytes
  uint8_t tos = 0;
};
inline Frame ipv4(const Ip& ip, const Frame& payload) {
  const size_t header = 20 + ip.options.size();
  Frame h{static_cast<uint8_t>(0x40 | header / 4), ip.tos};
  h = h + be16(static_cast<uint32_t>(header + payload.size())) + be16(ip.id) +
      be16(ip.fragment_offset / 8 | (ip.more_fragments ? 0x2000 : 0)) +
      Frame{ip.ttl, ip.protocol, 0, 0} + address(ip.from) + address(ip.to) + ip.options;
  checksum_finish(h.data() + 10, checksum_add(h.data(), h.size()));
  return h + payload;
}
// With a fragment header if the packet is a fragment.
inline Frame ipv6(const Ip& ip, const Frame& payload, const Frame& extensions = {},
                  uint8_t first_extension = 0) {
  const bool fragment = ip.fragment_offset != 0 || ip.more_fragments;
  Frame inner = payload;
  uint8_t next = ip.protocol;
  if (fragment) {
    inner = Frame{next, 0} + be16(ip.fragment_offset | (ip.more_fragments ? 1 : 0)) + be32(ip.id) +
            inner;
    next = 44;
  }
  if (!extensions.empty()) {
    inner = extensions + inner;
    next = first_extension;
  }
  return Frame{0x60, 0, 0, 0} + be16(static_cast<uint32_t>(inner.size())) + Frame{next, ip.ttl} +
         address(ip.from) + address(ip.to) + inner;
}

inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
inline Frame tcp(uint16_t from, uint16_t to, uint8_t flags = kSyn, size_t data = 0) {
  return be16(from) + be16(to) + zeroes(8) + Frame{0x50, flags} + zeroes(6 + data);
}
inline Frame udp(uint16_t from, uint16_t to, size_t data = 4) {
  return be16(from) + be16(to) + be16(static_cast<uint32_t>(8 + data)) + zeroes(2 + data);
}
inline Frame icmp(uint8_t type, uint8_t code, uint16_t id = 0, const Frame& data = {}) {
  return Frame{type, code, 0, 0} + be16(id) + be16(1) + data;
}

// The NF images of this build (tests/nfs/CMakeLists.txt).
inline std::string shipped(const std::string& name) {
  return std::string(MAYFLY_NF_IMAGES) + "/" + name + ".so";
}
inline std::string test_image(const std::string& name) {
  return std::string(MAYFLY_TEST_IMAGES) + "/" + name + ".so";
}

}  // namespace mayfly
