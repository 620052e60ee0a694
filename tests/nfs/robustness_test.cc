// Every NF, with every sample packet cut to every length and with its bytes damaged: no read or
// write outside the packet (buffers end where the packet ends: run it under the asan preset), every
// verdict a verdict, and what cannot be read is never forwarded by those who promise to read it.
#include <gtest/gtest.h>

#include <random>

#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

constexpr const char* kRules =
    "allow tcp from 10.0.0.0/8 to any port 80 keep-state\n"
    "allow udp from any to any port 53 keep-state\n"
    "allow tcp from any to any established\n"
    "allow icmp from any to any type 8 keep-state\n"
    "allow icmpv6 from 2001:db8::/32 to any keep-state\n"
    "default deny\n";
constexpr const char* kRoutes =
    "10.0.0.0/8 via 02:00:00:00:01:01 out 1\n"
    "0.0.0.0/0 via 02:00:00:00:01:02 out next\n"
    "192.0.2.0/24 unreachable\n"
    "2001:db8::/48 via 02:00:00:00:01:03 out 2\n"
    "port 0 mac 02:00:00:00:00:99 address 10.0.0.254 address 2001:db8::ffff\n";

struct Subject {
  const char* image;
  NfHarness::Given given;
};
const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = {
      {"signature", {}},
      {"counter", {{"report_every", "1us"}}},
      {"forward", {{"src_mac", "02:00:00:00:00:01"}}},
      {"l3fwd", {{"routes", kRoutes}, {"icmp_per_s", "1000000"}}},
      {"firewall", {{"rules", kRules}}},
      {"rate_limit", {{"mbps", "100"}}},
      {"spin", {{"cycles", "0"}}},
  };
  return all;
}

std::vector<Frame> samples() {
  const Ip six{.from = "2001:db8::1", .to = "2001:db8:0:1::2", .protocol = kTcp};
  const Ip ping6{.from = "2001:db8::1", .to = "2001:db8:0:1::2", .protocol = kIcmpV6};
  const Frame quoted = ipv4({.from = "192.0.2.10", .to = "10.0.0.1", .protocol = kTcp}, tcp(80, 9));
  const Frame quoted6 =
      ipv6({.from = "2001:db8:0:1::2", .to = "2001:db8::1", .protocol = kTcp}, tcp(80, 9));
  const Frame extensions =
      Frame{60, 0} + zeroes(6) + Frame{51, 1} + zeroes(14) + Frame{kTcp, 1} + zeroes(10);
  return {
      ethernet(ipv4({.protocol = kTcp}, tcp(9, 80))),
      ethernet(ipv4({.protocol = kTcp, .options = zeroes(12)}, tcp(9, 80, kAck, 30))),
      ethernet({.tags = {10, 20}}, ipv4({}, udp(9, 53))),
      ethernet(ipv4({.ttl = 1}, udp(9, 53, 600))),
      ethernet(ipv4({.more_fragments = true}, udp(9, 53, 24))),
      ethernet(ipv4({.fragment_offset = 32}, zeroes(24))),
      ethernet(ipv4({.protocol = kIcmp}, icmp(8, 0, 5, zeroes(8)))),
      ethernet(ipv4({.protocol = kIcmp}, icmp(3, 3, 0, quoted))),
      ethernet(ipv4({.protocol = kIcmp}, icmp(11, 0, 0, quoted))),
      ethernet(ipv6(six, tcp(9, 80))),
      ethernet({.tags = {7}}, ipv6(six, tcp(9, 80), extensions)),
      ethernet(ipv6(ping6, icmp(128, 0, 5))),
      ethernet(ipv6(ping6, icmp(1, 0, 0, quoted6))),
      ethernet(ipv6({.from = "2001:db8::1", .to = "2001:db8::2", .ttl = 1, .more_fragments = true},
                    udp(9, 53))),
      ethernet(
          ipv6({.from = "2001:db8::1", .to = "2001:db8::2", .fragment_offset = 8}, udp(9, 53))),
      ethernet({.type = 0x0806}, zeroes(28)),
      ethernet(ipv4({.protocol = kSctp}, zeroes(12))),
  };
}

void check(const Sent& sent, const Frame& in, const std::string& what) {
  EXPECT_LE(static_cast<int>(sent.verdict), static_cast<int>(Verdict::out)) << what;
  if (!sent.originated) {
    EXPECT_EQ(sent.bytes.size(), in.size()) << what;
  }
}

