#include "nfs/firewall_rules.h"

#include <cstring>

#include "nfs/headers.h"
#include "nfs/text.h"

namespace mayfly {
namespace {

inline constexpr size_t kConfigBytesMax = 64 * 1024;

struct ProtocolName {
  std::string_view name;
  uint8_t number;
};
constexpr ProtocolName kProtocols[] = {
    {"tcp", kTcp},   {"udp", kUdp}, {"icmp", kIcmp}, {"icmpv6", kIcmpV6}, {"sctp", kSctp},
    {"dccp", kDccp}, {"gre", 47},   {"esp", 50},     {"ah", 51},          {"udplite", kUdpLite},
};

bool protocol_has_ports(uint32_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp || protocol == kDccp ||
         protocol == kUdpLite;
}

// One line of text, as it is understood so far.
struct RuleText {
  uint8_t flags = 0;
  bool any_protocol = false;
  uint8_t protocol = 0;
  std::optional<uint8_t> port_in;
  std::optional<Prefix> source, destination;
  uint16_t source_port[2] = {0, 65535};
  uint16_t destination_port[2] = {0, 65535};
  bool established = false;
};

// Reads one rule, word by word. The first error stays in `why`.
class RuleReader {
 public:
  explicit RuleReader(const std::vector<std::string_view>& words) : words_(words) {}

  bool read(RuleText& rule) {
    return action(rule) && protocol(rule) && ingress(rule) &&
           end("from", rule, rule.source, rule.source_port) &&
           end("to", rule, rule.destination, rule.destination_port) && options(rule) &&
           families_agree(rule);
  }
  const std::string& why() const { return why_; }

 private:
  bool fail(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return false;
  }
  std::string_view peek() const { return at_ < words_.size() ? words_[at_] : std::string_view(); }
  std::string_view take() {
    const std::string_view word = peek();
    if (at_ < words_.size()) ++at_;
    return word;
  }
  bool skip(std::string_view word) {
    if (peek() != word || word.empty()) return false;
    ++at_;
    return true;
  }
  static std::string shown(std::string_view word) {
    return word.empty() ? "the end of the line" : quoted(word);
  }

  bool action(RuleText& rule) {
    const std::string_view word = take();
    if (word != "allow" && word != "deny")
      return fail(shown(word) + " does not begin a rule; write allow, deny, default or link");
    rule.flags = word == "allow" ? kRuleAllow : 0;
    return true;
  }

  bool protocol(RuleText& rule) {
    const std::string_view word = take();
    if (word == "any") return rule.any_protocol = true;
    for (const ProtocolName& known : kProtocols) {
      if (known.name != word) continue;
      rule.protocol = known.number;
      return true;
    }
    const auto number = parse_number(word, 255);
    if (!number)
      return fail(shown(word) +
                  " is not a protocol; write any, tcp, udp, icmp, icmpv6, sctp, gre, esp, ah or a "
                  "number from 0 to 255");
    rule.protocol = static_cast<uint8_t>(*number);
    return true;
  }

  bool ingress(RuleText& rule) {
    if (!skip("on")) return true;
    const std::string_view word = take();
    const auto port = parse_number(word, 249);
    if (!port) return fail("on " + shown(word) + ": write the port's number, counted from 0");
    rule.port_in = static_cast<uint8_t>(*port);
    return true;
  }

  // from|to ADDRESS [port PORTS]
  bool end(const char* keyword, RuleText& rule, std::optional<Prefix>& prefix, uint16_t ports[2]) {
    if (!skip(keyword))
      return fail(std::string("expected '") + keyword + "' before " + shown(peek()));
    const std::string_view word = take();
    if (word.empty()) return fail(std::string("an address must follow '") + keyword + "'");
    if (word != "any" && !(prefix = parse_prefix(word, why_))) return false;
    if (!skip("port")) return true;
    if (rule.any_protocol || !protocol_has_ports(rule.protocol))
      return fail("'port' needs the protocol tcp, udp, sctp, dccp or udplite");
    rule.flags |= kRuleTransport;
    return port_range(take(), ports);
  }

  bool port_range(std::string_view word, uint16_t ports[2]) {
    const size_t dash = word.find('-');
    const auto first = parse_number(word.substr(0, dash), 65535);
    const auto last = dash == word.npos ? first : parse_number(word.substr(dash + 1), 65535);
    if (!first || !last || *first > *last)
      return fail(shown(word) + " is not a port; write one like 443 or 8000-8080");
    ports[0] = static_cast<uint16_t>(*first);
    ports[1] = static_cast<uint16_t>(*last);
    return true;
  }

  bool options(RuleText& rule) {
    while (!peek().empty()) {
      if (skip("type")) {
        if (!icmp_type(rule)) return false;
      } else if (skip("established")) {
        if (rule.any_protocol || rule.protocol != kTcp)
          return fail("'established' needs the protocol tcp");
        rule.established = true;
        rule.flags |= kRuleTransport;
      } else if (skip("keep-state")) {
        if ((rule.flags & kRuleAllow) == 0) return fail("'keep-state' needs an allow rule");
        rule.flags |= kRuleKeepState;
      } else {
        return fail(quoted(peek()) +
                    " is not understood here; a rule may end in 'type N', "
                    "'established' or 'keep-state'");
      }
    }
    return true;
  }

