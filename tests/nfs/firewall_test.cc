// The firewall image: rows of rules, packet in, verdict; then what it remembers of flows.
#include <gtest/gtest.h>

#include "nfs/token_bucket.h"
#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

constexpr uint64_t kSecond = kNanosPerSecond;
constexpr Verdict kPass = Verdict::next;
constexpr Verdict kDrop = Verdict::drop;

NfHarness firewall(const std::string& rules, const std::string& states = "256") {
  NfHarness nf(NfHarness::load(shipped("firewall")));
  if (const auto error = nf.configure({{"rules", rules}, {"states", states}}))
    throw std::runtime_error("line " + std::to_string(error->line) + ": " + error->message);
  nf.bind();
  return nf;
}

Frame tcp4(const std::string& from, const std::string& to, uint16_t sport, uint16_t dport,
           uint8_t flags = kSyn) {
  return ethernet(ipv4({.from = from, .to = to, .protocol = kTcp}, tcp(sport, dport, flags)));
}
Frame tcp6(const std::string& from, const std::string& to, uint16_t sport, uint16_t dport,
           uint8_t flags = kSyn) {
  return ethernet(ipv6({.from = from, .to = to, .protocol = kTcp}, tcp(sport, dport, flags)));
}
Frame udp4(const std::string& from, const std::string& to, uint16_t sport, uint16_t dport) {
  return ethernet(ipv4({.from = from, .to = to}, udp(sport, dport)));
}

struct Row {
  const char* name;
  const char* rules;
  Frame in;
  Verdict verdict;
  uint8_t port_in = 0;
};

void expect(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    NfHarness nf = firewall(row.rules);
    nf.port_in = row.port_in;
    const Sent sent = nf.process_one(row.in);
    EXPECT_EQ(sent.verdict, row.verdict) << row.name;
    EXPECT_EQ(sent.bytes, row.in) << row.name << ": the packet must not change";
  }
}

TEST(Firewall, AddressesPortsAndOrder) {
  const Frame web = tcp4("10.1.2.3", "192.0.2.10", 4000, 443);
  expect({
      {"nothing is allowed", "", web, kDrop},
      {"default allow", "default allow", web, kPass},
      {"any", "allow any from any to any", web, kPass},
      {"exact", "allow tcp from 10.1.2.3 port 4000 to 192.0.2.10 port 443", web, kPass},
      {"other protocol", "allow udp from any to any", web, kDrop},
      {"protocol by number", "allow 6 from any to any", web, kPass},
      {"source prefix", "allow tcp from 10.1.0.0/16 to any", web, kPass},
      {"source outside", "allow tcp from 10.2.0.0/16 to any", web, kDrop},
      {"destination outside", "allow tcp from any to 192.0.2.11", web, kDrop},
      {"source port differs", "allow tcp from any port 4001 to any", web, kDrop},
      {"range holds", "allow tcp from any to any port 440-443", web, kPass},
      {"range starts above", "allow tcp from any to any port 444-500", web, kDrop},
      {"range ends below", "allow tcp from any to any port 1-442", web, kDrop},
      {"whole range", "allow tcp from any to any port 0-65535", web, kPass},
      {"first match wins", "deny tcp from 10.1.2.3 to any\nallow any from any to any", web, kDrop},
      {"order decides", "allow any from any to any\ndeny tcp from 10.1.2.3 to any", web, kPass},
      {"first word of later lines", "default allow\ndeny tcp from any to any port 443", web, kDrop},
      {"ingress port", "allow tcp on 1 from any to any", web, kPass, 1},
      {"other ingress port", "allow tcp on 1 from any to any", web, kDrop, 0},
      {"tagged", "allow tcp from 10.1.2.3 to any port 443",
       ethernet({.tags = {100}}, ipv4({.from = "10.1.2.3", .protocol = kTcp}, tcp(1, 443))), kPass},
      {"qinq", "allow tcp from 10.1.2.3 to any port 443",
       ethernet({.tags = {100, 7}}, ipv4({.from = "10.1.2.3", .protocol = kTcp}, tcp(1, 443))),
       kPass},
      {"options", "allow tcp from any to any port 443",
       ethernet(ipv4({.protocol = kTcp, .options = zeroes(8)}, tcp(1, 443))), kPass},
      {"sctp ports", "allow sctp from any to any port 443",
       ethernet(ipv4({.protocol = kSctp}, be16(9) + be16(443) + zeroes(8))), kPass},
      {"gre", "allow gre from any to any", ethernet(ipv4({.protocol = 47}, zeroes(4))), kPass},
  });
}

