// The router image: rows of routes, packet in, packet out; the ICMP errors it originates; and its
// look-up against a plain scan of all prefixes.
#include <gtest/gtest.h>

#include <random>

#include "nfs/l3fwd_routes.h"
#include "nfs/token_bucket.h"
#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

constexpr const char* kRoutes =
    "10.0.0.0/8      via 02:00:00:00:01:01 out 1\n"
    "10.1.0.0/16     via 02:00:00:00:01:02 out 2\n"
    "10.1.2.3        via 02:00:00:00:01:03 out next\n"
    "172.16.0.0/12   unreachable\n"
    "172.17.0.0/16   blackhole\n"
    "2001:db8::/32   via 02:00:00:00:01:04 out 1\n"
    "2001:db8:1::/48 via 02:00:00:00:01:05 out 2\n"
    "2001:db8:f::/48 unreachable\n"
    "port 0 mac 02:00:00:00:00:99 address 192.168.0.254 address 2001:db8:ff::254\n"
    "port 2 mac 02:00:00:00:00:9b\n";

NfHarness router(const std::string& routes = kRoutes, const std::string& icmp_per_s = "100") {
  NfHarness nf(NfHarness::load(shipped("l3fwd")));
  if (const auto error = nf.configure({{"routes", routes}, {"icmp_per_s", icmp_per_s}}))
    throw std::runtime_error("line " + std::to_string(error->line) + ": " + error->message);
  nf.bind();
  return nf;
}

Frame to4(const std::string& to, uint8_t ttl = 64) {
  return ethernet(ipv4({.from = "192.168.0.1", .to = to, .ttl = ttl}, udp(9, 53)));
}
Frame to6(const std::string& to, uint8_t ttl = 64) {
  return ethernet(ipv6({.from = "2001:db8:ff::1", .to = to, .ttl = ttl}, udp(9, 53)));
}
Frame routed(const std::string& to_mac, const std::string& from_mac, const Frame& ip) {
  return ethernet({.to = to_mac, .from = from_mac}, ip);
}
Frame ip4(const std::string& to, uint8_t ttl) {
  return ipv4({.from = "192.168.0.1", .to = to, .ttl = ttl}, udp(9, 53));
}
Frame ip6(const std::string& to, uint8_t ttl) {
  return ipv6({.from = "2001:db8:ff::1", .to = to, .ttl = ttl}, udp(9, 53));
}

TEST(L3Forward, LongestPrefixTtlAndMacs) {
  struct Row {
    const char* name;
    Frame in, out;
    Verdict verdict;
    uint8_t port;
  };
  const Row rows[] = {
      {"short prefix", to4("10.9.9.9"),
       routed("02:00:00:00:01:01", kMacRouter, ip4("10.9.9.9", 63)), Verdict::out, 1},
      {"longer prefix, source MAC of port 2", to4("10.1.9.9"),
       routed("02:00:00:00:01:02", "02:00:00:00:00:9b", ip4("10.1.9.9", 63)), Verdict::out, 2},
      {"host route, on along the chain", to4("10.1.2.3"),
       routed("02:00:00:00:01:03", kMacRouter, ip4("10.1.2.3", 63)), Verdict::next, 0},
      {"just past the host route", to4("10.1.2.4"),
       routed("02:00:00:00:01:02", "02:00:00:00:00:9b", ip4("10.1.2.4", 63)), Verdict::out, 2},
      {"last address of a prefix", to4("10.255.255.255"),
       routed("02:00:00:00:01:01", kMacRouter, ip4("10.255.255.255", 63)), Verdict::out, 1},
      {"ttl 2", to4("10.9.9.9", 2), routed("02:00:00:00:01:01", kMacRouter, ip4("10.9.9.9", 1)),
       Verdict::out, 1},
      {"blackhole", to4("172.17.0.1"), to4("172.17.0.1"), Verdict::drop, 0},
      {"ipv6", to6("2001:db8:2::1"),
       routed("02:00:00:00:01:04", kMacRouter, ip6("2001:db8:2::1", 63)), Verdict::out, 1},
      {"ipv6 longer", to6("2001:db8:1::1"),
       routed("02:00:00:00:01:05", "02:00:00:00:00:9b", ip6("2001:db8:1::1", 63)), Verdict::out, 2},
      {"arp goes on", ethernet({.type = 0x0806}, zeroes(28)),
       ethernet({.type = 0x0806}, zeroes(28)), Verdict::next, 0},
  };
  for (const Row& row : rows) {
    NfHarness nf = router();
    const auto sent = nf.process({row.in});
    EXPECT_EQ(sent.size(), 1u) << row.name;
    EXPECT_EQ(sent[0].verdict, row.verdict) << row.name;
    EXPECT_EQ(sent[0].bytes, row.out) << row.name;
    if (row.verdict == Verdict::out) {
      EXPECT_EQ(sent[0].out_port, row.port) << row.name;
    }
  }
}

