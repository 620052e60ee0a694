// flows: which packets go through which chain.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "runtime/base/limits.h"
#include "runtime/config/addresses.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

// The whole of `text` as a number; base 16 after 0x.
std::optional<uint32_t> number(std::string_view text) {
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  uint32_t n = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), n, hex ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return n;
}

// "5" or "5-9", each in [min, max].
Range<uint16_t> read_range(const Value& value, uint16_t min, uint16_t max) {
  const std::string given = value.text("a number or a range, for example 100-199");
  if (!value.source().ok()) return {min, min};
  const size_t dash = given.find('-');
  const auto first = number(std::string_view(given).substr(0, dash));
  const auto last = dash == std::string::npos ? first : number(given.substr(dash + 1));
  if (!first || !last || *first < min || *last > max || *first > *last) {
    value.error(
        fmt::format("\"{}\" is not a range; write N or A-B, from {} to {}", given, min, max));
    return {min, min};
  }
  return {static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)};
}

Range<uint16_t> read_vlan(const Value& value) {
  if (value.is(YamlKind::scalar) && value.node()->text == "none") return {0, 0};
  return read_range(value, 1, 4094);
}

uint16_t read_ethertype(const Value& value) {
  const std::string given = value.text("an ethertype, for example 0x0800 or ipv4");
  if (given == "ipv4") return 0x0800;
  if (given == "ipv6") return 0x86dd;
  if (given == "arp") return 0x0806;
  const auto n = number(given);
  if (value.source().ok() && (!n || *n > 0xffff))
    value.error(
        fmt::format("\"{}\" is not an ethertype; write ipv4, ipv6, arp or a number from 0 "
                    "to 0xffff",
                    given));
  return n ? static_cast<uint16_t>(*n) : 0;
}

uint8_t read_protocol(const Value& value) {
  static constexpr Word<uint8_t> kNames[] = {
      {"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmpv6", 58}, {"sctp", 132}};
  const std::string given = value.text("a protocol, for example tcp");
  for (const Word<uint8_t>& w : kNames)
    if (w.text == given) return w.value;
  const auto n = number(given);
  if (value.source().ok() && (!n || *n > 255))
    value.error(fmt::format(
        "\"{}\" is not a protocol; write tcp, udp, icmp, icmpv6, sctp or a number to 255", given));
  return n ? static_cast<uint8_t>(*n) : 0;
}

Prefix read_prefix(const Value& value) {
  const std::string given = value.text("an address or prefix, for example 10.0.0.0/8");
  if (!value.source().ok()) return {};
  const auto prefix = parse_prefix(given);
  if (!prefix.ok()) return value.error(std::string(prefix.status().message())), Prefix{};
  return *prefix;
}

std::string read_mac(const Value& value) {
  const std::string given = value.text("a MAC address");
  const auto mac = parse_mac(given);
  if (!mac) {
    if (value.source().ok())
      value.error(
          fmt::format("\"{}\" is not a MAC address; write for example 02:00:00:00:00:01", given));
    return std::string(6, '\0');
  }
  return {reinterpret_cast<const char*>(mac->data()), mac->size()};
}

Match read_match(const Value& value, const Config& config) {
  Match match;
  const Map map(value, {"port", "vlan", "inner_vlan", "ethertype", "src_ip", "dst_ip", "proto",
                        "src_port", "dst_port", "src_mac"});
  if (const Value v = map["port"])
    match.port = PortId{static_cast<uint8_t>(index_of(config.ports, v, "port"))};
  if (const Value v = map["vlan"]) match.vlan = read_vlan(v);
  if (const Value v = map["inner_vlan"]) match.inner_vlan = read_vlan(v);
  if (const Value v = map["ethertype"]) match.ethertype = read_ethertype(v);
  if (const Value v = map["src_ip"]) match.src_ip = read_prefix(v);
  if (const Value v = map["dst_ip"]) match.dst_ip = read_prefix(v);
  if (const Value v = map["proto"]) match.protocol = read_protocol(v);
  if (const Value v = map["src_port"]) match.src_port = read_range(v, 0, 65535);
  if (const Value v = map["dst_port"]) match.dst_port = read_range(v, 0, 65535);
  if (const Value v = map["src_mac"]) match.src_mac = read_mac(v);
  return match;
}

bool names_one_side(KeyBy by) {
  return by == KeyBy::mac || by == KeyBy::vlan || by == KeyBy::src_ip || by == KeyBy::dst_ip;
}

// Who the tenant of a packet is; by default the same field that tells instances apart.
void read_tenancy(const Map& map, FlowConfig& flow) {
  static constexpr Word<KeyBy> kTenantBy[] = {{"mac", KeyBy::mac},
                                              {"vlan", KeyBy::vlan},
                                              {"src_ip", KeyBy::src_ip},
                                              {"dst_ip", KeyBy::dst_ip}};
  static constexpr Word<bool> kTenants[] = {{"optional", false}, {"required", true}};
  if (names_one_side(flow.instance_per)) flow.tenant_by = flow.instance_per;
  if (const Value v = map["tenant_by"]) flow.tenant_by = v.word(kTenantBy);
  if (const Value v = map["tenants"]) {
    flow.tenants_only = v.word(kTenants);
    if (flow.tenants_only && !flow.tenant_by)
      v.error("nothing says who the tenant of a packet is; add for example tenant_by: vlan");
  }
}

FlowConfig read_flow(const Value& value, const Config& config) {
  static constexpr Word<KeyBy> kInstancePer[] = {{"rule", KeyBy::rule},
                                                 {"mac", KeyBy::mac},
                                                 {"vlan", KeyBy::vlan},
                                                 {"src_ip", KeyBy::src_ip},
                                                 {"dst_ip", KeyBy::dst_ip},
                                                 {"ip_pair", KeyBy::ip_pair},
                                                 {"five_tuple", KeyBy::five_tuple}};
  FlowConfig flow;
  flow.line = value.line();
  const Map map(
      value, {"match", "instance_per", "tenant_by", "chain", "out", "idle", "linger", "tenants"});
  flow.match = read_match(map["match"], config);
  if (const Value v = map["instance_per"]) flow.instance_per = v.word(kInstancePer);
  read_tenancy(map, flow);
  const Value chain = map.required("chain", "protect");
  flow.chain = ChainId{static_cast<uint16_t>(index_of(config.chains, chain, "chain"))};
  if (const Value v = map["out"])
    flow.out = PortId{static_cast<uint8_t>(index_of(config.ports, v, "port"))};
  if (const Value v = map["idle"]) flow.idle = v.duration(millis(1), seconds(7 * 86400));
  if (const Value v = map["linger"]) flow.linger = v.duration(millis(0), seconds(3600));
  return flow;
}

}  // namespace

void read_flows(const Value& value, Config& config) {
  for (const Value& item : value.list("flow", 1, kRuleCountMax)) {
    config.flows.push_back(read_flow(item, config));
    if (!item.source().ok()) return;
  }
}

}  // namespace mayfly
