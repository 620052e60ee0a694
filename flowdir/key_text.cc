// Instance keys for people: command line, API, log.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

#include "flowdir/rules.h"

namespace mayfly {
namespace {

bool is_mapped(const uint8_t* address) {
  constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(address, kMappedPrefix, sizeof kMappedPrefix) == 0;
}

std::string address_text(const uint8_t* address) {
  char text[INET6_ADDRSTRLEN];
  const bool ipv4 = is_mapped(address);
  inet_ntop(ipv4 ? AF_INET : AF_INET6, address + (ipv4 ? 12 : 0), text, sizeof text);
  return text;
}

uint16_t number(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]); }

std::string end_text(const uint8_t* address, uint16_t port) {
  if (is_mapped(address)) return fmt::format("{}:{}", address_text(address), port);
  return fmt::format("[{}]:{}", address_text(address), port);
}

std::string mac_text(const uint8_t* mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

// One side of a flow by what is known of it: address and port, address, MAC, nothing.
std::string side_text(const uint8_t* address, const uint8_t* mac, Be16 port) {
  constexpr uint8_t kZero[16] = {};
  if (std::memcmp(address, kZero, 16) != 0) {
    return port.wire == 0 ? address_text(address) : end_text(address, port.host());
  }
  return std::memcmp(mac, kZero, 6) != 0 ? mac_text(mac) : "*";
}

std::string protocol_text(uint8_t protocol) {
  switch (protocol) {
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 33:
      return "dccp";
    case 58:
      return "icmpv6";
    case 132:
      return "sctp";
    case 136:
      return "udplite";
    default:
      return fmt::format("protocol {}", protocol);
  }
}

}  // namespace

std::string to_string(const InstanceKey& key) {
  const uint8_t* const b = key.bytes;
  switch (key.kind) {
    case KeyKind::mac:
      return mac_text(b);
    case KeyKind::vlan:
      return number(b + 2) == 0 ? fmt::format("{}", number(b))
                                : fmt::format("{}.{}", number(b), number(b + 2));
    case KeyKind::address:
      return address_text(b);
    case KeyKind::ip_pair:
      return fmt::format("{} {}", address_text(b), address_text(b + 16));
    case KeyKind::five_tuple:
      return fmt::format("{} {} {}", end_text(b, number(b + 16)), end_text(b + 18, number(b + 34)),
                         protocol_text(b[36]));
    case KeyKind::rule:
      return fmt::format("rule {}", b[0] | b[1] << 8);
    case KeyKind::none:
      break;
  }
  return "-";
}

// Fields that the port's mask leaves out are zero and not shown.
std::string to_string(const PacketKey& key) {
  std::string text;
  if (key.outer_vlan != 0) text += fmt::format("vlan {} ", key.outer_vlan);
  if (key.inner_vlan != 0) text += fmt::format("inner {} ", key.inner_vlan);
  text += fmt::format("{} > {}", side_text(key.src_ip, key.src_mac, key.src_port),
                      side_text(key.dst_ip, key.dst_mac, key.dst_port));
  if (key.protocol != 0) text += fmt::format(" {}", protocol_text(key.protocol));
  return text;
}

}  // namespace mayfly