TEST(Robustness, EveryTruncation) {
  for (const Subject& subject : subjects()) {
    NfHarness nf(NfHarness::load(shipped(subject.image)));
    ASSERT_FALSE(nf.configure(subject.given));
    nf.bind();
    uint64_t now_ns = 1;
    int sample = 0;
    for (const Frame& frame : samples()) {
      for (size_t size = 0; size <= frame.size(); ++size) {
        const Frame cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
        for (const Sent& sent : nf.process({cut}, now_ns += 100'000))
          check(sent, cut, std::string(subject.image) + " sample " + std::to_string(sample));
      }
      ++sample;
    }
  }
}

// The same, with IP lengths that agree with where the frame ends: datagrams that stop in the middle
// of an extension header, of options, of a transport header, of what an ICMP error quotes.
TEST(Robustness, EveryShorterDatagram) {
  for (const Subject& subject : subjects()) {
    NfHarness nf(NfHarness::load(shipped(subject.image)));
    ASSERT_FALSE(nf.configure(subject.given));
    nf.bind();
    uint64_t now_ns = 1;
    for (const Frame& frame : samples()) {
      const Headers whole = parse_headers(frame);
      const uint32_t fixed = whole.l3_kind == L3::ipv4 ? 20 : 40;
      for (size_t size = whole.l3 + fixed; whole.is_ip() && size < frame.size(); ++size) {
        Frame cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
        uint8_t* ip = cut.data() + whole.l3;
        if (whole.l3_kind == L3::ipv4) {
          store_be16(ip + 2, static_cast<uint16_t>(size - whole.l3));
          store_be16(ip + 10, 0);
          const size_t header = std::min<size_t>((ip[0] & 15u) * 4, size - whole.l3);
          checksum_finish(ip + 10, checksum_add(ip, header));
        } else {
          store_be16(ip + 4, static_cast<uint16_t>(size - whole.l3 - 40));
        }
        for (const Sent& sent : nf.process({cut}, now_ns += 100'000))
          check(sent, cut, subject.image);
      }
    }
  }
}

// What is read is either whole or dropped: an IP packet that was cut anywhere does not pass.
TEST(Robustness, ACutIpPacketDoesNotPassFirewallOrRouter) {
  for (const Subject& subject : subjects()) {
    const std::string image = subject.image;
    if (image != "firewall" && image != "l3fwd") continue;
    NfHarness nf(NfHarness::load(shipped(image)));
    ASSERT_FALSE(nf.configure(image == "firewall"
                                  ? NfHarness::Given{{"rules", "default allow\nlink allow\n"}}
                                  : subject.given));
    nf.bind();
    for (const Frame& frame : samples()) {
      const Headers whole = parse_headers(frame);
      if (!whole.is_ip()) continue;
      for (size_t size = whole.l3; size < whole.l3_end; ++size) {
        const Frame cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
        EXPECT_EQ(nf.process({cut}, 1)[0].verdict, Verdict::drop) << image << " at " << size;
      }
    }
  }
}

TEST(Robustness, DamagedBytes) {
  std::mt19937 random(42);
  const std::vector<Frame> whole = samples();
  for (const Subject& subject : subjects()) {
    NfHarness nf(NfHarness::load(shipped(subject.image)));
    ASSERT_FALSE(nf.configure(subject.given));
    nf.bind();
    uint64_t now_ns = 1;
    for (int round = 0; round < 300; ++round) {
      std::vector<Frame> frames = whole;
      for (Frame& frame : frames) {
        for (uint32_t hits = random() % 4 + 1; hits > 0; --hits)
          frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
        if (random() % 8 == 0) frame.resize(random() % frame.size());
      }
      const std::vector<Sent> sent = nf.process(frames, now_ns += 100'000);
      for (size_t i = 0; i < frames.size(); ++i) check(sent[i], frames[i], subject.image);
    }
  }
}

// A configuration that compile() did not write: refused or survived, never read past its end.
TEST(Robustness, CutConfigurations) {
  for (const Subject& subject : subjects()) {
    NfHarness nf(NfHarness::load(shipped(subject.image)));
    ASSERT_FALSE(nf.configure(subject.given));
    const std::vector<std::byte> blob(nf.config().begin(), nf.config().end());
    for (size_t size = 0; size < blob.size(); ++size) {
      struct Free {
        void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
      };
      std::unique_ptr<std::byte, Free> cut(
          static_cast<std::byte*>(::operator new (size + 1, std::align_val_t{64})));
      std::copy_n(blob.begin(), size, cut.get());
      nf.reset();
      nf.bind_to({cut.get(), size});
      nf.process(samples(), 1);
    }
  }
}

}  // namespace
}  // namespace mayfly
