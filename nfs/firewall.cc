// firewall: ordered 5-tuple rules from a file per tenant, IPv4 and IPv6; first match wins.
// The rule language is in firewall_rules.h, what `keep-state` remembers in firewall_state.h.
//
//   frame -> headers -> not IP?         link policy
//                    -> malformed, cut? drop
//                    -> of a remembered flow? pass      (only if any rule ever kept state)
//                    -> first rule that matches, else the default
//
// Tags (802.1Q, QinQ) are stepped over. What cannot be read is dropped, whatever the rules say: a
// wrong version or length, a frame cut short, a first fragment too short for its ports, and a TCP
// fragment that would overwrite the header of its first one (RFC 1858, RFC 3128).
#include "nfs/firewall_rules.h"
#include "nfs/firewall_state.h"
#include "nfs/headers.h"

namespace mayfly {
namespace {

inline constexpr uint8_t kTcpFin = 0x01, kTcpRst = 0x04, kTcpAck = 0x10;

Address6 mapped(Address4 a) {
  Address6 address{};
  uint8_t bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::memcpy(bytes + 12, &a, 4);
  std::memcpy(&address, bytes, 16);
  return address;
}

template <class Address>
Address load_address(const uint8_t* p) {
  Address a;
  std::memcpy(&a, p, sizeof(a));
  return a;
}

// IPv6's ARP: solicitations and advertisements that no router forwarded (RFC 4861, 7.1).
bool is_neighbour_discovery(const uint8_t* frame, const Headers& h) {
  return h.l3_kind == L3::ipv6 && h.protocol == kIcmpV6 && h.l4_kind == L4::whole &&
         frame[h.l3 + 7] == 255 && frame[h.l4] >= 133 && frame[h.l4] <= 136;
}

bool is_icmp_error(uint8_t protocol, uint8_t type) {
  return protocol == kIcmp ? (type == 3 || type == 11 || type == 12) : (type >= 1 && type <= 4);
}

class Firewall final : public NetworkFunction {
 public:
  explicit Firewall(uint32_t state_count) : states_(state_count) {}

  // A flow that the new rules would no longer let begin ends now.
  void bind(const Binding& binding) override {
    rules_ = RuleSet::over(binding.config);
    states_.prune([this](const FlowTuple& tuple) { return still_kept(tuple); });
  }

  void process(Burst& burst) override {
    for (Packet& packet : burst) {
      if (rules_.config == nullptr || !passes(packet, burst.now_ns())) packet.drop();
    }
  }

  void reset() override {
    states_.reset();
    rules_ = {};
  }

 private:
  bool passes(const Packet& packet, uint64_t now_ns) {
    const Headers h = parse_headers(packet.bytes());
    if (h.l3_kind == L3::ipv4) {
      if (!readable(h)) return false;
      return decide(packet, h, view_of<Address4>(packet, h), rules_.rules4, now_ns);
    }
    if (h.l3_kind == L3::ipv6) {
      if (is_neighbour_discovery(packet.data(), h) && rules_.config->link == LinkPolicy::neighbours)
        return true;
      if (!readable(h)) return false;
      return decide(packet, h, view_of<Address6>(packet, h), rules_.rules6, now_ns);
    }
    return h.l3_kind == L3::other && link_passes(h.type);
  }

  bool link_passes(uint16_t type) const {
    switch (rules_.config->link) {
      case LinkPolicy::allow:
        return true;
      case LinkPolicy::deny:
        return false;
      case LinkPolicy::neighbours:
        break;
    }
    return type == kTypeArp || rules_.config->default_allow;
  }

  static bool readable(const Headers& h) {
    if (h.l4_kind == L4::cut) return false;
    return !(h.protocol == kTcp && h.fragment_offset != 0 && h.fragment_offset < 20);
  }

  template <class Address>
  static RuleView<Address> view_of(const Packet& packet, const Headers& h) {
    constexpr uint32_t kSourceAt = std::is_same_v<Address, Address4> ? 12 : 8;
    const uint8_t* ip = packet.data() + h.l3;
    const uint8_t* l4 = packet.data() + h.l4;
    RuleView<Address> view;
    view.source = load_address<Address>(ip + kSourceAt);
    view.destination = load_address<Address>(ip + kSourceAt + sizeof(Address));
    view.kind = static_cast<uint16_t>(h.protocol | packet.port_in() << 8);
    view.flags = kViewAny;
    if (h.has_ports()) {
      view.source_port = load_be16(l4);
      view.destination_port = load_be16(l4 + 2);
      if (h.protocol == kTcp && (l4[13] & (kTcpAck | kTcpRst)) != 0) view.flags |= kViewEstablished;
    } else if (h.l4_kind == L4::whole && (h.protocol == kIcmp || h.protocol == kIcmpV6)) {
      view.destination_port = l4[0];
    }
    return view;
  }

