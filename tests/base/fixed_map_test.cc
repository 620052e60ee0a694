#include "runtime/base/fixed_map.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace mayfly {
namespace {

struct Same {
  size_t operator()(uint32_t) const { return 0; }
};
struct LastSixBits {
  size_t operator()(uint32_t key) const { return key & 63; }
};
struct Mixed {
  size_t operator()(uint32_t key) const { return key * 0x9e3779b9u; }
};

TEST(FixedMap, PutFindErase) {
  FixedMap<uint32_t, int, Mixed> map(4);
  EXPECT_EQ(map.find(7), nullptr);
  map.put(7, 70);
  map.put(7, 71);
  ASSERT_NE(map.find(7), nullptr);
  EXPECT_EQ(*map.find(7), 71);
  EXPECT_EQ(map.size(), 1u);
  map.erase(8);
  map.erase(7);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find(7), nullptr);
}

TEST(FixedMap, HoldsItsCapacityWhateverTheHash) {
  FixedMap<uint32_t, uint32_t, Same> map(100);
  for (uint32_t k = 0; k < 100; ++k) map.put(k, k);
  for (uint32_t k = 0; k < 100; ++k) EXPECT_EQ(*map.find(k), k);
  EXPECT_EQ(map.find(100), nullptr);
}

// Against a map that is known to be right, with runs that wrap round the end of the table.
template <class Hash>
void churn(uint32_t keys, size_t capacity, int rounds) {
  FixedMap<uint32_t, int, Hash> map(capacity);
  std::unordered_map<uint32_t, int> reference;
  std::mt19937 random(1);
  for (int i = 0; i < rounds; ++i) {
    const uint32_t key = random() % keys;
    if (random() % 2 == 0) {
      map.erase(key);
      reference.erase(key);
    } else if (reference.size() < capacity || reference.contains(key)) {
      map.put(key, i);
      reference[key] = i;
    }
    ASSERT_EQ(map.size(), reference.size());
    const uint32_t other = random() % keys;
    const int* found = map.find(other);
    const auto wanted = reference.find(other);
    ASSERT_EQ(found != nullptr, wanted != reference.end());
    if (found != nullptr) {
      ASSERT_EQ(*found, wanted->second);
    }
  }
  for (const auto& [key, value] : reference) ASSERT_EQ(*map.find(key), value);
}

TEST(FixedMap, ForgetsNothingInAMillionChanges) { churn<Mixed>(3000, 1000, 1'000'000); }
TEST(FixedMap, ForgetsNothingInLongRunsThatWrap) { churn<LastSixBits>(200, 48, 200'000); }

}  // namespace
}  // namespace mayfly
