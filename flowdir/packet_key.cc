// The fields are collected in words and stored as four 16-byte halves at the end: masking, hashing
// and comparing load the key in such pieces, and a load that spans several smaller stores waits for
// all of them to reach the cache.
#include "flowdir/packet_key.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

namespace mayfly {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kTagBytes = 4;
constexpr size_t kIpv4BytesMin = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr uint64_t kMapped = 0xffff0000;  // the upper half of ::ffff:0:0, as it lies in memory
constexpr uint32_t kTagCountMax = 2;
constexpr uint32_t kExtensionCountMax = 8;  // more is a denial of service, not a packet

enum EtherType : uint16_t {
  kEtherLengthEnd = 0x0600,  // below: an 802.3 length
  kEtherIpv4 = 0x0800,
  kEtherVlan = 0x8100,
  kEtherIpv6 = 0x86dd,
  kEtherServiceVlan = 0x88a8,
  kEtherOldServiceVlan = 0x9100,  // QinQ before 802.1ad
};

enum Protocol : uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kTcp = 6,
  kUdp = 17,
  kDccp = 33,
  kRouting = 43,
  kFragment = 44,
  kAuthentication = 51,
  kIcmpv6 = 58,
  kDestination = 60,
  kSctp = 132,
  kUdpLite = 136,
};

template <class T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
uint16_t load_be16(const uint8_t* from) { return __builtin_bswap16(load<uint16_t>(from)); }

// A frame may lie in memory that an NF can write meanwhile. What bounds a later access is read
// once: the compiler must take it for a new value, and cannot fetch it from the frame again.
template <class T>
T read_once(T value) {
  __asm__("" : "+r"(value));
  return value;
}

struct Link {
  uint64_t tags = 0;  // outer VLAN id, inner VLAN id << 16
  uint16_t ethertype = 0;
  size_t payload = 0;  // where it begins
};

struct Network {
  uint64_t src[2] = {0, 0};
  uint64_t dst[2] = {0, 0};
  uint32_t ports = 0;  // as on the wire: source, destination
  uint8_t protocol = 0;
  uint8_t tcp_flags = 0;
  Fragment fragment = Fragment::none;
  uint32_t fragment_id = 0;
  uint32_t ip_length = 0;
};

bool is_tag(uint16_t ethertype) {
  return ethertype == kEtherVlan || ethertype == kEtherServiceVlan ||
         ethertype == kEtherOldServiceVlan;
}

Link parse_link(std::span<const uint8_t> frame) {
  Link link;
  link.ethertype = load_be16(&frame[12]);
  link.payload = kEthernetBytes;
  uint32_t id_shift = 0;
  for (uint32_t i = 0; i < kTagCountMax && is_tag(link.ethertype); ++i) {
    if (frame.size() < link.payload + kTagBytes) return link;  // the tag itself is the payload
    const uint64_t id = load_be16(&frame[link.payload]) & 0x0fff;
    link.tags |= id << id_shift;
    if (id != 0) id_shift += 16;  // a priority tag counts as none
    link.ethertype = load_be16(&frame[link.payload + 2]);
    link.payload += kTagBytes;
  }
  if (link.ethertype < kEtherLengthEnd) link.ethertype = 0;
  return link;
}

void parse_echo(std::span<const uint8_t> message, uint8_t request, uint8_t reply, Network& out) {
  if (message.size() < 8 || (message[0] != request && message[0] != reply)) return;
  const uint32_t identifier = load<uint16_t>(&message[4]);
  out.ports = identifier | identifier << 16;
}

// `segment`: from the transport header to where the IP header says that the packet ends.
void parse_transport(std::span<const uint8_t> segment, bool ipv6, Network& out) {
  switch (out.protocol) {
    case kTcp:
      if (segment.size() >= 20) {
        const size_t header_bytes = size_t{segment[12]} >> 4 << 2;
        if (header_bytes >= 20 && header_bytes <= segment.size()) out.tcp_flags = segment[13];
      }
      [[fallthrough]];
    case kUdp:
    case kUdpLite:
    case kSctp:
    case kDccp:
      if (segment.size() >= 4) out.ports = load<uint32_t>(segment.data());
      return;
    case kIcmp:
      if (!ipv6) parse_echo(segment, 8, 0, out);
      return;
    case kIcmpv6:
      if (ipv6) parse_echo(segment, 128, 129, out);
      return;
    default:
      return;
  }
}