  bool icmp_type(RuleText& rule) {
    if (rule.any_protocol || (rule.protocol != kIcmp && rule.protocol != kIcmpV6))
      return fail("'type' needs the protocol icmp or icmpv6");
    const std::string_view word = take();
    const auto type = parse_number(word, 255);
    if (!type) return fail(shown(word) + " is not an ICMP type; write a number from 0 to 255");
    rule.destination_port[0] = rule.destination_port[1] = static_cast<uint16_t>(*type);
    rule.flags |= kRuleTransport;
    return true;
  }

  bool families_agree(const RuleText& rule) {
    if (rule.source && rule.destination && rule.source->ipv6 != rule.destination->ipv6)
      return fail("one address is IPv4 and the other IPv6; no packet is both");
    return true;
  }

  const std::vector<std::string_view>& words_;
  size_t at_ = 0;
  std::string why_;
};

template <class Address>
void put_prefix(const std::optional<Prefix>& prefix, Address& address, Address& mask) {
  address = {}, mask = {};
  if (!prefix) return;
  std::memcpy(&address, prefix->address.data(), sizeof(address));
  std::memcpy(&mask, prefix->mask().data(), sizeof(mask));
}

template <class Address>
Rule<Address> compiled(const RuleText& text) {
  Rule<Address> rule{};
  put_prefix(text.source, rule.source, rule.source_mask);
  put_prefix(text.destination, rule.destination, rule.destination_mask);
  const auto span = [](const uint16_t p[2]) { return static_cast<uint16_t>(p[1] - p[0]); };
  rule.source_port_min = text.source_port[0];
  rule.source_port_span = span(text.source_port);
  rule.destination_port_min = text.destination_port[0];
  rule.destination_port_span = span(text.destination_port);
  rule.kind = static_cast<uint16_t>(text.protocol | text.port_in.value_or(0) << 8);
  rule.kind_mask =
      static_cast<uint16_t>((text.any_protocol ? 0 : 0xff) | (text.port_in ? 0xff00 : 0));
  rule.view_flags = text.established ? kViewEstablished : kViewAny;
  rule.flags = text.flags;
  return rule;
}

bool is_v4(const RuleText& rule) {
  return !(rule.source && rule.source->ipv6) && !(rule.destination && rule.destination->ipv6) &&
         (rule.any_protocol || rule.protocol != kIcmpV6);
}
bool is_v6(const RuleText& rule) {
  return !(rule.source && !rule.source->ipv6) && !(rule.destination && !rule.destination->ipv6) &&
         (rule.any_protocol || rule.protocol != kIcmp);
}

// `default allow|deny` and `link allow|deny`.
bool read_policy(const std::vector<std::string_view>& words, FirewallConfig& header,
                 std::string& why) {
  if (words.size() != 2 || (words[1] != "allow" && words[1] != "deny")) {
    why = quoted(words[0]) + " must be followed by allow or deny";
    return false;
  }
  const bool allow = words[1] == "allow";
  if (words[0] == "default") {
    header.default_allow = allow;
  } else {
    header.link = allow ? LinkPolicy::allow : LinkPolicy::deny;
  }
  return true;
}

bool read_rule(const std::vector<std::string_view>& words, std::vector<Rule4>& rules4,
               std::vector<Rule6>& rules6, std::string& why) {
  RuleText text;
  RuleReader reader(words);
  if (!reader.read(text)) {
    why = reader.why();
    return false;
  }
  if (!is_v4(text) && !is_v6(text)) {
    why = "icmp goes with IPv4 addresses and icmpv6 with IPv6 addresses";
    return false;
  }
  if (is_v4(text)) rules4.push_back(compiled<Address4>(text));
  if (is_v6(text)) rules6.push_back(compiled<Address6>(text));
  if (sizeof(FirewallConfig) + rules4.size() * sizeof(Rule4) + rules6.size() * sizeof(Rule6) >
      kConfigBytesMax) {
    why =
        "too many rules: those up to here need more than 64 KiB (32 bytes for IPv4, 80 for IPv6, "
        "112 without addresses)";
    return false;
  }
  return true;
}

}  // namespace

RuleSet RuleSet::over(std::span<const std::byte> blob) {
  const auto* config = config_as<FirewallConfig>(blob);
  if (config == nullptr) return {};
  const uint64_t need = sizeof(FirewallConfig) + uint64_t{config->rule4_count} * sizeof(Rule4) +
                        uint64_t{config->rule6_count} * sizeof(Rule6);
  if (need > blob.size()) return {};
  const auto* rules4 = reinterpret_cast<const Rule4*>(config + 1);
  const auto* rules6 = reinterpret_cast<const Rule6*>(rules4 + config->rule4_count);
  return {config, {rules4, config->rule4_count}, {rules6, config->rule6_count}};
}

bool compile_rules(std::string_view text, FirewallConfig header, std::vector<std::byte>& blob,
                   ArgError& error) {
  std::vector<Rule4> rules4;
  std::vector<Rule6> rules6;
  WordLines lines(text);
  while (lines.next()) {
    const std::string_view first = lines.words()[0];
    std::string why;
    const bool good = first == "default" || first == "link"
                          ? read_policy(lines.words(), header, why)
                          : read_rule(lines.words(), rules4, rules6, why);
    if (!good) {
      error = {"rules", lines.number(), why};
      return false;
    }
  }
  header.rule4_count = static_cast<uint32_t>(rules4.size());
  header.rule6_count = static_cast<uint32_t>(rules6.size());
  append_config(blob, header);
  for (const Rule4& rule : rules4) append_config(blob, rule);
  for (const Rule6& rule : rules6) append_config(blob, rule);
  return true;
}

}  // namespace mayfly