  template <class Address>
  bool decide(const Packet& packet, const Headers& h, const RuleView<Address>& view,
              std::span<const Rule<Address>> rules, uint64_t now_ns) {
    if (!states_.empty() && is_remembered(packet, h, view, now_ns)) return true;
    const Rule<Address>* rule = h.l4_kind == L4::later_fragment
                                    ? first_match_later_fragment(rules, view)
                                    : first_match(rules, view);
    if (rule == nullptr) return rules_.config->default_allow;
    if ((rule->flags & kRuleKeepState) != 0) remember(packet, h, view, now_ns);
    return (rule->flags & kRuleAllow) != 0;
  }

  // ---- remembered flows

  template <class Address>
  static FlowTuple tuple_of(const Headers& h, const RuleView<Address>& view) {
    FlowTuple tuple{};
    if constexpr (std::is_same_v<Address, Address4>) {
      tuple.source = mapped(view.source), tuple.destination = mapped(view.destination);
    } else {
      tuple.source = view.source, tuple.destination = view.destination;
    }
    tuple.source_port = view.source_port;
    tuple.destination_port = view.destination_port;
    tuple.protocol = h.protocol;
    tuple.is_ipv6 = std::is_same_v<Address, Address6>;
    return tuple;
  }

  static FlowTuple fragment_of(FlowTuple tuple, const Headers& h) {
    tuple.source_port = static_cast<uint16_t>(h.fragment_id >> 16);
    tuple.destination_port = static_cast<uint16_t>(h.fragment_id);
    tuple.is_fragment = true;
    return tuple;
  }

  static bool is_icmp(const Headers& h) { return h.protocol == kIcmp || h.protocol == kIcmpV6; }

  // An echo's flow is its identifier, in the ports' place, from who asks to who answers.
  enum class Echo : uint8_t { no, request, reply };
  static Echo take_echo(const Packet& packet, const Headers& h, FlowTuple& tuple) {
    if (!is_icmp(h) || h.l3_end - h.l4 < 8) return Echo::no;
    const uint8_t* icmp = packet.data() + h.l4;
    const bool v4 = h.protocol == kIcmp;
    const bool reply = icmp[0] == (v4 ? 0 : 129);
    if (!reply && icmp[0] != (v4 ? 8 : 128)) return Echo::no;
    tuple.source_port = tuple.destination_port = load_be16(icmp + 4);
    if (reply) tuple = tuple.reversed();
    return reply ? Echo::reply : Echo::request;
  }

  template <class Address>
  bool is_remembered(const Packet& packet, const Headers& h, const RuleView<Address>& view,
                     uint64_t now_ns) {
    FlowTuple tuple = tuple_of(h, view);
    const uint64_t idle_ns = rules_.config->state_idle_ns;
    if (h.l4_kind == L4::later_fragment)
      return states_.refresh(fragment_of(tuple, h), Ways::one, now_ns, StateTable::kFragmentNs,
                             false);
    Ways ways = Ways::both;
    if (is_icmp(h)) {
      if (is_icmp_error(h.protocol, packet.data()[h.l4]))
        return states_.knows(quoted_tuple(packet, h), Ways::both, now_ns);
      if (take_echo(packet, h, tuple) == Echo::no) return false;
      ways = Ways::one;
    }
    const bool closing =
        h.protocol == kTcp && (packet.data()[h.l4 + 13] & (kTcpFin | kTcpRst)) != 0;
    if (!states_.refresh(tuple, ways, now_ns, idle_ns, closing)) return false;
    if (h.fragment) remember_fragments(h, view, now_ns);
    return true;
  }

  template <class Address>
  void remember(const Packet& packet, const Headers& h, const RuleView<Address>& view,
                uint64_t now_ns) {
    if (h.l4_kind != L4::whole) return;
    FlowTuple tuple = tuple_of(h, view);
    // Of ICMP, nothing but an echo request is answered by more than an error.
    if (is_icmp(h) && take_echo(packet, h, tuple) != Echo::request) return;
    states_.remember(tuple, now_ns, rules_.config->state_idle_ns);
    if (h.fragment) remember_fragments(h, view, now_ns);
  }