TEST(L3Forward, TagsOptionsAndEveryTtlKeepAGoodChecksum) {
  NfHarness nf = router();
  for (int ttl = 2; ttl < 256; ++ttl) {
    const Sent sent =
        nf.process_one(ethernet({.tags = {3, 4}}, ipv4({.to = "10.9.9.9",
                                                        .ttl = static_cast<uint8_t>(ttl),
                                                        .id = static_cast<uint32_t>(ttl * 251),
                                                        .options = zeroes(4)},
                                                       udp(1, 2))));
    ASSERT_EQ(sent.verdict, Verdict::out);
    EXPECT_EQ(sent.bytes[22 + 8], ttl - 1);
    EXPECT_TRUE(checksum_holds(sent.bytes.data() + 22, 24)) << ttl;
  }
}

TEST(L3Forward, WhatARouterMustNotForward) {
  Frame wrong_checksum = to4("10.9.9.9");
  wrong_checksum[24] ^= 1;
  const auto from = [](const std::string& source) {
    return ethernet(ipv4({.from = source, .to = "10.9.9.9", .ttl = 1}, udp(1, 2)));
  };
  const std::pair<const char*, Frame> rows[] = {
      {"wrong checksum", wrong_checksum},
      {"multicast", to4("224.0.0.5")},
      {"broadcast", to4("255.255.255.255")},
      {"loopback", to4("127.0.0.1")},
      {"loopback source", from("127.0.0.1")},
      {"multicast source", from("224.1.1.1")},
      {"no source", from("0.0.0.0")},
      {"link-layer broadcast", routed("ff:ff:ff:ff:ff:ff", kMacA, ip4("10.9.9.9", 64))},
      {"multicast 6", to6("ff02::1")},
      {"link-local 6", to6("fe80::1")},
      {"loopback 6", to6("::1")},
  };
  for (const auto& [name, frame] : rows) {
    NfHarness nf = router();
    const auto sent = nf.process({frame});
    EXPECT_EQ(sent.size(), 1u) << name << ": and no ICMP error";
    EXPECT_EQ(sent[0].verdict, Verdict::drop) << name;
  }
}

// ---------------------------------------------------------------------------------------------
// ICMP errors

TEST(L3ForwardIcmp, TimeExceededByteForByte) {
  NfHarness nf = router();
  nf.port_in = 0;
  const Frame in = ethernet(
      {.tags = {9}},
      ipv4({.from = "192.168.0.1", .to = "10.9.9.9", .ttl = 1, .tos = 0x12}, udp(9, 53, 5)));
  const auto sent = nf.process({in});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].verdict, Verdict::drop);
  Frame message = Frame{11, 0, 0, 0} + zeroes(4) + Frame(in.begin() + 18, in.end());
  checksum_finish(message.data() + 2, checksum_add(message.data(), message.size()));
  Frame packet =
      ipv4({.from = "192.168.0.254", .to = "192.168.0.1", .protocol = kIcmp, .id = 0, .tos = 0xd2},
           message);
  packet[6] = 0x40;  // don't fragment
  packet[10] = packet[11] = 0;
  checksum_finish(packet.data() + 10, checksum_add(packet.data(), 20));
  EXPECT_EQ(sent[1].bytes, ethernet({.to = kMacA, .from = kMacRouter, .tags = {9}}, packet));
  EXPECT_TRUE(sent[1].originated);
  EXPECT_EQ(sent[1].verdict, Verdict::out);
  EXPECT_EQ(sent[1].out_port, 0);
}

