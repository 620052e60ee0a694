#include "flowdir/rules.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/limits.h"

namespace mayfly {
namespace {

constexpr uint16_t kEtherIpv6 = 0x86dd;
constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr uint32_t kPortIdCount = 256;
constexpr uint32_t kMacBytes = 6;

template <class T>
bool holds(const std::optional<Range<T>>& range, T value) {
  return !range || (range->first <= value && value <= range->last);
}

// The mask of byte i of an address for a prefix of so many bits.
uint8_t prefix_byte(uint32_t bits, uint32_t i) {
  if (bits >= (i + 1) * 8) return 0xff;
  return bits <= i * 8 ? 0 : static_cast<uint8_t>(0xff00 >> (bits - i * 8));
}

bool prefix_holds(const Prefix& prefix, uint32_t bits, const uint8_t* address) {
  for (uint32_t i = 0; i < 16; ++i) {
    if ((address[i] ^ prefix.address[i]) & prefix_byte(bits, i)) return false;
  }
  return true;
}

// An IPv6 prefix that, as bits, also holds IPv4 or the zero address of a packet that is not IP.
bool needs_ethertype(const Prefix& prefix) {
  if (prefix.bits >= 96 && std::memcmp(prefix.address, kMappedPrefix, 12) == 0) return false;
  constexpr uint8_t kZero[16] = {};
  return prefix_holds(prefix, std::min<uint32_t>(prefix.bits, 80), kZero);
}

bool holds(const std::optional<Prefix>& prefix, const uint8_t* address, uint16_t ethertype) {
  if (!prefix) return true;
  return prefix_holds(*prefix, prefix->bits, address) &&
         (!needs_ethertype(*prefix) || ethertype == kEtherIpv6);
}

bool has_ports(uint8_t protocol) {
  constexpr uint8_t kTcp = 6, kUdp = 17, kDccp = 33, kSctp = 132, kUdpLite = 136;
  return protocol == kTcp || protocol == kUdp || protocol == kDccp || protocol == kSctp ||
         protocol == kUdpLite;
}

template <class T>
void set_all(T& field) {
  std::memset(static_cast<void*>(&field), 0xff, sizeof field);
}

void add_prefix(const std::optional<Prefix>& prefix, uint8_t (&field)[16], PacketKey& bits) {
  if (!prefix) return;
  for (uint32_t i = 0; i < 16; ++i) field[i] |= prefix_byte(prefix->bits, i);
  if (needs_ethertype(*prefix)) set_all(bits.ethertype);
}

void add_match(const Match& match, PacketKey& bits) {
  if (match.vlan) set_all(bits.outer_vlan);
  if (match.inner_vlan) set_all(bits.inner_vlan);
  if (match.ethertype) set_all(bits.ethertype);
  add_prefix(match.src_ip, bits.src_ip, bits);
  add_prefix(match.dst_ip, bits.dst_ip, bits);
  if (match.protocol || match.src_port || match.dst_port) set_all(bits.protocol);
  if (match.src_port) set_all(bits.src_port);
  if (match.dst_port) set_all(bits.dst_port);
  if (match.src_mac) set_all(bits.src_mac);
}

void add_key(KeyBy by, PacketKey& bits) {
  switch (by) {
    case KeyBy::mac:
      return set_all(bits.src_mac);
    case KeyBy::vlan:
      set_all(bits.outer_vlan);
      return set_all(bits.inner_vlan);
    case KeyBy::src_ip:
      return set_all(bits.src_ip);
    case KeyBy::dst_ip:
      return set_all(bits.dst_ip);
    case KeyBy::five_tuple:
      set_all(bits.protocol);
      set_all(bits.src_port);
      set_all(bits.dst_port);
      [[fallthrough]];
    case KeyBy::ip_pair:
      set_all(bits.src_ip);
      return set_all(bits.dst_ip);
    case KeyBy::rule:
      return;
  }
}

// Whether every packet of the ports it names matches: no rule after it is reached.
bool matches_always(const Match& match) {
  return !match.vlan && !match.inner_vlan && !match.ethertype && !match.src_ip && !match.dst_ip &&
         !match.protocol && !match.src_port && !match.dst_port && !match.src_mac;
}

// Two ends of `bytes` each, the smaller first, so that both directions give one key.
void put_ends(const uint8_t* a, const uint8_t* b, size_t bytes, uint8_t* out) {
  if (std::memcmp(a, b, bytes) > 0) std::swap(a, b);
  std::memcpy(out, a, bytes);
  std::memcpy(out + bytes, b, bytes);
}

void put_five_tuple(const PacketKey& key, uint8_t* out) {
  constexpr size_t kEndBytes = 18;
  uint8_t src[kEndBytes], dst[kEndBytes];
  std::memcpy(src, key.src_ip, 16);
  std::memcpy(src + 16, &key.src_port, 2);
  std::memcpy(dst, key.dst_ip, 16);
  std::memcpy(dst + 16, &key.dst_port, 2);
  put_ends(src, dst, kEndBytes, out);
  out[2 * kEndBytes] = key.protocol;
}

}  // namespace

bool Match::matches(const PacketKey& key) const {
  return (!port || raw(*port) == key.port) && holds(vlan, key.outer_vlan) &&
         holds(inner_vlan, key.inner_vlan) && (!ethertype || *ethertype == key.ethertype) &&
         holds(src_ip, key.src_ip, key.ethertype) && holds(dst_ip, key.dst_ip, key.ethertype) &&
         (!protocol || *protocol == key.protocol) &&
         ((!src_port && !dst_port) || has_ports(key.protocol)) &&
         holds(src_port, key.src_port.host()) && holds(dst_port, key.dst_port.host()) &&
         (!src_mac || (src_mac->size() == kMacBytes &&
                       std::memcmp(src_mac->data(), key.src_mac, kMacBytes) == 0));
}

RuleSet::RuleSet(std::vector<Rule> rules)
    : rules_(std::move(rules)),
      reachable_(kPortIdCount),
      masks_(kPortIdCount),
      looks_at_ports_(kPortIdCount) {
  MAYFLY_CHECK(rules_.size() <= kRuleCountMax);
  for (uint32_t port = 0; port < kPortIdCount; ++port) {
    PacketKey& bits = masks_[port].bits;
    set_all(bits.port);
    for (size_t i = 0; i < rules_.size(); ++i) {
      const Rule& rule = rules_[i];
      if (rule.match.port && raw(*rule.match.port) != port) continue;
      reachable_[port].push_back(static_cast<RuleId>(i));
      add_match(rule.match, bits);
      add_key(rule.instance_per, bits);
      if (rule.tenant_by) add_key(*rule.tenant_by, bits);
      if (matches_always(rule.match)) break;
    }
    looks_at_ports_[port] = (bits.src_port.wire | bits.dst_port.wire) != 0;
  }
}

RuleId RuleSet::match(const PacketKey& key) const {
  for (const RuleId id : reachable_[key.port]) {
    if (rules_[index(id)].match.matches(key)) return id;
  }
  return kNone<RuleId>;
}

InstanceKey instance_key(KeyBy by, const PacketKey& key, RuleId rule) {
  InstanceKey instance;
  switch (by) {
    case KeyBy::mac:
      instance.kind = KeyKind::mac;
      std::memcpy(instance.bytes, key.src_mac, kMacBytes);
      break;
    case KeyBy::vlan: {
      instance.kind = KeyKind::vlan;
      const Be16 tags[2] = {Be16::of(key.outer_vlan), Be16::of(key.inner_vlan)};
      std::memcpy(instance.bytes, tags, sizeof tags);
      break;
    }
    case KeyBy::src_ip:
    case KeyBy::dst_ip:
      instance.kind = KeyKind::address;
      std::memcpy(instance.bytes, by == KeyBy::src_ip ? key.src_ip : key.dst_ip, 16);
      break;
    case KeyBy::ip_pair:
      instance.kind = KeyKind::ip_pair;
      put_ends(key.src_ip, key.dst_ip, 16, instance.bytes);
      break;
    case KeyBy::five_tuple:
      instance.kind = KeyKind::five_tuple;
      put_five_tuple(key, instance.bytes);
      break;
    case KeyBy::rule:
      instance.kind = KeyKind::rule;
      std::memcpy(instance.bytes, &rule, sizeof rule);
      break;
  }
  return instance;
}

}  // namespace mayfly