  template <class Address>
  void remember_fragments(const Headers& h, const RuleView<Address>& view, uint64_t now_ns) {
    states_.remember(fragment_of(tuple_of(h, view), h), now_ns, StateTable::kFragmentNs);
  }

  // The flow that an ICMP error is about: the start of the packet it quotes (RFC 792, RFC 4443).
  // The quoted packet is cut, so its total length says nothing; extension headers are not followed.
  static FlowTuple quoted_tuple(const Packet& packet, const Headers& h) {
    FlowTuple tuple{};
    if (h.l3_end - h.l4 < 8) return tuple;
    const uint8_t* ip = packet.data() + h.l4 + 8;
    const uint32_t room = h.l3_end - h.l4 - 8u;
    const bool ipv6 = h.l3_kind == L3::ipv6;
    if (room < 1 || ip[0] >> 4 != (ipv6 ? 6 : 4)) return tuple;
    const uint32_t header = ipv6 ? 40 : (ip[0] & 15u) * 4;
    if (header < 20 || room < header + 8) return tuple;
    if (!ipv6 && (load_be16(ip + 6) & 0x1fff) != 0) return tuple;  // no ports in there
    tuple.protocol = ip[ipv6 ? 6 : 9];
    tuple.is_ipv6 = ipv6;
    tuple.source = ipv6 ? load_address<Address6>(ip + 8) : mapped(load_address<Address4>(ip + 12));
    tuple.destination =
        ipv6 ? load_address<Address6>(ip + 24) : mapped(load_address<Address4>(ip + 16));
    if (tuple.protocol == kIcmp || tuple.protocol == kIcmpV6) {
      tuple.source_port = tuple.destination_port = load_be16(ip + header + 4);
    } else {
      tuple.source_port = load_be16(ip + header);
      tuple.destination_port = load_be16(ip + header + 2);
    }
    return tuple;
  }

  // Would the rules now in force keep state for the packet that began this flow? The ingress port
  // is not remembered: a rule with `on` counts for any.
  bool still_kept(const FlowTuple& tuple) const {
    if (rules_.config == nullptr || tuple.is_fragment) return false;
    return tuple.is_ipv6 ? kept_by(tuple, rules_.rules6) : kept_by(tuple, rules_.rules4);
  }

  template <class Address>
  static bool kept_by(const FlowTuple& tuple, std::span<const Rule<Address>> rules) {
    constexpr size_t kSkip = sizeof(Address6) - sizeof(Address);
    RuleView<Address> view;
    view.source = load_address<Address>(reinterpret_cast<const uint8_t*>(&tuple.source) + kSkip);
    view.destination =
        load_address<Address>(reinterpret_cast<const uint8_t*>(&tuple.destination) + kSkip);
    view.kind = tuple.protocol;
    view.flags = kViewAny | kViewEstablished;
    view.source_port = tuple.source_port;
    view.destination_port = tuple.destination_port;
    if (tuple.protocol == kIcmp || tuple.protocol == kIcmpV6)
      view.source_port = 0, view.destination_port = tuple.protocol == kIcmp ? 8 : 128;
    for (Rule<Address> rule : rules) {
      const bool any_port = (rule.flags & kRuleAllow) != 0;
      if (any_port) rule.kind_mask &= 0xff;
      if (matches(rule, view) && (any_port || (rule.kind_mask >> 8) == 0))
        return (rule.flags & kRuleKeepState) != 0;
    }
    return false;
  }

  RuleSet rules_;
  StateTable states_;
};

bool compile(const Args& args, std::vector<std::byte>& config, ArgError& error) {
  FirewallConfig header{};
  header.state_count = static_cast<uint32_t>(args.number("states"));
  header.state_idle_ns = args.number("state_idle");
  return compile_rules(args.text("rules"), header, config, error);
}

NetworkFunction* create(std::span<const std::byte> blob) {
  const auto* config = config_as<FirewallConfig>(blob);
  return config == nullptr ? nullptr : new Firewall(config->state_count);
}

constexpr NfArg kArgs[] = {
    {"rules", ArgType::file, "the rules, one a line (docs/nfs.md)", nullptr},
    {"states", ArgType::integer,
     "flows that `keep-state` can remember at a time (of `nfs:`; a tenant cannot change it)", "256",
     4, 65536},
    {"state_idle", ArgType::duration, "a remembered flow is forgotten after this much silence",
     "300s", 1'000'000, 86'400'000'000'000},
};
constexpr NfImage kImage = {
    .name = "firewall",
    .summary = "ordered 5-tuple rules, IPv4 and IPv6, with optional tracking of answers",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
