#include "flowdir/rules.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>

#include "tests/flowdir/frames.h"

namespace mayfly {
namespace {

using namespace frames;

constexpr PortId kLan{0}, kWan{1};

Prefix prefix(const std::string& address, uint8_t bits) {
  Prefix p;
  if (address.find(':') != std::string::npos) {
    EXPECT_EQ(inet_pton(AF_INET6, address.c_str(), p.address), 1);
    p.bits = bits;
  } else {
    p.address[10] = p.address[11] = 0xff;
    EXPECT_EQ(inet_pton(AF_INET, address.c_str(), p.address + 12), 1);
    p.bits = static_cast<uint8_t>(96 + bits);
  }
  return p;
}

PacketKey key_of(const Bytes& frame, PortId port = kLan) {
  ParsedPacket out;
  parse(frame, port, out);
  return out.key;
}
PacketKey tcp_key(const char* src, const char* dst, uint16_t src_port, uint16_t dst_port,
                  PortId port = kLan) {
  return key_of(
      ethernet(kIpv4, ipv4({.src = src, .dst = dst, .protocol = kTcp}, tcp(src_port, dst_port))),
      port);
}
PacketKey tagged_key(uint16_t vlan, uint16_t inner = 0, uint16_t src_port = 1) {
  const Bytes packet = ipv4({.protocol = kTcp}, tcp(src_port, 80));
  if (inner == 0) return key_of(ethernet(kVlanTag, tag(vlan, kIpv4, packet)));
  return key_of(ethernet(kServiceTag, tag(vlan, kVlanTag, tag(inner, kIpv4, packet))));
}
const PacketKey kArpKey = key_of(ethernet(kArp, Bytes(46, 0)));
const PacketKey kTcp6Key = key_of(ethernet(kIpv6, ipv6({.next = kTcp}, tcp(4711, 80))));
const PacketKey kPingKey = key_of(ethernet(kIpv4, ipv4({.protocol = kIcmp}, echo(8, 80))));

struct MatchRow {
  const char* name;
  Match match;
  PacketKey key;
  bool matches;
};

class Matches : public testing::TestWithParam<MatchRow> {};

TEST_P(Matches, AsTheRowSays) {
  const MatchRow& row = GetParam();
  EXPECT_EQ(row.match.matches(row.key), row.matches);
  // And through a rule set, with the key masked as the flow table holds it.
  const RuleSet rules({Rule{.match = row.match}});
  const RuleId found = rules.match(rules.mask_of(PortId{row.key.port}).apply(row.key));
  EXPECT_EQ(found == RuleId{0}, row.matches);
}

std::vector<MatchRow> match_rows() {
  const PacketKey web = tcp_key("10.1.2.3", "10.9.0.1", 4711, 80);
  const std::string mac("\2\0\0\0\0\1", 6), other_mac("\2\0\0\0\0\7", 6);
  const Range<uint16_t> any_tag{1, 4094}, web_ports{80, 89};
  return {
      {"anything", {}, kArpKey, true},
      {"port", {.port = kLan}, web, true},
      {"other_port", {.port = kWan}, web, false},
      {"vlan", {.vlan = any_tag}, tagged_key(101), true},
      {"vlan_first", {.vlan = Range<uint16_t>{101, 200}}, tagged_key(101), true},
      {"vlan_last", {.vlan = Range<uint16_t>{1, 101}}, tagged_key(101), true},
      {"vlan_outside", {.vlan = Range<uint16_t>{102, 200}}, tagged_key(101), false},
      {"untagged_has_no_vlan", {.vlan = any_tag}, web, false},
      {"untagged", {.vlan = Range<uint16_t>{0, 0}}, web, true},
      {"inner_vlan",
       {.vlan = any_tag, .inner_vlan = Range<uint16_t>{7, 7}},
       tagged_key(9, 7),
       true},
      {"no_inner_vlan", {.inner_vlan = any_tag}, tagged_key(9), false},
      {"ethertype", {.ethertype = kArp}, kArpKey, true},
      {"other_ethertype", {.ethertype = kArp}, web, false},
      {"src_ip", {.src_ip = prefix("10.1.2.3", 32)}, web, true},
      {"src_prefix", {.src_ip = prefix("10.1.0.0", 15)}, web, true},
      {"src_prefix_outside", {.src_ip = prefix("10.2.0.0", 15)}, web, false},
      {"dst_prefix", {.dst_ip = prefix("10.9.0.0", 17)}, web, true},
      {"all_ipv4", {.src_ip = prefix("0.0.0.0", 0)}, web, true},
      {"all_ipv4_is_not_ipv6", {.src_ip = prefix("0.0.0.0", 0)}, kTcp6Key, false},
      {"all_ipv4_is_not_arp", {.src_ip = prefix("0.0.0.0", 0)}, kArpKey, false},
      {"all_ipv6", {.src_ip = prefix("::", 0)}, kTcp6Key, true},
      {"all_ipv6_is_not_ipv4", {.src_ip = prefix("::", 0)}, web, false},
      {"all_ipv6_is_not_arp", {.dst_ip = prefix("::", 0)}, kArpKey, false},
      {"unspecified_is_not_arp", {.dst_ip = prefix("::", 128)}, kArpKey, false},
      {"src_prefix6", {.src_ip = prefix("2001:db8::", 32)}, kTcp6Key, true},
      {"src_prefix6_outside", {.src_ip = prefix("2001:db9::", 32)}, kTcp6Key, false},
      {"protocol", {.protocol = kTcp}, web, true},
      {"other_protocol", {.protocol = kUdp}, web, false},
      {"dst_port", {.dst_port = web_ports}, web, true},
      {"src_port_outside", {.src_port = web_ports}, web, false},
      {"an_echo_identifier_is_no_port", {.dst_port = web_ports}, kPingKey, false},
      {"src_mac", {.src_mac = mac}, web, true},
      {"other_src_mac", {.src_mac = other_mac}, web, false},
      {"all_at_once",
       {.port = kLan,
        .vlan = any_tag,
        .ethertype = kIpv4,
        .src_ip = prefix("10.0.0.0", 8),
        .protocol = kTcp,
        .dst_port = web_ports,
        .src_mac = mac},
       tagged_key(4094),
       true},
      {"all_but_one",
       {.port = kLan,
        .vlan = any_tag,
        .ethertype = kIpv4,
        .src_ip = prefix("10.0.0.0", 8),
        .protocol = kTcp,
        .dst_port = web_ports,
        .src_mac = other_mac},
       tagged_key(4094),
       false},
  };
}

INSTANTIATE_TEST_SUITE_P(Rows, Matches, testing::ValuesIn(match_rows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(RuleSet, FirstMatchWins) {
  const RuleSet rules({Rule{.match = {.src_ip = prefix("10.1.0.0", 16)}},
                       Rule{.match = {.src_ip = prefix("10.0.0.0", 8)}},
                       Rule{.match = {.protocol = kTcp}}});
  EXPECT_EQ(rules.match(tcp_key("10.1.2.3", "10.9.0.1", 1, 2)), RuleId{0});
  EXPECT_EQ(rules.match(tcp_key("10.2.2.3", "10.9.0.1", 1, 2)), RuleId{1});
  EXPECT_EQ(rules.match(tcp_key("11.2.2.3", "10.9.0.1", 1, 2)), RuleId{2});
  EXPECT_EQ(rules.match(kArpKey), kNone<RuleId>);
}

TEST(RuleSet, WithoutRulesMatchesNothing) {
  const RuleSet rules;
  EXPECT_EQ(rules.match(kArpKey), kNone<RuleId>);
  EXPECT_EQ(rules.size(), 0u);
  EXPECT_FALSE(rules.looks_at_ports(kLan));
  EXPECT_FALSE(rules.looks_at_ports(PortId{255}));
}

size_t flows_of(const RuleSet& rules, const std::vector<PacketKey>& keys) {
  std::set<std::string> flows;
  for (const PacketKey& key : keys) {
    const PacketKey masked = rules.mask_of(PortId{key.port}).apply(key);
    flows.insert(std::string(reinterpret_cast<const char*>(&masked), sizeof masked));
  }
  return flows.size();
}

TEST(RuleSet, AVlanOnlyPortHasOneFlowPerVlan) {
  const RuleSet rules({Rule{.match = {.port = kLan, .vlan = Range<uint16_t>{1, 4094}},
                            .instance_per = KeyBy::vlan}});
  std::vector<PacketKey> keys;
  for (uint16_t connection = 1; connection <= 1000; ++connection) {
    for (uint16_t vlan = 1; vlan <= 5; ++vlan) keys.push_back(tagged_key(vlan, 0, connection));
  }
  EXPECT_EQ(flows_of(rules, keys), 5u);
  EXPECT_FALSE(rules.looks_at_ports(kLan));
}

TEST(RuleSet, AFiveTuplePortHasOneFlowPerConnection) {
  const RuleSet rules({Rule{.instance_per = KeyBy::five_tuple}});
  std::vector<PacketKey> keys;
  for (uint16_t connection = 1; connection <= 1000; ++connection) {
    keys.push_back(tagged_key(1 + connection % 5, 0, connection));
    keys.push_back(tagged_key(2 + connection % 5, 0, connection));  // tags do not count here
  }
  EXPECT_EQ(flows_of(rules, keys), 1000u);
  EXPECT_TRUE(rules.looks_at_ports(kLan));
}

TEST(RuleSet, APrefixOnlyPortHasOneFlowPerPrefix) {
  const RuleSet rules({Rule{.match = {.src_ip = prefix("10.0.0.0", 16)}},
                       Rule{.match = {.src_ip = prefix("10.0.0.0", 8)}}});
  std::vector<PacketKey> keys;
  for (int i = 0; i < 256; ++i) {
    const std::string host = std::to_string(i);
    keys.push_back(tcp_key(std::string("10.1.7.").append(host).c_str(), "10.9.0.1", 1, 2));
    keys.push_back(tcp_key(std::string("10.2.7.").append(host).c_str(), "10.9.0.1", 1, 2));
  }
  EXPECT_EQ(flows_of(rules, keys), 2u);
}

TEST(RuleSet, OtherPortsRulesDoNotWidenThisPortsMask) {
  const RuleSet rules(
      {Rule{.match = {.port = kWan}, .instance_per = KeyBy::five_tuple},
       Rule{.match = {.port = kLan, .vlan = Range<uint16_t>{1, 9}}, .instance_per = KeyBy::vlan}});
  EXPECT_TRUE(rules.looks_at_ports(kWan));
  EXPECT_FALSE(rules.looks_at_ports(kLan));
  EXPECT_EQ(rules.mask_of(kLan).bits.src_ip[15], 0);
  EXPECT_EQ(rules.mask_of(kLan).bits.outer_vlan, 0xffff);
  EXPECT_EQ(rules.mask_of(kLan).bits.port, 0xff);
}

TEST(RuleSet, RulesBehindOneThatAlwaysMatchesDoNotWidenTheMask) {
  const RuleSet rules({Rule{.match = {.port = kLan}, .instance_per = KeyBy::vlan},
                       Rule{.instance_per = KeyBy::five_tuple}});
  EXPECT_FALSE(rules.looks_at_ports(kLan));
  EXPECT_TRUE(rules.looks_at_ports(kWan));
}

TEST(RuleSet, TheTenantsKeyCountsToo) {
  const RuleSet rules({Rule{.instance_per = KeyBy::rule, .tenant_by = KeyBy::dst_ip}});
  EXPECT_EQ(rules.mask_of(kLan).bits.dst_ip[15], 0xff);
  EXPECT_EQ(rules.mask_of(kLan).bits.src_ip[15], 0);
}

// The promise that the flow table rests on: masking never changes which rule a packet meets, nor
// which instance or tenant.
TEST(RuleSet, MaskingNeverChangesTheAnswer) {
  std::mt19937 random(1);
  const std::vector<MatchRow> rows = match_rows();
  const KeyBy kinds[] = {KeyBy::mac,     KeyBy::vlan,       KeyBy::src_ip, KeyBy::dst_ip,
                         KeyBy::ip_pair, KeyBy::five_tuple, KeyBy::rule};
  for (int round = 0; round < 500; ++round) {
    std::vector<Rule> list;
    for (int i = 0; i < 6; ++i) {
      list.push_back({.match = rows[random() % rows.size()].match,
                      .instance_per = kinds[random() % std::size(kinds)],
                      .tenant_by = kinds[random() % 4]});
    }
    const RuleSet rules(list);
    for (const MatchRow& row : rows) {
      const PacketKey masked = rules.mask_of(PortId{row.key.port}).apply(row.key);
      const RuleId id = rules.match(row.key);
      ASSERT_EQ(rules.match(masked), id);
      if (id == kNone<RuleId>) continue;
      for (const KeyBy by : {rules.rule(id).instance_per, *rules.rule(id).tenant_by}) {
        ASSERT_TRUE(instance_key(by, row.key, id) == instance_key(by, masked, id));
      }
    }
  }
}

TEST(InstanceKey, WithoutTheFieldsIsZero) {
  const InstanceKey zero;
  for (const KeyBy by :
       {KeyBy::vlan, KeyBy::src_ip, KeyBy::dst_ip, KeyBy::ip_pair, KeyBy::five_tuple}) {
    const InstanceKey key = instance_key(by, kArpKey, RuleId{0});
    EXPECT_EQ(0, std::memcmp(key.bytes, zero.bytes, kKeyBytes));
    EXPECT_NE(key.kind, KeyKind::none);
  }
}

TEST(InstanceKey, TellsFlowsApart) {
  std::set<std::string> texts;
  for (uint16_t port = 1; port <= 100; ++port) {
    const PacketKey key = tcp_key("10.0.0.1", "10.0.0.2", port, 80);
    texts.insert(to_string(instance_key(KeyBy::five_tuple, key, RuleId{0})));
  }
  EXPECT_EQ(texts.size(), 100u);
}

struct TextRow {
  const char* name;
  KeyBy by;
  PacketKey key;
  const char* text;
};

class InstanceKeyText : public testing::TestWithParam<TextRow> {};

TEST_P(InstanceKeyText, IsForPeople) {
  EXPECT_EQ(to_string(instance_key(GetParam().by, GetParam().key, RuleId{258})), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, InstanceKeyText,
    testing::Values(
        TextRow{"mac", KeyBy::mac, kArpKey, "02:00:00:00:00:01"},
        TextRow{"vlan", KeyBy::vlan, tagged_key(101), "101"},
        TextRow{"qinq", KeyBy::vlan, tagged_key(100, 7), "100.7"},
        TextRow{"src_ip", KeyBy::src_ip, tcp_key("10.0.0.2", "10.0.0.1", 1, 2), "10.0.0.2"},
        TextRow{"dst_ip", KeyBy::dst_ip, kTcp6Key, "2001:db8::2"},
        TextRow{"pair", KeyBy::ip_pair, tcp_key("10.0.0.2", "10.0.0.1", 1, 2), "10.0.0.1 10.0.0.2"},
        TextRow{"five_tuple", KeyBy::five_tuple, tcp_key("10.0.0.2", "10.0.0.1", 4711, 80),
                "10.0.0.1:80 10.0.0.2:4711 tcp"},
        TextRow{"five_tuple6", KeyBy::five_tuple, kTcp6Key,
                "[2001:db8::1]:4711 [2001:db8::2]:80 tcp"},
        TextRow{"rule", KeyBy::rule, kArpKey, "rule 258"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(PacketKeyText, ShowsWhatTheMaskKeeps) {
  const auto text = [](KeyBy by, const PacketKey& key) {
    const RuleSet rules({Rule{.instance_per = by}});
    return to_string(rules.mask_of(kLan).apply(key));
  };
  const PacketKey web = tcp_key("10.0.0.1", "10.0.0.2", 4711, 80);
  EXPECT_EQ(text(KeyBy::five_tuple, web), "10.0.0.1:4711 > 10.0.0.2:80 tcp");
  EXPECT_EQ(text(KeyBy::five_tuple, kTcp6Key), "[2001:db8::1]:4711 > [2001:db8::2]:80 tcp");
  EXPECT_EQ(text(KeyBy::ip_pair, web), "10.0.0.1 > 10.0.0.2");
  EXPECT_EQ(text(KeyBy::src_ip, web), "10.0.0.1 > *");
  EXPECT_EQ(text(KeyBy::mac, kArpKey), "02:00:00:00:00:01 > *");
  EXPECT_EQ(text(KeyBy::vlan, tagged_key(100, 7)), "vlan 100 inner 7 * > *");
  EXPECT_EQ(text(KeyBy::rule, web), "* > *");
}

TEST(InstanceKeyText, OfNothingIsADash) { EXPECT_EQ(to_string(InstanceKey{}), "-"); }

}  // namespace
}  // namespace mayfly
