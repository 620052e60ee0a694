#include "tests/flowdir/parse_rows.h"

namespace mayfly::frames {
namespace {

constexpr const char *kA = "10.0.0.1", *kB = "10.0.0.2", *kC = "2001:db8::1", *kD = "2001:db8::2";

Expected v4(uint8_t protocol, uint16_t src_port = 0, uint16_t dst_port = 0) {
  return {.src_ip = kA,
          .dst_ip = kB,
          .src_port = src_port,
          .dst_port = dst_port,
          .protocol = protocol,
          .ethertype = kIpv4};
}
Expected v6(uint8_t protocol, uint16_t src_port = 0, uint16_t dst_port = 0) {
  return {.src_ip = kC,
          .dst_ip = kD,
          .src_port = src_port,
          .dst_port = dst_port,
          .protocol = protocol,
          .ethertype = kIpv6};
}
Expected flags(Expected e, uint8_t tcp_flags) {
  e.tcp_flags = tcp_flags;
  return e;
}
Expected vlans(Expected e, uint16_t outer, uint16_t inner = 0) {
  e.outer_vlan = outer;
  e.inner_vlan = inner;
  return e;
}
Expected fragments(Expected e, Fragment which, uint32_t id) {
  e.fragment = which;
  e.fragment_id = id;
  return e;
}
Expected link(uint16_t ethertype) { return {.ethertype = ethertype}; }

Bytes ip4(uint8_t protocol, const Bytes& payload) {
  return ethernet(kIpv4, ipv4({.protocol = protocol}, payload));
}
Bytes ip6(uint8_t next, const Bytes& payload) {
  return ethernet(kIpv6, ipv6({.next = next}, payload));
}
Bytes tcp4() { return ipv4({.protocol = kTcp}, tcp(4711, 80)); }

void add_link_rows(std::vector<ParseRow>& rows) {
  const Expected t = flags(v4(kTcp, 4711, 80), 0x10);
  const std::vector<ParseRow> more = {
      {"arp", ethernet(kArp, Bytes(46, 1)), link(kArp)},
      {"length_802_3", ethernet(0x0026, Bytes{0x42, 0x42, 3} + Bytes(43, 0)), link(0)},
      {"snap_is_802_3_too", ethernet(0x0036, Bytes{0xaa, 0xaa, 3, 0, 0, 0, 8, 0} + tcp4()),
       link(0)},
      {"unknown_ethertype", ethernet(0x88cc, Bytes(46, 1)), link(0x88cc)},
      {"lowest_ethertype", ethernet(0x0600, Bytes(46, 1)), link(0x0600)},
      {"highest_length", ethernet(0x05ff, Bytes(46, 1)), link(0)},
      {"vlan", ethernet(kVlanTag, tag(101, kIpv4, tcp4(), 5)), vlans(t, 101)},
      {"service_tag_alone", ethernet(kServiceTag, tag(7, kIpv4, tcp4())), vlans(t, 7)},
      {"qinq", ethernet(kServiceTag, tag(100, kVlanTag, tag(7, kIpv4, tcp4()))), vlans(t, 100, 7)},
      {"qinq_before_802_1ad", ethernet(kOldServiceTag, tag(100, kVlanTag, tag(7, kIpv4, tcp4()))),
       vlans(t, 100, 7)},
      {"two_customer_tags", ethernet(kVlanTag, tag(4094, kVlanTag, tag(1, kIpv4, tcp4()))),
       vlans(t, 4094, 1)},
      {"third_tag_is_payload",
       ethernet(kServiceTag, tag(1, kVlanTag, tag(2, kVlanTag, tag(3, kIpv4, tcp4())))),
       vlans(link(kVlanTag), 1, 2)},
      {"priority_tag_counts_as_none", ethernet(kVlanTag, tag(0, kIpv4, tcp4(), 7)), t},
      {"priority_tag_before_a_tag", ethernet(kVlanTag, tag(0, kVlanTag, tag(9, kIpv4, tcp4()))),
       vlans(t, 9)},
      {"vlan_802_3", ethernet(kVlanTag, tag(5, 0x0026, Bytes(46, 0))), vlans(link(0), 5)},
      {"cut_tag", ethernet(kVlanTag, Bytes{0, 5, 8}), link(kVlanTag)},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_ipv4_rows(std::vector<ParseRow>& rows) {
  const Bytes padded =
      ethernet(kIpv4, ipv4({.protocol = kTcp, .total_bytes = 20}, Bytes(26, 0xee)));
  const std::vector<ParseRow> more = {
      {"tcp", ethernet(kIpv4, tcp4()), flags(v4(kTcp, 4711, 80), 0x10)},
      {"tcp_fin", ip4(kTcp, tcp(4711, 80, 0x11)), flags(v4(kTcp, 4711, 80), 0x11)},
      {"tcp_rst", ip4(kTcp, tcp(4711, 80, 0x04)), flags(v4(kTcp, 4711, 80), 0x04)},
      {"tcp_options", ip4(kTcp, tcp(4711, 80, 0x02, 10)), flags(v4(kTcp, 4711, 80), 0x02)},
      {"tcp_header_cut_has_no_flags", ip4(kTcp, Bytes{0x12, 0x67, 0, 80, 1, 2, 3, 4}),
       v4(kTcp, 4711, 80)},
      {"tcp_options_cut_has_no_flags",
       ip4(kTcp, Bytes{0x12, 0x67, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x05, 0, 0, 0, 0, 0, 0}),
       v4(kTcp, 4711, 80)},
      {"udp", ip4(kUdp, udp(53, 5353)), v4(kUdp, 53, 5353)},
      {"udplite", ip4(kUdpLite, udp(53, 5353)), v4(kUdpLite, 53, 5353)},
      {"sctp", ip4(kSctp, ports_and(2905, 2906, 12)), v4(kSctp, 2905, 2906)},
      {"dccp", ip4(kDccp, ports_and(5001, 5002, 12)), v4(kDccp, 5001, 5002)},
      {"icmp_echo_request", ip4(kIcmp, echo(8, 0x1234)), v4(kIcmp, 0x1234, 0x1234)},
      {"icmp_echo_reply", ip4(kIcmp, echo(0, 0x1234)), v4(kIcmp, 0x1234, 0x1234)},
      {"icmp_unreachable", ip4(kIcmp, echo(3, 0x1234)), v4(kIcmp)},
      {"icmpv6_has_no_place_in_ipv4", ip4(kIcmpv6, echo(128, 0x1234)), v4(kIcmpv6)},
      {"esp", ip4(kEsp, Bytes(20, 4)), v4(kEsp)},
      {"no_payload", ip4(kUdp, {}), v4(kUdp)},
      {"options", ethernet(kIpv4, ipv4({.option_words = 3}, udp(1, 2))), v4(kUdp, 1, 2)},
      {"most_options", ethernet(kIpv4, ipv4({.option_words = 10}, udp(1, 2))), v4(kUdp, 1, 2)},
      {"padding_is_no_payload", padded, v4(kTcp)},
      {"length_beyond_the_frame", ethernet(kIpv4, ipv4({.total_bytes = 1500}, udp(1, 2))),
       v4(kUdp, 1, 2)},
      {"length_below_the_header", ethernet(kIpv4, ipv4({.total_bytes = 19}, udp(1, 2))),
       link(kIpv4)},
      {"wrong_version", ethernet(kIpv4, ipv6({}, udp(1, 2))), link(kIpv4)},
      {"short_header_length", ethernet(kIpv4, Bytes{0x44} + Bytes(40, 0)), link(kIpv4)},
      {"first_fragment", ethernet(kIpv4, ipv4({.id = 77, .place = 0x2000}, udp(1, 2))),
       fragments(v4(kUdp, 1, 2), Fragment::first, 77)},
      {"later_fragment", ethernet(kIpv4, ipv4({.id = 77, .place = 0x2001}, udp(1, 2))),
       fragments(v4(kUdp), Fragment::later, 77)},
      {"last_fragment", ethernet(kIpv4, ipv4({.id = 77, .place = 0x1fff}, udp(1, 2))),
       fragments(v4(kUdp), Fragment::later, 77)},
      {"do_not_fragment_is_whole", ethernet(kIpv4, ipv4({.id = 77, .place = 0x4000}, udp(1, 2))),
       v4(kUdp, 1, 2)},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_ipv6_rows(std::vector<ParseRow>& rows) {
  Bytes nine = udp(1, 2);
  for (int i = 0; i < 9; ++i) nine = extension(i == 0 ? kUdp : kDestination, nine);
  Bytes eight = udp(1, 2);
  for (int i = 0; i < 8; ++i) eight = extension(i == 0 ? kUdp : kDestination, eight);
  const Bytes all = extension(
      kDestination,
      extension(kRouting,
                extension(kFragment,
                          fragment(kAuthentication, 0, true, 0xabcdef01,
                                   authentication(kDestination, extension(kTcp, tcp(4711, 80)))),
                          2),
                1));
  const std::vector<ParseRow> more = {
      {"tcp6", ip6(kTcp, tcp(4711, 80, 0x11)), flags(v6(kTcp, 4711, 80), 0x11)},
      {"udp6", ip6(kUdp, udp(53, 5353)), v6(kUdp, 53, 5353)},
      {"sctp6", ip6(kSctp, ports_and(2905, 2906, 12)), v6(kSctp, 2905, 2906)},
      {"icmpv6_echo_request", ip6(kIcmpv6, echo(128, 9)), v6(kIcmpv6, 9, 9)},
      {"icmpv6_echo_reply", ip6(kIcmpv6, echo(129, 9)), v6(kIcmpv6, 9, 9)},
      {"neighbour_solicitation", ip6(kIcmpv6, echo(135, 9)), v6(kIcmpv6)},
      {"icmp_has_no_place_in_ipv6", ip6(kIcmp, echo(8, 9)), v6(kIcmp)},
      {"hop_by_hop", ip6(kHopByHop, extension(kUdp, udp(1, 2), 1)), v6(kUdp, 1, 2)},
      {"routing", ip6(kRouting, extension(kUdp, udp(1, 2), 4)), v6(kUdp, 1, 2)},
      {"destination", ip6(kDestination, extension(kUdp, udp(1, 2))), v6(kUdp, 1, 2)},
      {"authentication", ip6(kAuthentication, authentication(kUdp, udp(1, 2))), v6(kUdp, 1, 2)},
      {"esp_is_the_end", ip6(kEsp, Bytes(24, 0)), v6(kEsp)},
      {"no_next_header", ip6(kNoNext, Bytes(8, 0)), v6(kNoNext)},
      {"all_extensions", ip6(kHopByHop, all),
       flags(fragments(v6(kTcp, 4711, 80), Fragment::first, 0xabcdef01), 0x10)},
      {"eight_extensions", ip6(kDestination, eight), v6(kUdp, 1, 2)},
      {"nine_extensions_are_given_up", ip6(kDestination, nine), v6(kDestination)},
      {"cut_extension", ip6(kHopByHop, Bytes{kUdp, 2} + Bytes(14, 0)), v6(kHopByHop)},
      {"first_fragment6", ip6(kFragment, fragment(kUdp, 0, true, 0x01020304, udp(1, 2))),
       fragments(v6(kUdp, 1, 2), Fragment::first, 0x01020304)},
      {"later_fragment6", ip6(kFragment, fragment(kUdp, 1448, true, 0x01020304, udp(1, 2))),
       fragments(v6(kUdp), Fragment::later, 0x01020304)},
      {"last_fragment6", ip6(kFragment, fragment(kUdp, 1448, false, 0x01020304, udp(1, 2))),
       fragments(v6(kUdp), Fragment::later, 0x01020304)},
      {"later_fragment_behind_destination6",
       ip6(kFragment, fragment(kDestination, 1448, false, 5, Bytes(40, 0))),
       fragments(v6(kDestination), Fragment::later, 5)},
      {"atomic_fragment_is_whole", ip6(kFragment, fragment(kUdp, 0, false, 5, udp(1, 2))),
       v6(kUdp, 1, 2)},
      {"second_fragment_header_is_given_up",
       ip6(kFragment, fragment(kFragment, 0, true, 5, fragment(kUdp, 0, true, 6, udp(1, 2)))),
       fragments(v6(kFragment), Fragment::first, 5)},
      {"payload_length_bounds", ethernet(kIpv6, ipv6({.payload_bytes = 3}, udp(1, 2))), v6(kUdp)},
      {"wrong_version6", ethernet(kIpv6, ipv4({}, udp(1, 2)) + Bytes(20, 0)), link(kIpv6)},
      {"qinq_ipv6_all",
       ethernet(kServiceTag, tag(1, kVlanTag, tag(2, kIpv6, ipv6({.next = kHopByHop}, all)))),
       vlans(flags(fragments(v6(kTcp, 4711, 80), Fragment::first, 0xabcdef01), 0x10), 1, 2)},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

}  // namespace

std::vector<ParseRow> parse_rows() {
  std::vector<ParseRow> rows;
  add_link_rows(rows);
  add_ipv4_rows(rows);
  add_ipv6_rows(rows);
  return rows;
}

}  // namespace mayfly::frames
