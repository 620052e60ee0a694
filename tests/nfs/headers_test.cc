// Rows of frames, and what parse_headers() says of each.
#include <gtest/gtest.h>

#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

struct Row {
  const char* name;
  Frame frame;
  L3 l3;
  L4 l4;
  uint8_t protocol;
  uint16_t l3_at, l4_at, end;
};

std::vector<Row> rows() {
  const Ip six{.from = "2001:db8::1", .to = "2001:db8::2", .protocol = kTcp};
  const Frame hop_by_hop = Frame{kTcp, 0} + zeroes(6);
  const Frame chain =
      Frame{60, 0} + zeroes(6) + Frame{51, 1} + zeroes(14) + Frame{kTcp, 4} + zeroes(22);
  Frame nine;
  for (int i = 0; i < 9; ++i)
    nine = nine + Frame{static_cast<uint8_t>(i < 8 ? 60 : kTcp), 0} + zeroes(6);
  Frame wrong_version = ethernet(ipv4({}, udp(1, 2)));
  wrong_version[14] = 0x55;
  Frame short_header = ethernet(ipv4({}, udp(1, 2)));
  short_header[14] = 0x44;
  Frame long_total = ethernet(ipv4({}, udp(1, 2)));
  long_total[16] = 0xff;
  return {
      {"empty", {}, L3::other, L4::none, 0, 0, 0, 0},
      {"13 bytes", zeroes(13), L3::other, L4::none, 0, 0, 0, 0},
      {"arp", ethernet({.type = 0x0806}, zeroes(28)), L3::other, L4::none, 0, 14, 14, 42},
      {"udp", ethernet(ipv4({}, udp(1, 2))), L3::ipv4, L4::whole, kUdp, 14, 34, 46},
      {"padding", ethernet(ipv4({}, udp(1, 2))) + zeroes(14), L3::ipv4, L4::whole, kUdp, 14, 34,
       46},
      {"vlan", ethernet({.tags = {5}}, ipv4({}, udp(1, 2))), L3::ipv4, L4::whole, kUdp, 18, 38, 50},
      {"qinq", ethernet({.tags = {5, 6}}, ipv4({}, udp(1, 2))), L3::ipv4, L4::whole, kUdp, 22, 42,
       54},
      {"three tags", ethernet({.tags = {5, 6, 7}}, ipv4({}, udp(1, 2))), L3::other, L4::none, 0, 22,
       22, 58},
      {"options", ethernet(ipv4({.options = zeroes(8)}, udp(1, 2))), L3::ipv4, L4::whole, kUdp, 14,
       42, 54},
      {"tcp of 19 bytes", ethernet(ipv4({.protocol = kTcp}, zeroes(19))), L3::ipv4, L4::cut, kTcp,
       14, 34, 53},
      {"first fragment", ethernet(ipv4({.more_fragments = true}, udp(1, 2))), L3::ipv4, L4::whole,
       kUdp, 14, 34, 46},
      {"later fragment", ethernet(ipv4({.fragment_offset = 8}, udp(1, 2))), L3::ipv4,
       L4::later_fragment, kUdp, 14, 34, 46},
      {"version 5", wrong_version, L3::malformed, L4::none, 0, 14, 14, 14},
      {"header of 16", short_header, L3::malformed, L4::none, 0, 14, 14, 14},
      {"longer than the frame", long_total, L3::malformed, L4::none, 0, 14, 14, 14},
      {"tcp6", ethernet(ipv6(six, tcp(1, 2))), L3::ipv6, L4::whole, kTcp, 14, 54, 74},
      {"hop by hop", ethernet(ipv6(six, tcp(1, 2), hop_by_hop)), L3::ipv6, L4::whole, kTcp, 14, 62,
       82},
      {"destination, then a cut AH",
       ethernet(ipv6(six, {}, Frame{51, 0} + zeroes(6) + Frame{kTcp, 4} + zeroes(6), 60)),
       L3::malformed, L4::none, 0, 14, 14, 14},
      {"hop by hop, destination, AH",
       ethernet(ipv6(
           six, tcp(1, 2),
           Frame{60, 0} + zeroes(6) + Frame{51, 1} + zeroes(14) + Frame{kTcp, 4} + zeroes(22))),
       L3::ipv6, L4::whole, kTcp, 14, 102, 122},
      {"nine extensions", ethernet(ipv6(six, tcp(1, 2), nine, 60)), L3::malformed, L4::none, 0, 14,
       14, 14},
      {"fragment of a fragment",
       ethernet(ipv6(six, tcp(1, 2),
                     Frame{44, 0} + be16(1) + be32(7) + Frame{kTcp, 0} + be16(1) + be32(7), 44)),
       L3::malformed, L4::none, 0, 14, 14, 14},
      {"no next header", ethernet(ipv6({.from = "::1", .to = "::2", .protocol = 59}, {})), L3::ipv6,
       L4::whole, 59, 14, 54, 54},
      {"first fragment 6",
       ethernet(ipv6({.from = "::1", .to = "::2", .more_fragments = true}, udp(1, 2))), L3::ipv6,
       L4::whole, kUdp, 14, 62, 74},
      {"later fragment 6",
       ethernet(ipv6({.from = "::1", .to = "::2", .fragment_offset = 16}, udp(1, 2))), L3::ipv6,
       L4::later_fragment, kUdp, 14, 62, 74},
  };
}

TEST(Headers, Rows) {
  for (const Row& row : rows()) {
    const Headers h = parse_headers(row.frame);
    EXPECT_EQ(h.l3_kind, row.l3) << row.name;
    EXPECT_EQ(h.l4_kind, row.l4) << row.name;
    if (row.l3 != L3::malformed) {
      EXPECT_EQ(h.protocol, row.protocol) << row.name;
    }
    EXPECT_EQ(h.l3, row.l3_at) << row.name;
    EXPECT_EQ(h.l4, row.l4_at) << row.name;
    EXPECT_EQ(h.l3_end, row.end) << row.name;
  }
}

TEST(Headers, AFragmentCarriesItsIdentification) {
  const Headers first =
      parse_headers(ethernet(ipv4({.more_fragments = true, .id = 77}, udp(1, 2))));
  EXPECT_TRUE(first.fragment);
  EXPECT_EQ(first.fragment_id, 77u);
  EXPECT_EQ(first.fragment_offset, 0);
  const Headers later = parse_headers(ethernet(
      ipv6({.from = "::1", .to = "::2", .fragment_offset = 24, .id = 0x12345678}, udp(1, 2))));
  EXPECT_TRUE(later.fragment);
  EXPECT_EQ(later.fragment_id, 0x12345678u);
  EXPECT_EQ(later.fragment_offset, 24);
}

TEST(Headers, OffsetsStayInOrderWhereverTheFrameEnds) {
  for (const Row& row : rows()) {
    for (size_t size = 0; size <= row.frame.size(); ++size) {
      const Frame cut(row.frame.begin(), row.frame.begin() + static_cast<ptrdiff_t>(size));
      const Headers h = parse_headers(cut);
      EXPECT_LE(h.l3, h.l4) << row.name << " cut to " << size;
      EXPECT_LE(h.l4, h.l3_end) << row.name << " cut to " << size;
      EXPECT_LE(h.l3_end, size) << row.name << " cut to " << size;
    }
  }
}

}  // namespace
}  // namespace mayfly
