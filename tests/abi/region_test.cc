#include "runtime/abi/region.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>

namespace mayfly {
namespace {

RegionHeader header(uint32_t slots, uint32_t ring, uint32_t small, uint32_t jumbo) {
  RegionHeader h{};
  h.slot_count = slots;
  h.ring_entries = ring;
  h.small_count = small;
  h.jumbo_count = jumbo;
  h.core_count = 4;
  lay_out(h);
  return h;
}

TEST(Region, SectionsFollowEachOtherAndFit) {
  for (const uint32_t slots : {1u, 4096u, 4097u, kSlotCountMax}) {
    for (const uint32_t ring : {kRingEntriesMin, kRingEntriesDefault, kRingEntriesMax}) {
      if (slots == kSlotCountMax && ring == kRingEntriesMax) continue;
      SCOPED_TRACE(testing::Message() << slots << " slots of " << ring);
      const RegionHeader h = header(slots, ring, 1024, 4);
      EXPECT_EQ(h.magic, kRegionMagic);
      EXPECT_EQ(h.version, kAbiVersion);
      EXPECT_GE(h.slot_count, slots);
      EXPECT_EQ(h.slot_count % 4096, 0u);
      EXPECT_GE(h.wake_offset, sizeof(RegionHeader));
      EXPECT_GE(h.doorbell_offset, h.wake_offset + uint64_t{h.slot_count} * sizeof(WakeEntry));
      EXPECT_GE(h.summary_offset, h.doorbell_offset + h.slot_count / 8);
      EXPECT_GE(h.core_offset, h.summary_offset + h.slot_count / 512);
      EXPECT_GE(h.slot_offset, h.core_offset + uint64_t{h.core_count} * kCoreBytes);
      EXPECT_GE(h.control_bytes, h.slot_offset + uint64_t{h.slot_count} * h.slot_bytes);
      EXPECT_EQ(h.control_bytes % (2u << 20), 0u);
      EXPECT_EQ(h.wake_offset % 4096, 0u);
      EXPECT_EQ(h.doorbell_offset % kCacheLineBytes, 0u);
      EXPECT_EQ(h.summary_offset % kCacheLineBytes, 0u);
      EXPECT_EQ(h.slot_offset % 4096, 0u);
      EXPECT_EQ(h.slot_bytes % kCacheLineBytes, 0u);
    }
  }
}

TEST(Region, ASharedRingLiesBehindTheSlots) {
  RegionHeader h{};
  h.slot_count = 5000;
  h.ring_entries = kRingEntriesMin;
  h.small_count = 65536;
  h.jumbo_count = 64;
  h.core_count = 1;
  lay_out(h);
  EXPECT_EQ(h.shared_entries, 0u);
  EXPECT_FALSE(ControlView(nullptr, h).shared_ring().exists());
  const uint64_t without = h.control_bytes;
  h.downstream = Downstream::shared;
  lay_out(h);
  EXPECT_EQ(h.shared_entries, 131072u);
  EXPECT_GE(h.shared_tail_offset, h.slot_offset + uint64_t{h.slot_count} * h.slot_bytes);
  EXPECT_GE(h.shared_ring_offset, h.shared_tail_offset + 2 * kCacheLineBytes);
  EXPECT_EQ(h.shared_ring_offset % 4096, 0u);
  EXPECT_GE(h.control_bytes, h.shared_ring_offset + 131072u * sizeof(SharedEntry));
  EXPECT_LE(h.control_bytes, without + (4u << 20));
  auto* base = reinterpret_cast<void*>(uintptr_t{1} << 32);
  const SharedRing ring = ControlView(base, h).shared_ring();
  EXPECT_EQ(ring.size(), 131072u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(ring.tail), (uintptr_t{1} << 32) + h.shared_tail_offset);
}

TEST(Region, BuffersTileTheArena) {
  const RegionHeader h = header(1, kRingEntriesDefault, 1000, 7);
  uint64_t at = 0;
  for (uint32_t i = 0; i < 1007; ++i) {
    EXPECT_EQ(buffer_offset(BufferId{i}, h.small_count), at);
    at += buffer_bytes(BufferId{i}, h.small_count);
  }
  EXPECT_LE(at, h.arena_bytes);
  EXPECT_LT(h.arena_bytes - at, 2u << 20);
  EXPECT_EQ(buffer_bytes(BufferId{999}, 1000), kSmallBufferBytes);
  EXPECT_EQ(buffer_bytes(BufferId{1000}, 1000), kJumboBufferBytes);
}

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};

TEST(Region, TheViewKeepsItsOwnHeader) {
  const RegionHeader h = header(4096, kRingEntriesMin, 16, 0);
  std::unique_ptr<void, FreeDeleter> memory(std::aligned_alloc(4096, h.control_bytes));
  auto* base = static_cast<uint8_t*>(memory.get());
  std::memset(base, 0, h.control_bytes);
  const ControlView view(base, h);
  std::memset(base, 0xff, sizeof(RegionHeader));  // an NF scribbles over the one in the region
  EXPECT_EQ(view.header().slot_count, 4096u);
  const auto* last = reinterpret_cast<uint8_t*>(&view.slot(SlotId{4095}));
  EXPECT_EQ(last, base + h.slot_offset + 4095ull * h.slot_bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(last) % kCacheLineBytes, 0u);
  EXPECT_EQ(reinterpret_cast<uint8_t*>(&view.wake(SlotId{1})), base + h.wake_offset + 64);
}

TEST(Region, DoorbellsMarkTheSlotAndItsSummary) {
  const RegionHeader h = header(4097, kRingEntriesMin, 16, 0);
  std::unique_ptr<void, FreeDeleter> memory(std::aligned_alloc(4096, h.control_bytes));
  std::memset(memory.get(), 0, h.control_bytes);
  const DoorbellView bells = ControlView(memory.get(), h).doorbells();
  for (const uint32_t slot : {0u, 63u, 64u, 4095u, 4096u, 8191u}) bells.ring(SlotId{slot});
  EXPECT_EQ(bells.words[0], (uint64_t{1} << 63) | 1);
  EXPECT_EQ(bells.words[1], 1u);
  EXPECT_EQ(bells.words[63], uint64_t{1} << 63);
  EXPECT_EQ(bells.words[64], 1u);
  EXPECT_EQ(bells.summary[0], (uint64_t{1} << 63) | 3);
  EXPECT_EQ(bells.summary[1], (uint64_t{1} << 63) | 1);
}

}  // namespace
}  // namespace mayfly