TEST(Firewall, Ipv6) {
  const Frame web = tcp6("2001:db8:1::5", "2001:db8:2::9", 4000, 443);
  const Ip ip{.from = "2001:db8:1::5", .to = "2001:db8:2::9", .protocol = kTcp};
  expect({
      {"any is both families", "allow tcp from any to any port 443", web, kPass},
      {"prefix", "allow tcp from 2001:db8:1::/48 to any port 443", web, kPass},
      {"prefix outside", "allow tcp from 2001:db8:3::/48 to any", web, kDrop},
      {"odd prefix length holds", "allow tcp from 2001:db8::/47 to any", web, kPass},
      {"full length", "allow tcp from any to 2001:db8:2::9", web, kPass},
      {"last bit differs", "allow tcp from any to 2001:db8:2::8", web, kDrop},
      {"an IPv4 rule is none for IPv6", "allow tcp from 0.0.0.0/0 to any", web, kDrop},
      {"behind extensions", "allow tcp from any to any port 443",
       ethernet(ipv6(ip, tcp(1, 443), Frame{kTcp, 0} + zeroes(6), 60)), kPass},
      {"ports hidden behind extensions are found",
       "deny tcp from any to any port 443\ndefault allow",
       ethernet(ipv6(ip, tcp(1, 443), Frame{kTcp, 0} + zeroes(6), 0)), kDrop},
  });
}

TEST(Firewall, Icmp) {
  const Frame request = ethernet(ipv4({.protocol = kIcmp}, icmp(8, 0)));
  const Frame request6 = ethernet(
      ipv6({.from = "2001:db8::1", .to = "2001:db8::2", .protocol = kIcmpV6}, icmp(128, 0)));
  expect({
      {"all", "allow icmp from any to any", request, kPass},
      {"type", "allow icmp from any to any type 8", request, kPass},
      {"other type", "allow icmp from any to any type 0", request, kDrop},
      {"icmp is not icmpv6", "allow icmp from any to any", request6, kDrop},
      {"icmpv6", "allow icmpv6 from any to any type 128", request6, kPass},
  });
}

TEST(Firewall, Established) {
  const char* rules = "allow tcp from any to any established";
  expect({
      {"syn", rules, tcp4("10.0.0.1", "10.0.0.2", 1, 2, kSyn), kDrop},
      {"syn ack", rules, tcp4("10.0.0.1", "10.0.0.2", 1, 2, kSyn | kAck), kPass},
      {"rst", rules, tcp4("10.0.0.1", "10.0.0.2", 1, 2, kRst), kPass},
      {"fin without ack", rules, tcp4("10.0.0.1", "10.0.0.2", 1, 2, kFin), kDrop},
      {"udp", rules, udp4("10.0.0.1", "10.0.0.2", 1, 2), kDrop},
  });
}

TEST(Firewall, WhatIsNotIp) {
  const Frame arp = ethernet({.type = 0x0806}, zeroes(28));
  const Frame lldp = ethernet({.type = 0x88cc}, zeroes(28));
  const Frame triple = ethernet({.tags = {1, 2, 3}}, ipv4({}, udp(1, 2)));
  const Ip ip{.from = "fe80::1", .to = "ff02::1:ff00:2", .protocol = kIcmpV6, .ttl = 255};
  const Frame solicitation = ethernet(ipv6(ip, icmp(135, 0) + zeroes(16)));
  Ip forwarded = ip;
  forwarded.ttl = 254;
  const Frame redirect = ethernet(ipv6(ip, icmp(137, 0) + zeroes(32)));
  expect({
      {"arp", "", arp, kPass},
      {"lldp", "", lldp, kDrop},
      {"lldp, default allow", "default allow", lldp, kPass},
      {"lldp, link allow", "link allow", lldp, kPass},
      {"arp, link deny", "default allow\nlink deny", arp, kDrop},
      {"three tags hide nothing", "allow udp from any to any", triple, kDrop},
      {"neighbour solicitation", "", solicitation, kPass},
      {"the same, forwarded", "", ethernet(ipv6(forwarded, icmp(135, 0) + zeroes(16))), kDrop},
      {"redirect", "", redirect, kDrop},
      {"solicitation, link deny", "link deny", solicitation, kDrop},
  });
}

