// Rules: from a packet's key to a chain and the key of the instance it meets. First match wins.
//
// The flow table does not hold one entry per five-tuple, but one per distinct value of the fields
// that the rules of the ingress port look at (their match fields and instance keys, united: the
// port's mask). A port whose rules only look at the VLAN has one flow per VLAN, however many
// connections (or random packets) that VLAN carries.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "flowdir/packet_key.h"
#include "runtime/abi/slot.h"
#include "runtime/base/types.h"

namespace mayfly {

enum class KeyBy : uint8_t { mac, vlan, src_ip, dst_ip, ip_pair, five_tuple, rule };

// An IPv4 or IPv6 prefix as IPv6 (IPv4 mapped: ::ffff:0:0/96, bits + 96).
struct Prefix {
  uint8_t address[16] = {};
  uint8_t bits = 0;
  bool operator==(const Prefix&) const = default;
};
template <class T>
struct Range {
  T first, last;  // both included
  bool operator==(const Range&) const = default;
};

// Absent: anything. An IPv6 prefix matches IPv6 packets alone (::/0 is "all of IPv6"), an IPv4
// prefix IPv4 alone. Port ranges match protocols that have ports (an ICMP echo's identifier is
// none); later fragments, whose ports are not known, have 0.
struct Match {
  std::optional<PortId> port = {};
  std::optional<Range<uint16_t>> vlan = {}, inner_vlan = {};  // 0: untagged
  std::optional<uint16_t> ethertype = {};
  std::optional<Prefix> src_ip = {}, dst_ip = {};
  std::optional<uint8_t> protocol = {};
  std::optional<Range<uint16_t>> src_port = {}, dst_port = {};
  std::optional<std::string> src_mac = {};  // 6 raw bytes

  bool matches(const PacketKey& key) const;
};

struct Rule {
  Match match = {};
  KeyBy instance_per = KeyBy::rule;
  std::optional<KeyBy> tenant_by = {};  // one of mac, vlan, src_ip, dst_ip
};

// AND-mask over a PacketKey: 1 where the bit counts (of an address: the bits of the prefixes).
struct KeyMask {
  PacketKey bits{};
  PacketKey apply(const PacketKey& key) const {
    uint64_t words[8], ones[8];
    std::memcpy(words, &key, sizeof words);
    std::memcpy(ones, &bits, sizeof ones);
    for (int i = 0; i < 8; ++i) words[i] &= ones[i];
    PacketKey masked;
    std::memcpy(&masked, words, sizeof masked);
    return masked;
  }
};

class RuleSet {
 public:
  RuleSet() : RuleSet(std::vector<Rule>{}) {}  // matches nothing
  explicit RuleSet(std::vector<Rule> rules);

  // kNone<RuleId> if none matches. `key` may be masked by mask_of(its port).
  RuleId match(const PacketKey& key) const;
  const Rule& rule(RuleId id) const { return rules_[index(id)]; }
  size_t size() const { return rules_.size(); }
  // All fields that any rule this port's packets can reach looks at, and the port itself.
  const KeyMask& mask_of(PortId port) const { return masks_[index(port)]; }
  // True if that mask holds layer-4 ports: only then do fragments need remembering, and FIN and
  // RST end a flow.
  bool looks_at_ports(PortId port) const { return looks_at_ports_[index(port)]; }

 private:
  // Of every PortId, the last one too.
  std::vector<Rule> rules_;
  std::vector<std::vector<RuleId>> reachable_;  // in order; ends with the first that always matches
  std::vector<KeyMask> masks_;
  std::vector<bool> looks_at_ports_;
};

// The key of the instance a packet meets. Symmetric for ip_pair and five_tuple; src_ip and dst_ip
// both give KeyKind::address, so the two sides of a tenant meet. A packet without the fields
// (no IP for src_ip, no tag for vlan) has the all-zero key of its kind.
InstanceKey instance_key(KeyBy by, const PacketKey& key, RuleId rule);

// "10.0.0.1", "2001:db8::1", "101" (VLAN), "100.7" (QinQ), "02:00:00:00:00:01",
// "10.0.0.1 10.0.0.2" (pair), "10.0.0.1:80 10.0.0.2:4711 tcp", "[2001:db8::1]:53 ... udp",
// "rule 3": for people.
std::string to_string(const InstanceKey& key);
// "10.0.0.1:4242 > 10.0.0.2:80 tcp": a flow's (masked) key.
std::string to_string(const PacketKey& key);

}  // namespace mayfly