TEST(L3ForwardIcmp, TimeExceeded6ByteForByte) {
  NfHarness nf = router();
  const Frame in = to6("2001:db8:2::1", 1);
  const auto sent = nf.process({in});
  ASSERT_EQ(sent.size(), 2u);
  Frame message = Frame{3, 0, 0, 0} + zeroes(4) + Frame(in.begin() + 14, in.end());
  const Frame pseudo = address("2001:db8:ff::254") + address("2001:db8:ff::1") +
                       be32(static_cast<uint32_t>(message.size())) + be32(kIcmpV6);
  checksum_finish(message.data() + 2, checksum_add(message.data(), message.size(),
                                                   checksum_add(pseudo.data(), pseudo.size())));
  const Frame packet =
      ipv6({.from = "2001:db8:ff::254", .to = "2001:db8:ff::1", .protocol = kIcmpV6}, message);
  EXPECT_EQ(sent[1].bytes, ethernet({.to = kMacA, .from = kMacRouter}, packet));
}

TEST(L3ForwardIcmp, TypesAndCodes) {
  struct Row {
    const char* name;
    Frame in;
    uint8_t type, code;
  };
  const Row rows[] = {
      {"ttl 1", to4("10.9.9.9", 1), 11, 0},     {"ttl 0", to4("10.9.9.9", 0), 11, 0},
      {"no route", to4("8.8.8.8"), 3, 0},       {"no route before ttl", to4("8.8.8.8", 1), 3, 0},
      {"unreachable", to4("172.16.0.1"), 3, 1}, {"hop limit", to6("2001:db8:2::1", 1), 3, 0},
      {"no route 6", to6("2001:db9::1"), 1, 0}, {"unreachable 6", to6("2001:db8:f::1"), 1, 3},
  };
  for (const Row& row : rows) {
    NfHarness nf = router();
    const auto sent = nf.process({row.in});
    ASSERT_EQ(sent.size(), 2u) << row.name;
    const Headers h = parse_headers(sent[1].bytes);
    ASSERT_EQ(h.l4_kind, L4::whole) << row.name;
    EXPECT_EQ(sent[1].bytes[h.l4], row.type) << row.name;
    EXPECT_EQ(sent[1].bytes[h.l4 + 1], row.code) << row.name;
  }
}

TEST(L3ForwardIcmp, NeverInAnswerTo) {
  const auto icmp4 = [](const Frame& message, uint16_t offset = 0) {
    return ethernet(
        ipv4({.from = "192.168.0.1", .to = "8.8.8.8", .protocol = kIcmp, .fragment_offset = offset},
             message));
  };
  const auto icmp6 = [](const Frame& message) {
    return ethernet(
        ipv6({.from = "2001:db8:ff::1", .to = "2001:db9::1", .protocol = kIcmpV6}, message));
  };
  struct Row {
    const char* name;
    Frame in;
    size_t errors;
  };
  const Row rows[] = {
      {"echo request", icmp4(icmp(8, 0)), 1},
      {"unreachable", icmp4(icmp(3, 1)), 0},
      {"time exceeded", icmp4(icmp(11, 0)), 0},
      {"parameter problem", icmp4(icmp(12, 0)), 0},
      {"redirect", icmp4(icmp(5, 0)), 0},
      {"unknown icmp type", icmp4(icmp(99, 0)), 0},
      {"icmp cut before its type", icmp4({}), 0},
      {"later fragment",
       ethernet(ipv4({.from = "192.168.0.1", .to = "8.8.8.8", .fragment_offset = 64}, zeroes(20))),
       0},
      {"first fragment",
       ethernet(ipv4({.from = "192.168.0.1", .to = "8.8.8.8", .more_fragments = true}, udp(1, 2))),
       1},
      {"link-layer group source", routed(kMacRouter, "03:00:00:00:00:01", ip4("8.8.8.8", 64)), 0},
      {"echo request 6", icmp6(icmp(128, 0)), 1},
      {"any error 6", icmp6(icmp(100, 0)), 0},
      {"redirect 6", icmp6(icmp(137, 0)), 0},
      {"later fragment 6",
       ethernet(ipv6({.from = "2001:db8:ff::1", .to = "2001:db9::1", .fragment_offset = 64},
                     zeroes(20))),
       0},
  };
  for (const Row& row : rows) {
    NfHarness nf = router();
    const auto sent = nf.process({row.in});
    EXPECT_EQ(sent.size(), 1 + row.errors) << row.name;
    EXPECT_EQ(sent[0].verdict, Verdict::drop) << row.name;
  }
}