TEST(Firewall, FragmentsAndMalformedHeaders) {
  const Frame first = ethernet(ipv4({.more_fragments = true}, udp(1, 53)));
  const Frame later = ethernet(ipv4({.fragment_offset = 1480}, zeroes(40)));
  const Frame tcp_later = ethernet(ipv4({.protocol = kTcp, .fragment_offset = 8}, zeroes(40)));
  const Frame tiny = ethernet(ipv4({.protocol = kTcp, .more_fragments = true}, zeroes(16)));
  Frame bad_version = ethernet(ipv4({}, udp(1, 53)));
  bad_version[14] = 0x65;
  Frame bad_length = ethernet(ipv4({}, udp(1, 53)));
  bad_length[17] = 0xff;
  expect({
      {"first fragment has ports", "allow udp from any to any port 53", first, kPass},
      {"later fragment of an allowed port", "allow udp from any to any port 53", later, kPass},
      {"later fragment, denied port is not looked at",
       "deny udp from any to any port 53\ndefault allow", later, kPass},
      {"later fragment, denied protocol", "deny udp from any to any\ndefault allow", later, kDrop},
      {"later fragment, other addresses", "allow udp from 10.9.0.0/16 to any port 53", later,
       kDrop},
      {"tcp header in two fragments", "default allow", tiny, kDrop},
      {"fragment over the tcp header", "default allow", tcp_later, kDrop},
      {"version", "default allow\nlink allow", bad_version, kDrop},
      {"length", "default allow\nlink allow", bad_length, kDrop},
      {"udp of 7 bytes", "default allow", ethernet(ipv4({}, zeroes(7))), kDrop},
  });
}

// ---------------------------------------------------------------------------------------------
// keep-state

constexpr const char* kKeep = "allow any on 0 from 10.0.0.0/8 to any keep-state\ndefault deny\n";

// Out by port 0's side, back by port 1's.
Verdict out(NfHarness& nf, const Frame& frame, uint64_t now_ns) {
  nf.port_in = 0;
  return nf.process_one(frame, now_ns).verdict;
}
Verdict back(NfHarness& nf, const Frame& frame, uint64_t now_ns) {
  nf.port_in = 1;
  return nf.process_one(frame, now_ns).verdict;
}

TEST(FirewallState, AnswersPassAndNothingElseDoes) {
  NfHarness nf = firewall(kKeep);
  const Frame answer = tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kSyn | kAck);
  EXPECT_EQ(back(nf, answer, 1), kDrop);
  EXPECT_EQ(out(nf, tcp4("10.0.0.5", "192.0.2.1", 4000, 80), 2), kPass);
  EXPECT_EQ(back(nf, answer, 3), kPass);
  EXPECT_EQ(back(nf, tcp4("192.0.2.1", "10.0.0.5", 80, 4001, kAck), 4), kDrop);
  EXPECT_EQ(back(nf, tcp4("192.0.2.2", "10.0.0.5", 80, 4000, kAck), 5), kDrop);
  EXPECT_EQ(back(nf, udp4("192.0.2.1", "10.0.0.5", 80, 4000), 6), kDrop);
  nf.reset();
  nf.bind();
  EXPECT_EQ(back(nf, answer, 7), kDrop) << "another tenant's flow now";
}

TEST(FirewallState, Ipv6AndUdp) {
  NfHarness nf = firewall("allow udp on 0 from any to any keep-state");
  const Ip there{.from = "2001:db8::1", .to = "2001:db8::2"},
      here{.from = "2001:db8::2", .to = "2001:db8::1"};
  EXPECT_EQ(out(nf, ethernet(ipv6(there, udp(9, 53))), 1), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv6(here, udp(53, 9))), 2), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv6(here, udp(54, 9))), 2), kDrop);
}

TEST(FirewallState, MappedAddressesOfIpv6AreNotIpv4) {
  NfHarness nf = firewall(kKeep);
  EXPECT_EQ(out(nf, udp4("10.0.0.5", "192.0.2.1", 9, 53), 1), kPass);
  const Ip mapped{.from = "::ffff:192.0.2.1", .to = "::ffff:10.0.0.5"};
  EXPECT_EQ(back(nf, ethernet(ipv6(mapped, udp(53, 9))), 2), kDrop);
}

TEST(FirewallState, SilenceEndsAFlowAndTrafficKeepsIt) {
  NfHarness nf = firewall(kKeep);
  const Frame answer = udp4("192.0.2.1", "10.0.0.5", 53, 9);
  out(nf, udp4("10.0.0.5", "192.0.2.1", 9, 53), 1);
  EXPECT_EQ(back(nf, answer, 299 * kSecond), kPass);
  EXPECT_EQ(back(nf, answer, 598 * kSecond), kPass);
  EXPECT_EQ(back(nf, answer, 899 * kSecond), kDrop);
}

