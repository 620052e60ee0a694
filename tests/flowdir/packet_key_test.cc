#include "flowdir/packet_key.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>

#include "flowdir/rules.h"
#include "tests/flowdir/frames.h"
#include "tests/flowdir/parse_rows.h"
#include "tests/fuzz/reference_parser.h"

namespace mayfly {
namespace {

using namespace frames;

constexpr PortId kPort{3};

ParsedPacket parsed(const Bytes& frame) {
  ParsedPacket out;
  parse(frame, kPort, out);
  return out;
}

void set_address(const std::string& text, uint8_t* address) {
  std::memset(address, 0, 16);
  if (text.empty()) return;
  if (text.find(':') != std::string::npos) {
    ASSERT_EQ(inet_pton(AF_INET6, text.c_str(), address), 1);
  } else {
    address[10] = address[11] = 0xff;
    ASSERT_EQ(inet_pton(AF_INET, text.c_str(), address + 12), 1);
  }
}

PacketKey expected_key(const Expected& e) {
  PacketKey key{};
  set_address(e.src_ip, key.src_ip);
  set_address(e.dst_ip, key.dst_ip);
  std::memcpy(key.src_mac, "\2\0\0\0\0\1", 6);
  std::memcpy(key.dst_mac, "\2\0\0\0\0\2", 6);
  key.outer_vlan = e.outer_vlan;
  key.inner_vlan = e.inner_vlan;
  key.src_port = Be16::of(e.src_port);
  key.dst_port = Be16::of(e.dst_port);
  key.ethertype = e.ethertype;
  key.protocol = e.protocol;
  key.port = raw(kPort);
  return key;
}

class Parse : public testing::TestWithParam<ParseRow> {};

TEST_P(Parse, GivesTheKey) {
  const ParseRow& row = GetParam();
  const ParsedPacket out = parsed(row.frame);
  const PacketKey want = expected_key(row.expected);
  EXPECT_EQ(0, std::memcmp(out.key.src_ip, want.src_ip, 16));
  EXPECT_EQ(0, std::memcmp(out.key.dst_ip, want.dst_ip, 16));
  EXPECT_EQ(out.key.outer_vlan, want.outer_vlan);
  EXPECT_EQ(out.key.inner_vlan, want.inner_vlan);
  EXPECT_EQ(out.key.src_port.host(), want.src_port.host());
  EXPECT_EQ(out.key.dst_port.host(), want.dst_port.host());
  EXPECT_EQ(out.key.ethertype, want.ethertype);
  EXPECT_EQ(out.key.protocol, want.protocol);
  EXPECT_TRUE(out.key == want);
  EXPECT_EQ(out.fragment, row.expected.fragment);
  EXPECT_EQ(out.fragment_id, row.expected.fragment_id);
  EXPECT_EQ(out.tcp_flags, row.expected.tcp_flags);
}

// Cut anywhere, a frame gives what the byte-by-byte reference reads from it, and nothing is read
// behind its end (the copy is exactly as long; address sanitizer and the fuzz body's guard page
// watch).
TEST_P(Parse, AtEveryLengthAgreesWithTheReference) {
  const Bytes& frame = GetParam().frame;
  for (size_t bytes = 0; bytes <= frame.size(); ++bytes) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<long>(bytes));
    EXPECT_EQ(difference(parsed(cut), reference_parse(cut, kPort)), "") << bytes << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Frames, Parse, testing::ValuesIn(parse_rows()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(PacketKey, OfAFrameWithoutEthernetHeaderIsItsPort) {
  PacketKey port_alone{};
  port_alone.port = raw(kPort);
  for (size_t bytes = 0; bytes < 14; ++bytes) {
    EXPECT_TRUE(parsed(Bytes(bytes, 0xff)).key == port_alone) << bytes;
  }
}

TEST(PacketKey, SaysHowLongTheIpPacketClaimsToBe) {
  EXPECT_EQ(parsed(ethernet(kIpv4, ipv4({}, udp(1, 2)))).ip_length, 14 + 20 + 16u);
  EXPECT_EQ(parsed(ethernet(kIpv4, ipv4({.total_bytes = 1500}, udp(1, 2)))).ip_length, 1514u);
  EXPECT_EQ(parsed(ethernet(kVlanTag, tag(5, kIpv6, ipv6({}, udp(1, 2))))).ip_length,
            14 + 4 + 40 + 16u);
  EXPECT_EQ(parsed(ethernet(kArp, Bytes(46, 0))).ip_length, 0u);
}

TEST(PacketKey, IsWholeWhateverTheOldContent) {
  ParsedPacket out;
  std::memset(static_cast<void*>(&out), 0xff, sizeof out);
  parse(ethernet(kArp, Bytes(46, 0)), kPort, out);
  EXPECT_TRUE(out.key == expected_key({.ethertype = kArp}));
  EXPECT_EQ(out.fragment, Fragment::none);
  EXPECT_EQ(out.tcp_flags, 0);
}

struct TwoWays {
  const char* name;
  Bytes there, back;
};

class BothDirections : public testing::TestWithParam<TwoWays> {};

TEST_P(BothDirections, MeetTheSameInstance) {
  const PacketKey there = parsed(GetParam().there).key, back = parsed(GetParam().back).key;
  for (const KeyBy by : {KeyBy::five_tuple, KeyBy::ip_pair}) {
    EXPECT_TRUE(instance_key(by, there, RuleId{0}) == instance_key(by, back, RuleId{0}));
  }
  EXPECT_TRUE(instance_key(KeyBy::src_ip, there, RuleId{0}) ==
              instance_key(KeyBy::dst_ip, back, RuleId{0}));
}

constexpr Ipv4 kBack4{.src = "10.0.0.2", .dst = "10.0.0.1"};
Ipv4 back4(uint8_t protocol) {
  Ipv4 header = kBack4;
  header.protocol = protocol;
  return header;
}
Ipv6 back6(uint8_t next) { return {.src = "2001:db8::2", .dst = "2001:db8::1", .next = next}; }

INSTANTIATE_TEST_SUITE_P(
    Flows, BothDirections,
    testing::Values(TwoWays{"tcp", ethernet(kIpv4, ipv4({.protocol = kTcp}, tcp(4711, 80))),
                            ethernet(kIpv4, ipv4(back4(kTcp), tcp(80, 4711)), 2, 1)},
                    TwoWays{"udp_same_ports", ethernet(kIpv4, ipv4({}, udp(53, 53))),
                            ethernet(kIpv4, ipv4(back4(kUdp), udp(53, 53)), 2, 1)},
                    TwoWays{"ping", ethernet(kIpv4, ipv4({.protocol = kIcmp}, echo(8, 300))),
                            ethernet(kIpv4, ipv4(back4(kIcmp), echo(0, 300)), 2, 1)},
                    TwoWays{"tcp6", ethernet(kIpv6, ipv6({.next = kTcp}, tcp(4711, 80))),
                            ethernet(kIpv6, ipv6(back6(kTcp), tcp(80, 4711)), 2, 1)},
                    TwoWays{"ping6", ethernet(kIpv6, ipv6({.next = kIcmpv6}, echo(128, 300))),
                            ethernet(kIpv6, ipv6(back6(kIcmpv6), echo(129, 300)), 2, 1)}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace mayfly
