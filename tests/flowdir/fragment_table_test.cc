#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "flowdir/flow_table.h"
#include "tests/flowdir/frames.h"

namespace mayfly {
namespace {

using namespace frames;

constexpr Cycles kLifetime{1000};

struct Env {
  FragmentTable table;
  Cycles now{0};
  explicit Env(uint32_t datagram_count) : table(datagram_count, 42) {}

  ParsedPacket arrives(const Bytes& frame) {
    ParsedPacket out;
    parse(frame, PortId{0}, out);
    EXPECT_NE(out.fragment, Fragment::none);
    table.steer(out, now, kLifetime);
    return out;
  }
  void tick(uint64_t cycles) { now.n += cycles; }
};

Bytes first4(uint16_t id, uint32_t src_port = 4000) {
  return ethernet(kIpv4, ipv4({.id = id, .place = 0x2000}, udp(src_port, 53, 16)));
}
Bytes later4(uint16_t id, uint16_t place = 0x0003) {
  return ethernet(kIpv4, ipv4({.id = id, .place = place}, Bytes(24, 0x55)));
}
void expect_ports(const ParsedPacket& packet, uint16_t src, uint16_t dst) {
  EXPECT_EQ(packet.key.src_port.host(), src);
  EXPECT_EQ(packet.key.dst_port.host(), dst);
}

TEST(FragmentTable, LaterFragmentsFollowTheFirst) {
  Env env(16);
  const ParsedPacket first = env.arrives(first4(7));
  expect_ports(first, 4000, 53);
  const ParsedPacket middle = env.arrives(later4(7, 0x2003));
  const ParsedPacket last = env.arrives(later4(7, 0x0006));
  EXPECT_TRUE(middle.key == first.key);
  EXPECT_TRUE(last.key == first.key);
}

TEST(FragmentTable, WhenALaterOneComesFirstAllGoWithoutPorts) {
  Env env(16);
  const ParsedPacket later = env.arrives(later4(7));
  expect_ports(later, 0, 0);
  const ParsedPacket first = env.arrives(first4(7));
  EXPECT_TRUE(first.key == later.key);
  EXPECT_TRUE(env.arrives(later4(7, 0x2006)).key == later.key);
}

TEST(FragmentTable, DatagramsDoNotMix) {
  Env env(16);
  env.arrives(first4(7, 4000));
  env.arrives(first4(8, 4001));
  expect_ports(env.arrives(later4(8)), 4001, 53);
  expect_ports(env.arrives(later4(7)), 4000, 53);
  expect_ports(env.arrives(later4(9)), 0, 0);
}

TEST(FragmentTable, TheSameIdentificationElsewhereIsAnotherDatagram) {
  Env env(16);
  const Bytes payload = udp(4000, 53, 16), rest(24, 0x55);
  const auto later = [&](const Ipv4& header) {
    return env.arrives(ethernet(kIpv4, ipv4(header, rest)));
  };
  env.arrives(first4(7));
  expect_ports(later({.src = "10.0.0.9", .id = 7, .place = 3}), 0, 0);
  expect_ports(later({.dst = "10.0.0.9", .id = 7, .place = 3}), 0, 0);
  expect_ports(later({.protocol = kTcp, .id = 7, .place = 3}), 0, 0);
  expect_ports(env.arrives(ethernet(kVlanTag, tag(5, kIpv4, ipv4({.id = 7, .place = 3}, rest)))), 0,
               0);
  expect_ports(later({.id = 7, .place = 3}), 4000, 53);
}

TEST(FragmentTable, BothEndsOfAnEthernetMayChangeBetweenFragments) {
  Env env(16);
  env.arrives(first4(7));
  expect_ports(
      env.arrives(ethernet(kIpv4, ipv4({.id = 7, .place = 3}, Bytes(24, 0)), /*src=*/8, /*dst=*/9)),
      4000, 53);
}

TEST(FragmentTable, AnIdentificationThatComesRoundIsANewDatagram) {
  Env env(16);
  env.arrives(first4(7, 4000));
  env.tick(kLifetime.n - 1);
  expect_ports(env.arrives(later4(7)), 4000, 53);
  env.tick(1);
  expect_ports(env.arrives(later4(7)), 0, 0);
  env.tick(kLifetime.n);
  expect_ports(env.arrives(first4(7, 4001)), 4001, 53);
  expect_ports(env.arrives(later4(7)), 4001, 53);
}

TEST(FragmentTable, ForgetsTheOldestFirst) {
  Env env(3);
  for (uint16_t id = 1; id <= 3; ++id) env.arrives(first4(id, 4000 + id));
  for (uint16_t id = 1; id <= 3; ++id) expect_ports(env.arrives(later4(id)), 4000 + id, 53);
  env.arrives(first4(4, 4004));
  expect_ports(env.arrives(later4(2)), 4002, 53);
  expect_ports(env.arrives(later4(3)), 4003, 53);
  expect_ports(env.arrives(later4(4)), 4004, 53);
  expect_ports(env.arrives(later4(1)), 0, 0);
}

TEST(FragmentTable, KeepsTheNewestWhateverTheFlood) {
  constexpr uint32_t kCount = 64;
  Env env(kCount);
  for (uint32_t id = 0; id < 50'000; ++id) {
    env.arrives(first4(static_cast<uint16_t>(id), 1 + id % 60'000));
    if (id % 3 == 0) env.tick(1);
    if (id < kCount) continue;
    const uint32_t back = id - id % kCount;  // one of the newest 64
    expect_ports(env.arrives(later4(static_cast<uint16_t>(back))),
                 static_cast<uint16_t>(1 + back % 60'000), 53);
  }
}

// Against a list of datagrams, newest last: few identifications, so that they come round within and
// after their lifetime, and a table small enough to forget.
TEST(FragmentTable, AgreesWithAList) {
  constexpr uint32_t kCount = 5;
  struct Known {
    uint16_t id;
    uint64_t since;
    uint16_t src_port;
    bool forgotten;
  };
  Env env(kCount);
  std::vector<Known> list;
  std::mt19937 random(1);
  for (uint32_t step = 0; step < 100'000; ++step) {
    env.tick(random() % 200);
    const uint16_t id = static_cast<uint16_t>(random() % 9);
    const bool first = random() % 2 == 0;
    const uint16_t src_port = static_cast<uint16_t>(first ? 1 + step % 60'000 : 0);
    const auto known = std::find_if(list.begin(), list.end(),
                                    [&](const Known& k) { return k.id == id && !k.forgotten; });
    const bool fresh = known == list.end() || env.now.n - known->since >= kLifetime.n;
    const uint16_t expected = fresh ? src_port : known->src_port;
    if (fresh) {
      if (known != list.end()) known->forgotten = true;
      list.push_back({id, env.now.n, src_port, false});
      if (list.size() > kCount) list.erase(list.begin());
    }
    const ParsedPacket packet = env.arrives(first ? first4(id, src_port) : later4(id));
    ASSERT_EQ(packet.key.src_port.host(), expected) << step;
  }
}

TEST(FragmentTable, LaterIpv6FragmentsTakeTheFirstOnesProtocol) {
  Env env(16);
  const Bytes whole = extension(kUdp, udp(4000, 53, 16));
  const auto piece = [&](uint32_t offset, bool more) {
    return ethernet(
        kIpv6, ipv6({.next = kFragment}, fragment(kDestination, offset, more, 0xabcdef01, whole)));
  };
  const ParsedPacket first = env.arrives(piece(0, true));
  EXPECT_EQ(first.key.protocol, kUdp);
  expect_ports(first, 4000, 53);
  EXPECT_TRUE(env.arrives(piece(32, false)).key == first.key);
}

TEST(FragmentTable, AFragmentedEchoKeepsItsIdentifier) {
  Env env(16);
  const auto piece = [](uint16_t place, const Bytes& payload) {
    return ethernet(kIpv4, ipv4({.protocol = kIcmp, .id = 9, .place = place}, payload));
  };
  const ParsedPacket first = env.arrives(piece(0x2000, echo(8, 77)));
  expect_ports(first, 77, 77);
  EXPECT_TRUE(env.arrives(piece(2, Bytes(16, 0x61))).key == first.key);
}

// All portless fragments of a host pair share one flow: one connection's FIN must not end it.
TEST(FragmentTable, AFinAmongPortlessFragmentsEndsNothing) {
  Env env(16);
  const auto fin = [] {
    return ethernet(kIpv4, ipv4({.protocol = kTcp, .id = 9, .place = 0x2000}, tcp(1, 2, 0x11)));
  };
  const Bytes later = ethernet(kIpv4, ipv4({.protocol = kTcp, .id = 9, .place = 3}, Bytes(24, 0)));
  env.arrives(later);
  EXPECT_EQ(env.arrives(fin()).tcp_flags, 0);
  env.tick(kLifetime.n);
  EXPECT_EQ(env.arrives(fin()).tcp_flags, 0x11);
}

}  // namespace
}  // namespace mayfly