TEST(FirewallState, FinOrRstEndsAFlowSoon) {
  NfHarness nf = firewall(kKeep);
  out(nf, tcp4("10.0.0.5", "192.0.2.1", 4000, 80), 1);
  EXPECT_EQ(back(nf, tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kFin | kAck), kSecond), kPass);
  EXPECT_EQ(back(nf, tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kAck), 10 * kSecond), kPass);
  EXPECT_EQ(back(nf, tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kFin | kAck), 10 * kSecond), kPass);
  EXPECT_EQ(back(nf, tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kAck), 12 * kSecond), kDrop);
}

TEST(FirewallState, PingsAreAnsweredButNotReturned) {
  NfHarness nf = firewall(kKeep);
  const Ip there{.from = "10.0.0.5", .to = "192.0.2.1", .protocol = kIcmp};
  const Ip here{.from = "192.0.2.1", .to = "10.0.0.5", .protocol = kIcmp};
  EXPECT_EQ(back(nf, ethernet(ipv4(here, icmp(0, 0, 77))), 1), kDrop);
  EXPECT_EQ(out(nf, ethernet(ipv4(there, icmp(8, 0, 77))), 1), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv4(here, icmp(0, 0, 77))), 2), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv4(here, icmp(0, 0, 78))), 2), kDrop);
  EXPECT_EQ(back(nf, ethernet(ipv4(here, icmp(8, 0, 77))), 2), kDrop) << "a request is no answer";
}

TEST(FirewallState, IcmpErrorsAboutARememberedFlowPass) {
  NfHarness nf = firewall(kKeep);
  const Ip flow{.from = "10.0.0.5", .to = "192.0.2.1", .protocol = kTcp};
  const Ip router{.from = "203.0.113.9", .to = "10.0.0.5", .protocol = kIcmp};
  const Frame too_big = ethernet(ipv4(router, icmp(3, 4, 0, ipv4(flow, tcp(4000, 80)))));
  const Frame other = ethernet(ipv4(router, icmp(3, 4, 0, ipv4(flow, tcp(4001, 80)))));
  EXPECT_EQ(back(nf, too_big, 1), kDrop);
  out(nf, ethernet(ipv4(flow, tcp(4000, 80))), 1);
  EXPECT_EQ(back(nf, too_big, 2), kPass);
  EXPECT_EQ(back(nf, other, 2), kDrop);
  EXPECT_EQ(back(nf, ethernet(ipv4(router, icmp(5, 0, 0, ipv4(flow, tcp(4000, 80))))), 2), kDrop)
      << "redirects are not errors";
}

TEST(FirewallState, AllFragmentsOfAnAnswerPass) {
  NfHarness nf = firewall(kKeep);
  const Ip first{.from = "192.0.2.1", .to = "10.0.0.5", .more_fragments = true, .id = 321};
  Ip later = first, other = first;
  later.fragment_offset = 1480, other.fragment_offset = 1480, other.id = 322;
  out(nf, udp4("10.0.0.5", "192.0.2.1", 9, 53), 1);
  EXPECT_EQ(back(nf, ethernet(ipv4(later, zeroes(40))), 2), kDrop) << "before its first";
  EXPECT_EQ(back(nf, ethernet(ipv4(first, udp(53, 9, 1472))), 3), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv4(later, zeroes(40))), 4), kPass);
  EXPECT_EQ(back(nf, ethernet(ipv4(other, zeroes(40))), 5), kDrop);
  EXPECT_EQ(back(nf, ethernet(ipv4(later, zeroes(40))), 20 * kSecond), kDrop);
}

TEST(FirewallState, NewRulesEndTheFlowsTheyWouldNotAllow) {
  NfHarness nf = firewall(kKeep);
  const Frame web = tcp4("192.0.2.1", "10.0.0.5", 80, 4000, kAck);
  const Frame dns = udp4("192.0.2.1", "10.0.0.5", 53, 9);
  out(nf, tcp4("10.0.0.5", "192.0.2.1", 4000, 80), 1);
  out(nf, udp4("10.0.0.5", "192.0.2.1", 9, 53), 1);
  ASSERT_FALSE(
      nf.configure({{"rules", "deny tcp from any to any port 80\n" + std::string(kKeep)}}));
  nf.bind();
  EXPECT_EQ(back(nf, web, 2), kDrop);
  EXPECT_EQ(back(nf, dns, 2), kPass);
}

