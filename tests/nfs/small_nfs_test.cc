// signature, counter, forward, rate_limit, spin: the shipped images, loaded as the runtime does.
#include <gtest/gtest.h>
#include <x86intrin.h>

#include "nfs/token_bucket.h"
#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

NfHarness bound(const std::string& name, const NfHarness::Given& given = {}) {
  NfHarness nf(NfHarness::load(shipped(name)));
  if (const auto error = nf.configure(given)) throw std::runtime_error(error->message);
  nf.bind(7);
  return nf;
}

std::string refusal(const std::string& name, const NfHarness::Given& given) {
  NfHarness nf(NfHarness::load(shipped(name)));
  const auto error = nf.configure(given);
  return error ? error->arg + ": " + error->message : "";
}

Frame counting(size_t n) {
  Frame frame(n);
  for (size_t i = 0; i < n; ++i) frame[i] = static_cast<uint8_t>(i);
  return frame;
}

// Bit by bit, independent of the instruction.
uint32_t crc32c(const Frame& bytes) {
  uint32_t crc = 0xffffffff;
  for (uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}
std::string hex(uint32_t v) {
  char text[9];
  snprintf(text, sizeof(text), "%08x", v);
  return text;
}

TEST(Signature, DropsWhatIsListedAndNothingElse) {
  EXPECT_EQ(crc32c(zeroes(32)), 0x8a9136aau) << "RFC 3720, appendix B.4";
  const Frame whole = counting(100), small = counting(20);
  NfHarness nf =
      bound("signature", {{"drop", hex(crc32c(Frame(whole.begin(), whole.begin() + 64))) + " " +
                                       hex(crc32c(small + zeroes(44)))}});
  EXPECT_EQ(nf.process_one(whole).verdict, Verdict::drop);
  EXPECT_EQ(nf.process_one(small).verdict, Verdict::drop);
  Frame other = whole;
  other[63] ^= 1;
  EXPECT_EQ(nf.process_one(other).verdict, Verdict::next);
  Frame tail = whole;
  tail[64] ^= 1;  // past the signed bytes
  EXPECT_EQ(nf.process_one(tail).verdict, Verdict::drop);
}

TEST(Signature, RefusesWhatIsNoSignature) {
  EXPECT_EQ(refusal("signature", {{"drop", "12345678 xyz"}}),
            "drop: 'xyz' is not a signature: write 8 hexadecimal digits");
}

TEST(Counter, ReportsWhatItCountedWhenItIsTime) {
  NfHarness nf = bound("counter", {{"report_every", "1s"}, {"report_port", "2"}});
  EXPECT_EQ(nf.process({counting(60), counting(100)}, 1'000).size(), 2u);
  const auto sent = nf.process({counting(40)}, 1'000 + kNanosPerSecond);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].verdict, Verdict::next);
  EXPECT_EQ(sent[0].bytes, counting(40));
  const Frame expected = mac("ff:ff:ff:ff:ff:ff") + mac("02:00:00:00:00:00") + be16(0x88b5) +
                         Frame{'M', 'F', 'C', '1'} + be32(7) + be32(0) + be32(3) + be32(0) +
                         be32(200) + zeroes(22);
  EXPECT_TRUE(sent[1].originated);
  EXPECT_EQ(sent[1].verdict, Verdict::out);
  EXPECT_EQ(sent[1].out_port, 2);
  EXPECT_EQ(sent[1].bytes, expected);
  EXPECT_EQ(nf.process({counting(40)}, 2'000 + kNanosPerSecond).size(), 1u) << "not twice";
}

TEST(Counter, WithoutABlankBufferItReportsLaterAndResetForgets) {
  NfHarness nf = bound("counter", {{"report_every", "1s"}});
  nf.process({counting(60)}, 1);
  nf.blank_count = 0;
  EXPECT_EQ(nf.process({counting(60)}, 5 * kNanosPerSecond).size(), 1u);
  nf.blank_count = 1;
  EXPECT_EQ(nf.process({counting(60)}, 5 * kNanosPerSecond + 1).size(), 2u);
  nf.reset();
  nf.bind(8);
  nf.process({counting(60)}, 6 * kNanosPerSecond);
  const auto sent = nf.process({counting(60)}, 8 * kNanosPerSecond);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].bytes[29], 2) << "packets of this binding only";
}

TEST(Forward, RewritesWhatIsGiven) {
  const Frame in = ethernet(ipv4({}, udp(1, 2)));
  const Frame rest(in.begin() + 12, in.end());
  struct Row {
    const char* name;
    NfHarness::Given given;
    Frame out;
    Verdict verdict;
  };
  const Row rows[] = {
      {"nothing", {}, in, Verdict::next},
      {"source",
       {{"src_mac", "02:00:00:00:00:0b"}},
       mac(kMacRouter) + mac("02:00:00:00:00:0b") + rest,
       Verdict::next},
      {"destination",
       {{"dst_mac", "02:00:00:00:00:0b"}},
       mac("02:00:00:00:00:0b") + mac(kMacA) + rest,
       Verdict::next},
      {"both, and a port",
       {{"src_mac", "02:00:00:00:00:01"}, {"dst_mac", "02:00:00:00:00:02"}, {"port", "3"}},
       mac("02:00:00:00:00:02") + mac("02:00:00:00:00:01") + rest,
       Verdict::out},
  };
  for (const Row& row : rows) {
    NfHarness nf = bound("forward", row.given);
    const Sent sent = nf.process_one(in);
    EXPECT_EQ(sent.bytes, row.out) << row.name;
    EXPECT_EQ(sent.verdict, row.verdict) << row.name;
    if (row.verdict == Verdict::out) {
      EXPECT_EQ(sent.out_port, 3) << row.name;
    }
  }
  EXPECT_EQ(bound("forward", rows[3].given).process_one(counting(13)).bytes, counting(13));
  EXPECT_EQ(refusal("forward", {{"src_mac", "02:00"}}),
            "src_mac: '02:00' is not a MAC address; write one like 02:00:00:00:00:01");
}

// Packets of 1,000 bytes offered at 80 Mb/s for ten seconds; the bytes that pass.
uint64_t passed_in_ten_seconds(NfHarness& nf, uint64_t begin_ns) {
  uint64_t passed = 0;
  for (uint64_t i = 0; i < 100'000; ++i) {
    const Sent sent = nf.process_one(counting(1000), begin_ns + i * 100'000);
    if (sent.verdict == Verdict::next) passed += 1000;
  }
  return passed;
}

TEST(RateLimit, LetsItsRateThroughAndOneBurst) {
  NfHarness nf = bound("rate_limit", {{"mbps", "20"}, {"burst", "10000B"}});
  EXPECT_NEAR(static_cast<double>(passed_in_ten_seconds(nf, 1)), 25e6 + 10'000, 1'000);
}

TEST(RateLimit, ByDefaultABurstOfATenthOfASecondAtFirst) {
  NfHarness nf = bound("rate_limit", {{"mbps", "20"}});
  EXPECT_NEAR(static_cast<double>(passed_in_ten_seconds(nf, 1)), 25e6 * 1.01, 1'000);
}

TEST(RateLimit, WhatIsEarnedWhileTcpWaitsForItsTimerIsKept) {
  NfHarness nf = bound("rate_limit", {{"mbps", "8"}});  // 1,000,000 bytes a second
  const auto burst_bytes = [&](uint64_t now_ns) {
    uint64_t bytes = 0;
    while (nf.process_one(counting(1000), now_ns).verdict == Verdict::next) bytes += 1000;
    return bytes;
  };
  EXPECT_EQ(burst_bytes(10 * kNanosPerSecond), 100'000u) << "at the beginning";
  EXPECT_EQ(burst_bytes(10 * kNanosPerSecond + 250'000'000), 250'000u) << "after 250 ms";
  EXPECT_EQ(burst_bytes(11 * kNanosPerSecond + 249'000'000), 400'000u) << "after 1 s less a little";
  EXPECT_EQ(burst_bytes(20 * kNanosPerSecond), 100'000u) << "after a second without a drop";
}

TEST(RateLimit, ABucketForEachPortUnlessOneIsAskedFor) {
  for (const bool per_port : {true, false}) {
    NfHarness nf =
        bound("rate_limit",
              {{"mbps", "1"}, {"burst", "1000B"}, {"per_port", per_port ? "true" : "false"}});
    EXPECT_EQ(nf.process_one(counting(1000)).verdict, Verdict::next);
    EXPECT_EQ(nf.process_one(counting(1000)).verdict, Verdict::drop);
    nf.port_in = 1;
    EXPECT_EQ(nf.process_one(counting(1000)).verdict, per_port ? Verdict::next : Verdict::drop);
  }
}

TEST(RateLimit, ANewRateKeepsTheBucketAndResetFillsIt) {
  NfHarness nf = bound("rate_limit", {{"mbps", "1"}, {"burst", "2000B"}});
  nf.process({counting(1000), counting(1000)}, 1);
  ASSERT_FALSE(nf.configure({{"mbps", "8"}, {"burst", "2000B"}}));
  nf.bind();
  EXPECT_EQ(nf.process_one(counting(1000), 1).verdict, Verdict::drop);
  EXPECT_EQ(nf.process_one(counting(1000), 1 + 1'000'000).verdict, Verdict::next) << "1 B/us";
  nf.reset();
  nf.bind();
  EXPECT_EQ(nf.process_one(counting(2000), 1 + 1'000'000).verdict, Verdict::next);
}

TEST(RateLimit, WithoutAConfigurationNothingPasses) {
  NfHarness nf = bound("rate_limit", {{"mbps", "1"}});
  nf.bind_to({});
  EXPECT_EQ(nf.process_one(counting(60)).verdict, Verdict::drop);
}

TEST(Spin, BurnsAtLeastItsCycles) {
  NfHarness nf = bound("spin", {{"cycles", "50000"}});
  const uint64_t begin = __rdtsc();
  EXPECT_EQ(nf.process({counting(60), counting(60)})[1].verdict, Verdict::next);
  EXPECT_GE(__rdtsc() - begin, 100'000u);
}

}  // namespace
}  // namespace mayfly
