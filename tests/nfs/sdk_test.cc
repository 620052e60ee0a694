// What NFs share: packets, checksums, token buckets, the words of argument files.
#include <gtest/gtest.h>

#include <random>

#include "nfs/token_bucket.h"
#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

TEST(Packet, GrowsAndShrinksWithinItsBuffer) {
  uint8_t buffer[256];
  Packet packet(buffer, sizeof(buffer), 128, 64, 3);
  EXPECT_EQ(packet.headroom(), 128u);
  EXPECT_EQ(packet.tailroom(), 64u);
  EXPECT_FALSE(packet.prepend(129));
  EXPECT_TRUE(packet.prepend(128));
  EXPECT_EQ(packet.data(), buffer);
  EXPECT_FALSE(packet.append(65));
  EXPECT_TRUE(packet.append(64));
  EXPECT_FALSE(packet.strip_front(257));
  EXPECT_TRUE(packet.strip_front(256));
  EXPECT_EQ(packet.size(), 0u);
  EXPECT_EQ(packet.port_in(), 3);
}

TEST(Packet, ArgumentsThatWouldWrapAroundAreRefused) {
  uint8_t buffer[256];
  Packet packet(buffer, sizeof(buffer), 128, 64, 0);
  EXPECT_FALSE(packet.prepend(UINT32_MAX));
  EXPECT_FALSE(packet.append(UINT32_MAX - 10));
  EXPECT_FALSE(packet.strip_front(UINT32_MAX));
  EXPECT_FALSE(packet.strip_back(UINT32_MAX));
  EXPECT_EQ(packet.size(), 64u);
}

TEST(Burst, OriginatesAsLongAsThereAreBlanks) {
  uint8_t buffer[256];
  Packet packets[1], blanks[1] = {Packet(buffer, sizeof(buffer), 128, 0, 0xff)};
  Burst burst(packets, blanks, 1);
  EXPECT_EQ(burst.originate(129), nullptr);  // too long for the buffer: the blank is not used up
  EXPECT_EQ(burst.originated(), 0u);
  ASSERT_NE(burst.originate(128), nullptr);
  EXPECT_EQ(burst.originate(1), nullptr);
  EXPECT_EQ(burst.originated(), 1u);
}

// The core as the runtime would hook it: how deep it was given up, and how often.
struct Hooked {
  Hooked() {
    core_handle.loop = this;
    core_handle.release = [](void* self) { ++static_cast<Hooked*>(self)->depth; };
    core_handle.regain = [](void* self) {
      --static_cast<Hooked*>(self)->depth, ++static_cast<Hooked*>(self)->regained;
    };
  }
  ~Hooked() { core_handle = {}; }
  int depth = 0, regained = 0;
};

TEST(WithoutCore, WorkIsDoneWithoutIt) {
  Hooked core;
  int value = 1;
  EXPECT_EQ(without_core([&] { return core.depth + without_core([&] { return core.depth; }); }), 3);
  int& same = without_core([&]() -> int& { return value; });
  EXPECT_EQ(&same, &value);
  without_core([&] { value = 2; });
  EXPECT_EQ(value, 2);
  EXPECT_THROW(without_core([&] { throw core.depth; }), int);
  EXPECT_EQ(core.depth, 0);
  EXPECT_EQ(core.regained, 5);
}

TEST(WithoutCore, WhereThereIsNoneItIsDoneAllTheSame) {
  EXPECT_EQ(without_core([] { return 7; }), 7);
}

TEST(Checksum, OfRfc1071sExample) {
  const Frame words{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  uint8_t field[2];
  checksum_finish(field, checksum_add(words.data(), words.size()));
  EXPECT_EQ(load_be16(field), static_cast<uint16_t>(~0xddf2));
}

TEST(Checksum, UpdateEqualsANewSumForAllWords) {
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    Frame header(20);
    for (uint8_t& byte : header) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : 0);
    header[10] = header[11] = 0;
    header[0] |= 1;  // an IP header is never all zeroes
    checksum_finish(header.data() + 10, checksum_add(header.data(), 20));
    const uint16_t before = load_be16(header.data() + 8);
    store_be16(header.data() + 8, static_cast<uint16_t>(random()));
    checksum_update(header.data() + 10, before, load_be16(header.data() + 8));
    ASSERT_TRUE(checksum_holds(header.data(), 20)) << i;
  }
}

TEST(Checksum, OddLengths) {
  const Frame bytes{0x12, 0x34, 0x56};
  EXPECT_EQ(checksum_fold(checksum_add(bytes.data(), 3)), __builtin_bswap16(0x1234 + 0x5600));
}