void parse_ipv4(std::span<const uint8_t> frame, size_t at, Network& out) {
  const std::span<const uint8_t> packet = frame.subspan(at);
  if (packet.size() < kIpv4BytesMin) return;
  const uint8_t* const header = packet.data();
  const uint32_t version_and_words = read_once(uint32_t{header[0]});
  const size_t header_bytes = size_t{version_and_words} % 16 * 4;
  const size_t total_bytes = read_once(load_be16(header + 2));
  if (version_and_words >> 4 != 4 || header_bytes < kIpv4BytesMin || total_bytes < header_bytes ||
      packet.size() < header_bytes) {
    return;
  }
  out.src[1] = kMapped | uint64_t{load<uint32_t>(header + 12)} << 32;
  out.dst[1] = kMapped | uint64_t{load<uint32_t>(header + 16)} << 32;
  out.protocol = read_once(header[9]);
  out.ip_length = static_cast<uint32_t>(at + total_bytes);
  const uint16_t place = load_be16(header + 6);
  constexpr uint16_t kMoreFragments = 0x2000, kOffset = 0x1fff;
  if (place & (kMoreFragments | kOffset)) {
    out.fragment_id = load_be16(header + 4);
    out.fragment = place & kOffset ? Fragment::later : Fragment::first;
    if (out.fragment == Fragment::later) return;
  }
  const size_t end = std::min(packet.size(), total_bytes);
  parse_transport(packet.subspan(header_bytes, end - header_bytes), false, out);
}

// Steps over one IPv6 extension header: its length, or 0 if `rest` does not begin with a whole one.
// Bytes 0 and 1 of each are the next header and a length, but for fragment headers.
size_t extension_bytes(uint8_t kind, std::span<const uint8_t> rest) {
  size_t bytes = 8;
  if (rest.size() < bytes) return 0;
  const size_t length = read_once(size_t{rest[1]});
  if (kind == kAuthentication) {
    bytes = (length + 2) * 4;
  } else if (kind != kFragment) {
    bytes = (length + 1) * 8;
  }
  return bytes <= rest.size() ? bytes : 0;
}

bool is_extension(uint8_t protocol) {
  return protocol == kHopByHop || protocol == kRouting || protocol == kFragment ||
         protocol == kAuthentication || protocol == kDestination;
}

void note_fragment(const uint8_t* header, Network& out) {
  const uint16_t place = load_be16(header + 2);
  if ((place & ~0x0006) == 0) return;  // "atomic", a whole datagram: RFC 6946
  out.fragment_id = __builtin_bswap32(load<uint32_t>(header + 4));
  out.fragment = place >> 3 != 0 ? Fragment::later : Fragment::first;
}

void parse_ipv6(std::span<const uint8_t> frame, size_t at, Network& out) {
  std::span<const uint8_t> rest = frame.subspan(at);
  if (rest.size() < kIpv6Bytes || rest[0] >> 4 != 6) return;
  std::memcpy(out.src, &rest[8], 16);
  std::memcpy(out.dst, &rest[24], 16);
  const size_t payload_bytes = read_once(load_be16(&rest[4]));
  out.protocol = read_once(rest[6]);
  out.ip_length = static_cast<uint32_t>(at + kIpv6Bytes + payload_bytes);
  rest = rest.subspan(kIpv6Bytes, std::min(rest.size() - kIpv6Bytes, payload_bytes));
  for (uint32_t i = 0; is_extension(out.protocol); ++i) {
    const size_t bytes = extension_bytes(out.protocol, rest);
    const bool again = out.protocol == kFragment && out.fragment != Fragment::none;
    if (bytes == 0 || again || i == kExtensionCountMax) return;
    if (out.protocol == kFragment) note_fragment(rest.data(), out);
    out.protocol = read_once(rest[0]);
    rest = rest.subspan(bytes);
    if (out.fragment == Fragment::later) return;
  }
  parse_transport(rest, true, out);
}

// What nearly every packet is: TCP or UDP right behind an IP header without options, whole, all its
// headers in the frame. False, and nothing written, for all others: parse_any() knows them.
inline bool parse_plain_transport(uint8_t protocol, const uint8_t* header, size_t bytes,
                                  Network& out) {
  if (protocol == kTcp) {
    if (bytes < 20) return false;
    const size_t header_bytes = size_t{header[12]} >> 4 << 2;
    if (header_bytes < 20 || header_bytes > bytes) return false;
    out.tcp_flags = header[13];
  } else if (protocol != kUdp || bytes < 8) {
    return false;
  }
  out.protocol = protocol;
  out.ports = load<uint32_t>(header);
  return true;
}

