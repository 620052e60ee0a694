#include "nfs/l3fwd_icmp.h"

#include <algorithm>
#include <cstring>

#include "nfs/checksum.h"

namespace mayfly {
namespace {

inline constexpr uint32_t kError4BytesMax = 576;   // RFC 1812, 4.3.2.3
inline constexpr uint32_t kError6BytesMax = 1280;  // RFC 4443, 2.4 (c)
inline constexpr uint8_t kHopLimit = 64;
inline constexpr uint8_t kDummyAddress[4] = {192, 0, 0, 8};

bool is_single_host4(const uint8_t* a) { return a[0] != 0 && a[0] != 127 && a[0] < 224; }
bool is_group4(const uint8_t* a) { return a[0] >= 224; }  // multicast, class E, broadcast

bool is_single_host6(const uint8_t* a) {
  static constexpr uint8_t kZero[15] = {};
  const bool unspecified_or_loopback = std::memcmp(a, kZero, 15) == 0 && a[15] <= 1;
  return a[0] != 0xff && !unspecified_or_loopback;
}

bool is_icmp_query(const Packet& packet, const Headers& h) {
  if (h.l4_kind != L4::whole) return false;
  const uint8_t type = packet.data()[h.l4];
  if (h.protocol == kIcmpV6) return type >= 128 && type != 137;
  switch (type) {  // RFC 792: what is neither an error nor a redirect
    case 0:
    case 8:
    case 9:
    case 10:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
      return true;
    default:
      return false;
  }
}

struct TypeCode {
  uint8_t type, code;
};

TypeCode type_code(IcmpError error, bool ipv6) {
  switch (error) {
    case IcmpError::time_exceeded:
      return ipv6 ? TypeCode{3, 0} : TypeCode{11, 0};
    case IcmpError::no_route:
      return ipv6 ? TypeCode{1, 0} : TypeCode{3, 0};
    case IcmpError::host_unreachable:
      break;
  }
  return ipv6 ? TypeCode{1, 3} : TypeCode{3, 1};
}

void write_link(uint8_t* out, const uint8_t* cause, const Headers& h, const RouterPort* self) {
  std::memcpy(out, cause, h.l3);
  std::memcpy(out, cause + kMacBytes, kMacBytes);
  const bool own_mac = self != nullptr && self->has_mac;
  std::memcpy(out + kMacBytes, own_mac ? self->mac : cause, kMacBytes);
}

void write_ipv4(uint8_t* ip, const uint8_t* cause_ip, uint32_t bytes, const RouterPort* self) {
  std::memset(ip, 0, 20);
  ip[0] = 0x45;
  ip[1] = static_cast<uint8_t>((cause_ip[1] & 0x1e) | 0xc0);  // its TOS, precedence 6 (4.3.2.5)
  store_be16(ip + 2, static_cast<uint16_t>(bytes));
  ip[6] = 0x40;  // don't fragment: then the identification may be 0 (RFC 6864)
  ip[8] = kHopLimit;
  ip[9] = kIcmp;
  const bool own = self != nullptr && self->has4;
  std::memcpy(ip + 12, own ? self->address4 : kDummyAddress, 4);
  std::memcpy(ip + 16, cause_ip + 12, 4);
  checksum_finish(ip + 10, checksum_add(ip, 20));
}

void write_ipv6(uint8_t* ip, const uint8_t* cause_ip, uint32_t bytes, const RouterPort& self) {
  std::memset(ip, 0, 40);
  ip[0] = 0x60;
  store_be16(ip + 4, static_cast<uint16_t>(bytes - 40));
  ip[6] = kIcmpV6;
  ip[7] = kHopLimit;
  std::memcpy(ip + 8, self.address6, 16);
  std::memcpy(ip + 24, cause_ip + 8, 16);
}

void write_icmp(uint8_t* icmp, TypeCode what, const uint8_t* quote, uint32_t quote_bytes,
                uint64_t pseudo_header) {
  std::memset(icmp, 0, 8);
  icmp[0] = what.type, icmp[1] = what.code;
  std::memcpy(icmp + 8, quote, quote_bytes);
  checksum_finish(icmp + 2, checksum_add(icmp, 8 + quote_bytes, pseudo_header));
}

// RFC 8200 section 8.1: addresses, length, next header.
uint64_t pseudo_header6(const uint8_t* ip, uint32_t payload_bytes) {
  uint8_t tail[8] = {0, 0, 0, 0, 0, 0, 0, kIcmpV6};
  store_be32(tail, payload_bytes);
  return checksum_add(tail, sizeof(tail), checksum_add(ip + 8, 32));
}

}  // namespace

bool may_answer_with_error(const Packet& packet, const Headers& h) {
  const uint8_t* frame = packet.data();
  if (!h.is_ip() || is_group_mac(frame) || is_group_mac(frame + kMacBytes)) return false;
  if (h.l4_kind == L4::later_fragment) return false;
  const uint8_t* ip = frame + h.l3;
  if (h.l3_kind == L3::ipv4) {
    if (!is_single_host4(ip + 12) || is_group4(ip + 16)) return false;
    return h.protocol != kIcmp || is_icmp_query(packet, h);
  }
  if (!is_single_host6(ip + 8) || ip[24] == 0xff) return false;
  return h.protocol != kIcmpV6 || is_icmp_query(packet, h);
}

bool send_icmp_error(Burst& burst, const Packet& cause, const Headers& h, IcmpError error,
                     const RouterPort* self) {
  const bool ipv6 = h.l3_kind == L3::ipv6;
  if (ipv6 && (self == nullptr || !self->has6)) return false;
  const uint32_t overhead = ipv6 ? 48 : 28;
  const uint32_t most = (ipv6 ? kError6BytesMax : kError4BytesMax) - overhead;
  const uint32_t quote_bytes = std::min<uint32_t>(h.l3_end - h.l3, most);
  Packet* packet = burst.originate(h.l3 + overhead + quote_bytes);
  if (packet == nullptr) return false;

  const uint8_t* quote = cause.data() + h.l3;
  uint8_t* ip = packet->data() + h.l3;
  const TypeCode what = type_code(error, ipv6);
  write_link(packet->data(), cause.data(), h, self);
  if (ipv6) {
    write_ipv6(ip, quote, overhead + quote_bytes, *self);
    write_icmp(ip + 40, what, quote, quote_bytes, pseudo_header6(ip, 8 + quote_bytes));
  } else {
    write_ipv4(ip, quote, overhead + quote_bytes, self);
    write_icmp(ip + 20, what, quote, quote_bytes, 0);
  }
  packet->out(cause.port_in());
  return true;
}

}  // namespace mayfly
