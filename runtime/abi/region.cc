#include "runtime/abi/region.h"

namespace mayfly {
namespace {

constexpr uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

}  // namespace

void lay_out(RegionHeader& h) {
  h.magic = kRegionMagic;
  h.version = kAbiVersion;
  h.slot_count = static_cast<uint32_t>(round_up(h.slot_count, 4096));
  h.slot_bytes = Slot::bytes(h.ring_entries);
  uint64_t at = round_up(sizeof(RegionHeader), kCacheLineBytes);
  const auto section = [&at](uint64_t bytes, uint64_t align) {
    at = round_up(at, align);
    const uint64_t begin = at;
    at += bytes;
    return begin;
  };
  h.wake_offset = section(uint64_t{h.slot_count} * sizeof(WakeEntry), 4096);
  h.doorbell_offset = section(h.slot_count / 8, kCacheLineBytes);
  h.summary_offset = section(h.slot_count / 512, kCacheLineBytes);
  h.core_offset = section(uint64_t{h.core_count} * kCoreBytes, 4096);
  h.slot_offset = section(uint64_t{h.slot_count} * h.slot_bytes, 4096);
  if (h.downstream == Downstream::shared) {
    h.shared_entries = shared_ring_entries(h.small_count + h.jumbo_count, h.slot_count);
    h.shared_tail_offset = section(2 * kCacheLineBytes, 2 * kCacheLineBytes);
    h.shared_ring_offset = section(uint64_t{h.shared_entries} * sizeof(SharedEntry), 4096);
  }
  h.control_bytes = round_up(at, 2u << 20);
  h.arena_bytes = round_up(uint64_t{h.small_count} * kSmallBufferBytes +
                               uint64_t{h.jumbo_count} * kJumboBufferBytes,
                           2u << 20);
}

}  // namespace mayfly