TEST(L3ForwardIcmp, QuotesAreCutAndPaddingIsNotQuoted) {
  NfHarness nf = router();
  const auto big =
      nf.process({ethernet(ipv4({.from = "192.168.0.1", .to = "8.8.8.8"}, udp(1, 2, 1400)))});
  ASSERT_EQ(big.size(), 2u);
  EXPECT_EQ(big[1].bytes.size(), 14u + 576);
  const auto big6 = nf.process(
      {ethernet(ipv6({.from = "2001:db8:ff::1", .to = "2001:db9::1"}, udp(1, 2, 1400)))});
  ASSERT_EQ(big6.size(), 2u);
  EXPECT_EQ(big6[1].bytes.size(), 14u + 1280);
  const auto padded = nf.process(
      {ethernet(ipv4({.from = "192.168.0.1", .to = "8.8.8.8"}, udp(1, 2, 0))) + zeroes(18)});
  ASSERT_EQ(padded.size(), 2u);
  EXPECT_EQ(padded[1].bytes.size(), 14u + 28 + 28);
}

TEST(L3ForwardIcmp, WithoutAnAddressOfItsOwn) {
  NfHarness nf = router("10.0.0.0/8 via 02:00:00:00:01:01 out 1");
  const auto sent = nf.process({to4("8.8.8.8")});
  ASSERT_EQ(sent.size(), 2u);
  const Frame source(sent[1].bytes.begin() + 26, sent[1].bytes.begin() + 30);
  EXPECT_EQ(source, address("192.0.0.8"));
  EXPECT_EQ(Frame(sent[1].bytes.begin() + 6, sent[1].bytes.begin() + 12), mac(kMacRouter));
  EXPECT_EQ(nf.process({to6("2001:db9::1")}).size(), 1u) << "IPv6 has no dummy address";
}