TEST(FirewallState, AFullTableForgetsTheOldestAndNeverPassesStrangers) {
  NfHarness nf = firewall(kKeep, "16");
  for (uint16_t port = 1; port <= 1000; ++port)
    ASSERT_EQ(out(nf, udp4("10.0.0.5", "192.0.2.1", port, 53), port), kPass);
  int remembered = 0;
  for (uint16_t port = 1; port <= 2000; ++port) {
    const bool passes = back(nf, udp4("192.0.2.1", "10.0.0.5", 53, port), 2000) == kPass;
    remembered += passes;
    EXPECT_FALSE(passes && port > 1000);
  }
  EXPECT_EQ(remembered, 16);
  EXPECT_EQ(back(nf, udp4("192.0.2.1", "10.0.0.5", 53, 1000), 2001), kPass)
      << "the newest is there";
}

// ---------------------------------------------------------------------------------------------
// What compile() refuses

TEST(FirewallRules, ErrorsNameLineAndRemedy) {
  struct Bad {
    const char* rules;
    uint32_t line;
    const char* message;
  };
  const Bad rows[] = {
      {"permit tcp from any to any", 1,
       "'permit' does not begin a rule; write allow, deny, default or link"},
      {"# a\n\nallow tpc from any to any", 3, "'tpc' is not a protocol"},
      {"allow tcp", 1, "expected 'from' before the end of the line"},
      {"allow tcp from any", 1, "expected 'to' before the end of the line"},
      {"allow tcp from", 1, "an address must follow 'from'"},
      {"allow tcp from 10.0.0.256 to any", 1, "'10.0.0.256' is not an address"},
      {"allow tcp from 10.0.0.1/8 to any", 1, "write 10.0.0.0/8"},
      {"allow tcp from any to 10.0.0.0/40", 1, "the prefix length must be 0 to 32"},
      {"allow tcp from any to any port 99999", 1,
       "'99999' is not a port; write one like 443 or 8000-8080"},
      {"allow tcp from any to any port 90-80", 1, "'90-80' is not a port"},
      {"allow tcp from any to any port", 1, "the end of the line is not a port"},
      {"allow any from any to any port 80", 1, "'port' needs the protocol tcp"},
      {"allow tcp from any to any type 8", 1, "'type' needs the protocol icmp or icmpv6"},
      {"allow icmp from any to any type 300", 1, "'300' is not an ICMP type"},
      {"allow udp from any to any established", 1, "'established' needs the protocol tcp"},
      {"deny tcp from any to any keep-state", 1, "'keep-state' needs an allow rule"},
      {"allow tcp from any to any log", 1, "'log' is not understood here"},
      {"allow tcp from 10.0.0.1 to ::1", 1, "one address is IPv4 and the other IPv6"},
      {"allow icmp from ::1 to any", 1, "icmp goes with IPv4 addresses"},
      {"allow tcp on lan from any to any", 1, "on 'lan': write the port's number"},
      {"default maybe", 1, "'default' must be followed by allow or deny"},
      {"link", 1, "'link' must be followed by allow or deny"},
  };
  for (const Bad& row : rows) {
    NfHarness nf(NfHarness::load(shipped("firewall")));
    const auto error = nf.configure({{"rules", row.rules}});
    ASSERT_TRUE(error) << row.rules;
    EXPECT_EQ(error->arg, "rules");
    EXPECT_EQ(error->line, row.line) << row.rules;
    EXPECT_NE(error->message.find(row.message), std::string::npos) << error->message;
  }
}

TEST(FirewallRules, TooManyAreRefusedOnTheLineThatIsTooMuch) {
  std::string rules;
  for (int i = 0; i < 2100; ++i) rules += "allow tcp from 10.0.0.1 to any\n";
  NfHarness nf(NfHarness::load(shipped("firewall")));
  const auto error = nf.configure({{"rules", rules}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->line, 2048u);
  EXPECT_NE(error->message.find("64 KiB"), std::string::npos);
}

TEST(Firewall, WithoutAConfigurationNothingPasses) {
  NfHarness nf = firewall("default allow");
  nf.bind_to({});
  EXPECT_EQ(nf.process_one(ethernet({.type = 0x0806}, zeroes(28))).verdict, kDrop);
}

}  // namespace
}  // namespace mayfly
