#include "runtime/abi/descriptor.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

struct Row {
  const char* name;
  uint32_t buffer, generation, offset, length;
  uint8_t op, argument;
};

constexpr Row kRows[] = {
    {"all zero", 0, 0, 0, 0, 0, 0},
    {"all ones", (1u << kBufferIndexBits) - 1, 15, 2047, 65535, 7, 255},
    {"a packet as it arrives", 4711, 3, kHeadroomBytes, 64, 0, 2},
    {"index alone", (1u << kBufferIndexBits) - 1, 0, 0, 0, 0, 0},
    {"generation alone", 0, 15, 0, 0, 0, 0},
    {"offset alone", 0, 0, 2047, 0, 0, 0},
    {"length alone", 0, 0, 0, 65535, 0, 0},
    {"op alone", 0, 0, 0, 0, 7, 0},
    {"argument alone", 0, 0, 0, 0, 0, 255},
};

TEST(Descriptor, EveryFieldComesBackAndTouchesNoOther) {
  for (const Row& r : kRows) {
    SCOPED_TRACE(r.name);
    const Descriptor d =
        Descriptor::make(BufferId{r.buffer}, r.generation, r.offset, r.length, r.op, r.argument);
    EXPECT_EQ(raw(d.buffer()), r.buffer);
    EXPECT_EQ(d.generation(), r.generation);
    EXPECT_EQ(d.offset(), r.offset);
    EXPECT_EQ(d.length(), r.length);
    EXPECT_EQ(d.op(), r.op);
    EXPECT_EQ(d.argument(), r.argument);
  }
}

TEST(Descriptor, GenerationWrapsAtFourBits) {
  EXPECT_EQ(Descriptor::make(BufferId{1}, 16, 0, 0, 0, 0).generation(), 0u);
  EXPECT_EQ(Descriptor::make(BufferId{1}, 31, 0, 0, 0, 0).generation(), 15u);
}

TEST(Descriptor, AVerdictKeepsBufferAndGeneration) {
  const Descriptor d =
      Descriptor::make(BufferId{99}, 7, 128, 60, static_cast<uint8_t>(ToNf::packet), 3);
  const Descriptor v = d.with(FromNf::out, 5, 120, 68);
  EXPECT_EQ(v.buffer(), BufferId{99});
  EXPECT_EQ(v.generation(), 7u);
  EXPECT_EQ(v.op(), static_cast<uint8_t>(FromNf::out));
  EXPECT_EQ(v.argument(), 5);
  EXPECT_EQ(v.offset(), 120u);
  EXPECT_EQ(v.length(), 68u);
}

TEST(Descriptor, AnyBitPatternCanBeRead) {
  // The vSwitch reads what an NF wrote: every accessor is total and within its field's range.
  uint64_t bits = 0x9e3779b97f4a7c15;
  for (int i = 0; i < 10000; ++i, bits = bits * 6364136223846793005u + 1442695040888963407u) {
    const Descriptor d{bits};
    EXPECT_LT(raw(d.buffer()), 1u << kBufferIndexBits);
    EXPECT_LT(d.offset(), 2048u);
    EXPECT_LE(d.length(), 65535u);
    EXPECT_LT(d.op(), kFromNfCount);
    const Descriptor again =
        Descriptor::make(d.buffer(), d.generation(), d.offset(), d.length(), d.op(), d.argument());
    EXPECT_EQ(again.bits, bits);
  }
}

}  // namespace
}  // namespace mayfly