TEST(L3ForwardIcmp, RateIsBounded) {
  NfHarness nf = router(kRoutes, "10");
  size_t errors = 0;
  for (uint64_t i = 0; i < 10'000; ++i)
    errors += nf.process({to4("8.8.8.8")}, 1 + i * 1'000'000).size() - 1;
  EXPECT_GE(errors, 100u);
  EXPECT_LE(errors, 102u);
  NfHarness silent = router(kRoutes, "0");
  EXPECT_EQ(silent.process({to4("8.8.8.8")}).size(), 1u);
}

TEST(L3ForwardIcmp, CongestionDropsTheErrorNotTheRouter) {
  NfHarness nf = router();
  nf.blank_count = 0;
  EXPECT_EQ(nf.process({to4("8.8.8.8"), to4("10.9.9.9")})[1].verdict, Verdict::out);
}

// ---------------------------------------------------------------------------------------------
// Routes

TEST(L3ForwardRoutes, LookUpEqualsAScanOfAllPrefixes) {
  std::mt19937 random(7);
  struct Plain {
    uint32_t network;
    int length;
    int port;
  };
  for (int round = 0; round < 20; ++round) {
    std::vector<Plain> plain;
    std::string text;
    for (int i = 0; i < 300; ++i) {
      const int length = static_cast<int>(random() % 33);
      const uint32_t mask = length == 0 ? 0 : ~0u << (32 - length);
      // Few distinct high bits, so that prefixes nest.
      const uint32_t network = (random() & 0xf1f30ff7) & mask;
      if (std::any_of(plain.begin(), plain.end(),
                      [&](const Plain& p) { return p.network == network && p.length == length; }))
        continue;
      plain.push_back({network, length, static_cast<int>(random() % 200)});
      char line[100];
      snprintf(line, sizeof(line), "%u.%u.%u.%u/%d via 02:00:00:00:00:01 out %d\n", network >> 24,
               network >> 16 & 255, network >> 8 & 255, network & 255, length, plain.back().port);
      text += line;
    }
    NfHarness nf = router(text);
    for (int i = 0; i < 2000; ++i) {
      uint32_t to = random() & 0xf1f30ff7;
      if (i % 3 == 0) to = plain[random() % plain.size()].network + (random() % 3) - 1;  // edges
      const uint8_t first = static_cast<uint8_t>(to >> 24);
      if (first == 0 || first == 127 || first >= 224) continue;
      const Plain* best = nullptr;
      for (const Plain& p : plain) {
        const uint32_t mask = p.length == 0 ? 0 : ~0u << (32 - p.length);
        if ((to & mask) == p.network && (best == nullptr || p.length > best->length)) best = &p;
      }
      char name[20];
      snprintf(name, sizeof(name), "%u.%u.%u.%u", to >> 24, to >> 16 & 255, to >> 8 & 255,
               to & 255);
      const Sent sent = nf.process_one(to4(name));
      ASSERT_EQ(sent.verdict, best ? Verdict::out : Verdict::drop) << name;
      if (best) {
        ASSERT_EQ(sent.out_port, best->port) << name;
      }
    }
  }
}

TEST(L3ForwardRoutes, DefaultRoutesAndTheEndsOfTheAddressSpace) {
  NfHarness nf = router(
      "0.0.0.0/0 via 02:00:00:00:00:01 out 1\n223.255.255.255 via 02:00:00:00:00:01 out 2\n"
      "::/0 via 02:00:00:00:00:01 out 3\nfeff:ffff:ffff:ffff::/64 via 02:00:00:00:00:01 out 4\n"
      "255.255.255.255 blackhole\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff blackhole\n");
  EXPECT_EQ(nf.process_one(to4("1.0.0.0")).out_port, 1);
  EXPECT_EQ(nf.process_one(to4("223.255.255.255")).out_port, 2);
  EXPECT_EQ(nf.process_one(to6("::2")).out_port, 3);
  EXPECT_EQ(nf.process_one(to6("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).out_port, 4);
  EXPECT_EQ(nf.process_one(to6("feff:ffff:ffff:fffe:ffff:ffff:ffff:ffff")).out_port, 3);
}

TEST(L3ForwardRoutes, ErrorsNameLineAndRemedy) {
  struct Bad {
    const char* routes;
    uint32_t line;
    const char* message;
  };
  const Bad rows[] = {
      {"10.0.0.0/8", 1, "must be followed by 'via MAC out PORT'"},
      {"10.0.0.0/8 via 02:00:00:00:00:01", 1, "must be followed by 'via MAC out PORT'"},
      {"10.0.0.0/8 via nobody out 1", 1, "'nobody' is not a MAC address"},
      {"\n10.0.0.0/8 via 02:00:00:00:00:01 out lan", 2,
       "out 'lan': write the port's number, counted from 0, or next"},
      {"10.0.0.0/8 via 02:00:00:00:00:01 out 250", 1, "write the port's number"},
      {"10.0.0.1/8 blackhole", 1, "write 10.0.0.0/8"},
      {"default blackhole", 1, "'default' is not an address"},
      {"10.0.0.0/8 blackhole\n# again\n10.0.0.0/8 unreachable", 3,
       "this prefix already stands on line 1"},
      {"port 1", 1, "write 'port N mac MAC [address A]...'"},
      {"port x mac 02:00:00:00:00:01", 1, "write 'port N mac MAC [address A]...'"},
      {"port 1 mac 02:00:00:00:00:01 address 10.0.0.0/8", 1,
       "is a prefix; write the router's own address"},
      {"port 1 mac 02:00:00:00:00:01 colour red", 1, "'colour' is not known here"},
      {"port 1 mac 02:00:00:00:00:01\nport 1 mac 02:00:00:00:00:02", 2, "port 1 stands twice"},
  };
  for (const Bad& row : rows) {
    NfHarness nf(NfHarness::load(shipped("l3fwd")));
    const auto error = nf.configure({{"routes", row.routes}});
    ASSERT_TRUE(error) << row.routes;
    EXPECT_EQ(error->arg, "routes");
    EXPECT_EQ(error->line, row.line) << row.routes;
    EXPECT_NE(error->message.find(row.message), std::string::npos) << error->message;
  }
}

TEST(L3ForwardRoutes, TooManyAreRefused) {
  std::string routes;
  for (int i = 0; i < 7000; ++i)
    routes += "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) +
              ".0/24 via 02:00:00:00:00:01 out " + std::to_string(i % 2) + "\n";
  NfHarness nf(NfHarness::load(shipped("l3fwd")));
  EXPECT_FALSE(nf.configure({{"routes", routes}})) << "7,000 neighbours fit";
  for (int i = 7000; i < 17000; ++i)
    routes += "11." + std::to_string(i / 256) + "." + std::to_string(i % 256) +
              ".0/25 via 02:00:00:00:00:01 out " + std::to_string(i % 2) + "\n";
  const auto error = nf.configure({{"routes", routes}});
  ASSERT_TRUE(error);
  EXPECT_NE(error->message.find("too many routes"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
