#include "flowdir/key_hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace mayfly {
namespace {

constexpr uint32_t kKeyBits = 56 * 8;  // the last eight bytes are always zero

PacketKey random_key(std::mt19937_64& random) {
  PacketKey key{};
  uint64_t words[7];
  for (uint64_t& word : words) word = random();
  std::memcpy(static_cast<void*>(&key), words, sizeof words);
  return key;
}
PacketKey flipped(PacketKey key, uint32_t bit) {
  reinterpret_cast<uint8_t*>(&key)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  return key;
}

TEST(KeyHash, EveryKeyBitMovesEveryHashBit) {
  constexpr int kRounds = 400;
  std::mt19937_64 random(1);
  std::vector<std::vector<int>> flips(kKeyBits, std::vector<int>(64, 0));
  for (int round = 0; round < kRounds; ++round) {
    const KeyHash hash(random());
    const PacketKey key = random_key(random);
    for (uint32_t bit = 0; bit < kKeyBits; ++bit) {
      const uint64_t changed = hash(key) ^ hash(flipped(key, bit));
      for (int i = 0; i < 64; ++i) flips[bit][i] += changed >> i & 1;
    }
  }
  // Half of the time; six standard deviations of 400 tosses are 60.
  for (uint32_t bit = 0; bit < kKeyBits; ++bit) {
    for (int i = 0; i < 64; ++i) {
      ASSERT_NEAR(flips[bit][i], kRounds / 2, 60) << "key bit " << bit << ", hash bit " << i;
    }
  }
}

// Flows as they come: counting addresses and ports. Bucket number, second bucket and tag are taken
// from three parts of the hash; each part must spread evenly.
TEST(KeyHash, SpreadsNeighbouringFlows) {
  constexpr uint32_t kFlows = 1u << 20, kCells = 1u << 12;
  const KeyHash hash(3);
  for (const int shift : {0, 20, 48, 52}) {
    std::vector<uint32_t> cells(kCells, 0);
    for (uint32_t i = 0; i < kFlows; ++i) {
      PacketKey key{};
      key.src_ip[15] = static_cast<uint8_t>(i);
      key.src_ip[14] = static_cast<uint8_t>(i >> 8);
      key.dst_port = Be16::of(static_cast<uint16_t>(i >> 16));
      ++cells[hash(key) >> shift & (kCells - 1)];
    }
    const double expected = double(kFlows) / kCells;
    double chi_square = 0;
    for (const uint32_t n : cells) chi_square += (n - expected) * (n - expected) / expected;
    // Mean kCells - 1, standard deviation sqrt(2 (kCells - 1)): six of those either way.
    EXPECT_NEAR(chi_square, kCells - 1, 6 * std::sqrt(2.0 * kCells)) << "shift " << shift;
  }
}

// Flows that were found to collide under one secret are strangers under another.
TEST(KeyHash, CollisionsDoNotOutliveTheSecret) {
  constexpr uint32_t kFlows = 1u << 18, kBuckets = 1u << 12;
  const KeyHash known(1), fresh(2);
  std::mt19937_64 random(5);
  std::vector<PacketKey> colliding;
  for (uint32_t i = 0; i < kFlows; ++i) {
    const PacketKey key = random_key(random);
    if (known(key) % kBuckets == 17) colliding.push_back(key);
  }
  ASSERT_GT(colliding.size(), 30u);
  std::map<uint64_t, uint32_t> buckets;
  uint32_t worst = 0;
  for (const PacketKey& key : colliding) {
    worst = std::max(worst, ++buckets[fresh(key) % kBuckets]);
  }
  EXPECT_LE(worst, 4u);
}

TEST(KeyHash, TheSameSecretGivesTheSameHash) {
  std::mt19937_64 random(9);
  const PacketKey key = random_key(random);
  EXPECT_EQ(KeyHash(7)(key), KeyHash(7)(key));
  EXPECT_NE(KeyHash(7)(key), KeyHash(8)(key));
  EXPECT_NE(fresh_secret(), fresh_secret());
}

}  // namespace
}  // namespace mayfly
