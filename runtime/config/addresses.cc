#include "runtime/config/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "runtime/config/parse.h"

namespace mayfly {
namespace {

// The whole of `text` as a decimal number in [min, max].
std::optional<uint16_t> number(std::string_view text, uint16_t min, uint16_t max) {
  uint16_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < min || n > max) return {};
  return n;
}

InstanceKey key_of(KeyKind kind, const uint8_t* bytes, size_t count) {
  InstanceKey key;
  key.kind = kind;
  std::memcpy(key.bytes, bytes, count);
  return key;
}

}  // namespace

std::optional<Mac> parse_mac(std::string_view text) {
  Mac mac{};
  if (text.size() != 17) return {};
  for (size_t i = 0; i < 6; ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac[i], 16);
    if (error != std::errc{} || end != digits + 2 || (i < 5 && digits[2] != ':')) return {};
  }
  return mac;
}

std::optional<Ip> parse_ip(std::string_view text) {
  const std::string terminated(text);
  Ip ip{};
  if (terminated.find('\0') != std::string::npos) return {};
  if (inet_pton(AF_INET6, terminated.c_str(), ip.data()) == 1) return ip;
  ip = {};
  ip[10] = ip[11] = 0xff;
  if (inet_pton(AF_INET, terminated.c_str(), ip.data() + 12) == 1) return ip;
  return {};
}

absl::StatusOr<Prefix> parse_prefix(std::string_view text) {
  const auto refuse = [&](std::string_view what) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" {}", text, what));
  };
  const size_t slash = text.find('/');
  const auto ip = parse_ip(text.substr(0, slash));
  if (!ip)
    return refuse("is not an address or prefix; write for example 10.0.0.0/8 or 2001:db8::/32");
  const bool is_v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  const uint16_t bits_max = is_v4 ? 32 : 128;
  uint16_t bits = bits_max;
  if (slash != std::string_view::npos) {
    const auto given = number(text.substr(slash + 1), 0, bits_max);
    if (!given) return refuse(fmt::format("has no prefix length from 0 to {}", bits_max));
    bits = *given;
  }
  Prefix prefix;
  prefix.bits = static_cast<uint8_t>(is_v4 ? bits + 96 : bits);
  for (size_t i = 0; i < 16; ++i) {
    const int kept = std::min(8, std::max(0, prefix.bits - static_cast<int>(8 * i)));
    prefix.address[i] = static_cast<uint8_t>((*ip)[i] & (0xff00 >> kept));
  }
  if (std::memcmp(prefix.address, ip->data(), 16) != 0) {
    char network[INET6_ADDRSTRLEN] = "";
    inet_ntop(is_v4 ? AF_INET : AF_INET6, prefix.address + (is_v4 ? 12 : 0), network,
              sizeof(network));
    return refuse(fmt::format("has bits set past its length; write {}/{}", network, bits));
  }
  return prefix;
}

absl::StatusOr<InstanceKey> parse_tenant_key(std::string_view text) {
  if (const auto mac = parse_mac(text)) return key_of(KeyKind::mac, mac->data(), 6);
  if (const auto ip = parse_ip(text)) return key_of(KeyKind::address, ip->data(), 16);
  const size_t dot = text.find('.');
  const auto outer = number(text.substr(0, dot), 1, 4094);
  const auto inner = dot == std::string_view::npos ? std::optional<uint16_t>(0)
                                                   : number(text.substr(dot + 1), 1, 4094);
  if (outer && inner) {
    const uint8_t tags[4] = {static_cast<uint8_t>(*outer >> 8), static_cast<uint8_t>(*outer),
                             static_cast<uint8_t>(*inner >> 8), static_cast<uint8_t>(*inner)};
    return key_of(KeyKind::vlan, tags, 4);
  }
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not a tenant key; write a VLAN (101), two (100.7), an address "
                  "(10.0.0.5, 2001:db8::5) or a MAC (02:00:00:00:00:01)",
                  text));
}

}  // namespace mayfly
