// The firewall's rules: their text, their compiled form, and how a packet is matched.
//
//   ACTION PROTOCOL [on PORT] from SOURCE [port PORTS] to DESTINATION [port PORTS] [type N]
//                                                              [established] [keep-state]
//   default allow|deny        when no rule matches (deny if not given)
//   link allow|deny           frames that are not IP (default: ARP and IPv6 neighbour discovery
//                             pass, the rest follows `default`)
//
//   ACTION       allow | deny
//   PROTOCOL     any | tcp | udp | icmp | icmpv6 | sctp | gre | esp | ah | a number 0-255
//   on PORT      only packets that came in by that port, counted from 0
//   SOURCE, DESTINATION   any | an address | a prefix, IPv4 or IPv6
//   PORTS        443 | 8000-8080                    (tcp, udp, sctp, udplite, dccp only)
//   type N       ICMP or ICMPv6 type
//   established  TCP with ACK or RST set: all of a connection but its opening packet
//   keep-state   what answers this packet passes too (firewall_state.h)
//
// One rule a line; the first that matches decides. IPv4 and IPv6 rules are kept apart, in order;
// a rule without addresses stands in both lists.
//
// Later fragments carry no ports. As routers do, a rule about ports (or a type, or `established`)
// lets a later fragment through if it allows, and does not look at it if it denies: the receiver
// cannot use a later fragment whose first one was denied.
//
// Compiled form, used in place:   FirewallConfig | rule4_count Rule4 | rule6_count Rule6
// Matching is a linear scan without branches inside a rule, in order, over 32 bytes a rule: 3
// cycles each. rte_acl costs 43 whatever their number (bench/nf_cost.cc), so the scan is the
// cheaper one up to about 13 rules, and at 100 it costs 0.1 us a packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "nfs/nf.h"

namespace mayfly {

struct Address4 {
  uint32_t word;  // wire order, here and below
};
struct Address6 {
  uint64_t high, low;
  bool operator==(const Address6&) const = default;
};

// What rules look at in a packet.
template <class Address>
struct RuleView {
  Address source, destination;
  uint16_t source_port = 0;       // host order; 0 without ports
  uint16_t destination_port = 0;  // ICMP: the type
  uint16_t kind = 0;              // protocol | ingress port << 8
  uint8_t flags = 0;              // kViewAny, and kViewEstablished
};
inline constexpr uint8_t kViewAny = 1;
inline constexpr uint8_t kViewEstablished = 2;

inline constexpr uint8_t kRuleAllow = 1;
inline constexpr uint8_t kRuleKeepState = 2;
inline constexpr uint8_t kRuleTransport = 4;  // looks at ports, type or TCP flags

template <class Address>
struct Rule {
  Address source, source_mask, destination, destination_mask;
  uint16_t source_port_min, source_port_span;  // min <= port <= min + span
  uint16_t destination_port_min, destination_port_span;
  uint16_t kind, kind_mask;
  uint8_t view_flags;  // the packet has at least one of them
  uint8_t flags;
  uint8_t reserved[2];
};
using Rule4 = Rule<Address4>;
using Rule6 = Rule<Address6>;
static_assert(sizeof(Rule4) == 32 && sizeof(Rule6) == 80);

enum class LinkPolicy : uint8_t { neighbours, allow, deny };

struct FirewallConfig {
  uint32_t rule4_count;
  uint32_t rule6_count;
  uint32_t state_count;  // of create()'s configuration
  uint8_t default_allow;
  LinkPolicy link;
  uint8_t reserved[2];
  uint64_t state_idle_ns;
  uint64_t reserved2;
};
static_assert(sizeof(FirewallConfig) == 32, "rules behind it keep their alignment");

// The compiled rules of one tenant, checked to lie inside `config`.
struct RuleSet {
  const FirewallConfig* config = nullptr;  // null: not usable, everything is dropped
  std::span<const Rule4> rules4;
  std::span<const Rule6> rules6;

  static RuleSet over(std::span<const std::byte> blob);
};

// Appends the rules of `text` behind `header`. False with `error` about the argument "rules".
bool compile_rules(std::string_view text, FirewallConfig header, std::vector<std::byte>& blob,
                   ArgError& error);

inline bool outside(Address4 a, Address4 rule, Address4 mask) {
  return ((a.word ^ rule.word) & mask.word) != 0;
}
inline bool outside(const Address6& a, const Address6& rule, const Address6& mask) {
  return (((a.high ^ rule.high) & mask.high) | ((a.low ^ rule.low) & mask.low)) != 0;
}

template <class Address>
bool matches(const Rule<Address>& rule, const RuleView<Address>& view) {
  const auto past = [](uint16_t port, uint16_t min, uint16_t span) {
    return static_cast<uint16_t>(port - min) > span;
  };
  return !(outside(view.source, rule.source, rule.source_mask) |
           outside(view.destination, rule.destination, rule.destination_mask) |
           (((view.kind ^ rule.kind) & rule.kind_mask) != 0) |
           past(view.source_port, rule.source_port_min, rule.source_port_span) |
           past(view.destination_port, rule.destination_port_min, rule.destination_port_span) |
           ((view.flags & rule.view_flags) == 0));
}

// The first rule that matches; null: none.
template <class Address>
const Rule<Address>* first_match(std::span<const Rule<Address>> rules,
                                 const RuleView<Address>& view) {
  for (const Rule<Address>& rule : rules)
    if (matches(rule, view)) return &rule;
  return nullptr;
}

// The same for a later fragment (see above).
template <class Address>
const Rule<Address>* first_match_later_fragment(std::span<const Rule<Address>> rules,
                                                const RuleView<Address>& view) {
  for (const Rule<Address>& rule : rules) {
    if (outside(view.source, rule.source, rule.source_mask) ||
        outside(view.destination, rule.destination, rule.destination_mask) ||
        ((view.kind ^ rule.kind) & rule.kind_mask) != 0)
      continue;
    if ((rule.flags & kRuleTransport) != 0 && (rule.flags & kRuleAllow) == 0) continue;
    return &rule;
  }
  return nullptr;
}

}  // namespace mayfly