TEST(TokenBucket, StartsFullAndEarnsItsRateExactly) {
  const TokenRate rate = TokenRate::make(3, 10);
  TokenBucket bucket;
  EXPECT_TRUE(bucket.spend(10, 5, rate));
  EXPECT_FALSE(bucket.spend(1, 5, rate));
  uint64_t got = 0;
  for (uint64_t now = 5; now <= 5 + 100 * kNanosPerSecond; now += 7'777'777)
    got += bucket.spend(1, now, rate);
  EXPECT_GE(got, 299u);
  EXPECT_LE(got, 300u);
}

TEST(TokenBucket, LongSilenceFillsItAndNoMore) {
  // 2^34 tokens/s * 2^31 ns is 0 modulo 2^64: time must be cut before it is multiplied.
  const TokenRate rate = TokenRate::make(uint64_t{1} << 34, 1u << 30);
  TokenBucket bucket;
  EXPECT_TRUE(bucket.spend(1u << 30, 1, rate));
  EXPECT_EQ(bucket.tokens(1 + (uint64_t{1} << 31), rate), 1u << 30);
  EXPECT_EQ(bucket.tokens(UINT64_MAX / 2, rate), 1u << 30);
}

TEST(TokenBucket, AfterARefusalItMayHoldMoreForASecond) {
  const TokenRate rate = TokenRate::make(1000, 100, 400);
  constexpr uint64_t kMs = 1'000'000, kBegin = 5 * kNanosPerSecond;
  TokenBucket bucket;
  EXPECT_EQ(bucket.tokens(kBegin, rate), 100u);
  EXPECT_TRUE(bucket.spend(100, kBegin, rate));
  EXPECT_EQ(bucket.tokens(kBegin + 300 * kMs, rate), 100u) << "nobody was refused";
  EXPECT_FALSE(bucket.spend(101, kBegin + 300 * kMs, rate));
  EXPECT_EQ(bucket.tokens(kBegin + 500 * kMs, rate), 300u);
  EXPECT_EQ(bucket.tokens(kBegin + 1000 * kMs, rate), 400u);
  EXPECT_EQ(bucket.tokens(kBegin + 1300 * kMs, rate), 100u) << "a second is over";
}

TEST(TokenBucket, ASmallerBurstTakesEffectAtOnceAndTimeNeverRunsBackwards) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.tokens(1000, TokenRate::make(1, 1000)), 1000u);
  EXPECT_EQ(bucket.tokens(1000, TokenRate::make(1, 10)), 10u);
  EXPECT_EQ(bucket.tokens(500, TokenRate::make(1'000'000'000, 100)), 10u);
}

TEST(Text, LinesOfWords) {
  WordLines lines("# only a comment\n\n a  b\t# c\r\n\nlast");
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.number(), 3u);
  EXPECT_EQ(lines.words(), (std::vector<std::string_view>{"a", "b"}));
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.number(), 5u);
  EXPECT_FALSE(lines.next());
}

TEST(Text, Addresses) {
  std::string why;
  EXPECT_EQ(parse_prefix("10.0.0.0/8", why)->length, 8);
  EXPECT_EQ(parse_prefix("10.0.0.1", why)->length, 32);
  EXPECT_EQ(parse_prefix("0.0.0.0/0", why)->length, 0);
  EXPECT_TRUE(parse_prefix("2001:db8::/32", why)->ipv6);
  EXPECT_EQ(parse_prefix("::1", why)->length, 128);
  for (const char* bad : {"", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "a.b.c.d",
                          "10.0.0.0/8/8", "256.0.0.1", "2001:db8::1::2"}) {
    EXPECT_FALSE(parse_prefix(bad, why)) << bad;
    EXPECT_NE(why.find(bad), why.npos) << why;
  }
  EXPECT_FALSE(parse_prefix("10.1.2.3/8", why));
  EXPECT_NE(why.find("write 10.0.0.0/8"), why.npos) << why;
}

TEST(Text, Macs) {
  EXPECT_EQ(parse_mac("02:00:00:00:00:fF"), (MacAddress{2, 0, 0, 0, 0, 0xff}));
  for (const char* bad : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01",
                          "2:0:0:0:0:1", "02:00:00:00:00:001", "+2:00:00:00:00:01"})
    EXPECT_FALSE(parse_mac(bad)) << bad;
}

}  // namespace
}  // namespace mayfly