inline bool parse_plain_ipv4(std::span<const uint8_t> packet, size_t at, Network& out) {
  constexpr uint16_t kAnyFragment = 0xff3f;  // 0x3fff as it lies in memory
  if (packet.size() < kIpv4BytesMin) return false;
  const uint8_t* const header = packet.data();
  const size_t total_bytes = read_once(load_be16(header + 2));
  if (header[0] != 0x45 || load<uint16_t>(header + 6) & kAnyFragment ||
      total_bytes < kIpv4BytesMin) {
    return false;
  }
  const size_t segment_bytes = std::min(packet.size(), total_bytes) - kIpv4BytesMin;
  if (!parse_plain_transport(header[9], header + kIpv4BytesMin, segment_bytes, out)) return false;
  out.src[1] = kMapped | uint64_t{load<uint32_t>(header + 12)} << 32;
  out.dst[1] = kMapped | uint64_t{load<uint32_t>(header + 16)} << 32;
  out.ip_length = static_cast<uint32_t>(at + total_bytes);
  return true;
}

inline bool parse_plain_ipv6(std::span<const uint8_t> packet, size_t at, Network& out) {
  if (packet.size() < kIpv6Bytes || packet[0] >> 4 != 6) return false;
  const uint8_t* const header = packet.data();
  const size_t payload_bytes = read_once(load_be16(header + 4));
  const size_t segment_bytes = std::min(packet.size() - kIpv6Bytes, payload_bytes);
  if (!parse_plain_transport(header[6], header + kIpv6Bytes, segment_bytes, out)) return false;
  std::memcpy(out.src, header + 8, 16);
  std::memcpy(out.dst, header + 24, 16);
  out.ip_length = static_cast<uint32_t>(at + kIpv6Bytes + payload_bytes);
  return true;
}

inline bool parse_plain(std::span<const uint8_t> frame, const Link& link, Network& out) {
  const std::span<const uint8_t> packet = frame.subspan(link.payload);
  if (link.ethertype == kEtherIpv4) return parse_plain_ipv4(packet, link.payload, out);
  return link.ethertype == kEtherIpv6 && parse_plain_ipv6(packet, link.payload, out);
}

[[gnu::noinline]] Network parse_any(std::span<const uint8_t> frame, const Link& link) {
  Network network;
  if (link.ethertype == kEtherIpv4) {
    parse_ipv4(frame, link.payload, network);
  } else if (link.ethertype == kEtherIpv6) {
    parse_ipv6(frame, link.payload, network);
  }
  return network;
}

void store_half(void* half, uint64_t low, uint64_t high) {
  _mm_store_si128(static_cast<__m128i*>(half),
                  _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
}

void store_key(std::span<const uint8_t> frame, const Link& link, const Network& network,
               PortId port, PacketKey& key) {
  constexpr uint64_t kMac = 0x0000ffffffffffff;
  const uint64_t dst_mac = load<uint64_t>(frame.data()) & kMac;
  const uint64_t src_mac = load<uint64_t>(frame.data() + 6) & kMac;
  static_assert(offsetof(PacketKey, src_mac) == 32 && offsetof(PacketKey, dst_mac) == 38 &&
                offsetof(PacketKey, outer_vlan) == 44 && offsetof(PacketKey, src_port) == 48 &&
                offsetof(PacketKey, ethertype) == 52 && offsetof(PacketKey, protocol) == 54 &&
                offsetof(PacketKey, port) == 55);
  store_half(key.src_ip, network.src[0], network.src[1]);
  store_half(key.dst_ip, network.dst[0], network.dst[1]);
  store_half(key.src_mac, src_mac | dst_mac << 48, dst_mac >> 16 | link.tags << 32);
  store_half(&key.src_port,
             network.ports | uint64_t{link.ethertype} << 32 | uint64_t{network.protocol} << 48 |
                 uint64_t{raw(port)} << 56,
             0);
}

}  // namespace

void parse(std::span<const uint8_t> frame, PortId port, ParsedPacket& out) {
  if (frame.size() < kEthernetBytes) {
    out = ParsedPacket{};
    out.key.port = raw(port);
    return;
  }
  const Link link = parse_link(frame);
  Network network;
  if (!parse_plain(frame, link, network)) network = parse_any(frame, link);
  store_key(frame, link, network, port, out.key);
  out.fragment = network.fragment;
  out.tcp_flags = network.tcp_flags;
  out.fragment_id = network.fragment_id;
  out.ip_length = network.ip_length;
}

}  // namespace mayfly
