// What an instance maps, and where things lie in it. Three memfds per trust domain, created,
// sized, pre-faulted and sealed by the dataplane:
//
//   control  header | wake table | doorbells | cores | slots | shared ring      read and write
//   bind     configurations of the bound tenants                  read only for NFs (sealed so)
//   arena    packet buffers                                       read and write
//
// The shared ring is there if `downstream` says so: NFs then give everything back through it, and
// the output rings of the slots and the doorbells lie idle.
//
// The header gives every offset, so that sections can move or grow without a new ABI; `version`
// changes when the meaning of a field does. An instance refuses a version it does not know.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/abi/baton.h"
#include "runtime/abi/shared_ring.h"
#include "runtime/abi/slot.h"
#include "runtime/abi/wake.h"
#include "runtime/base/limits.h"

namespace mayfly {

inline constexpr uint64_t kRegionMagic = 0x00796c667961'6d31;  // "1mayfly"
inline constexpr uint32_t kAbiVersion = 2;

enum class Dispatch : uint32_t { poll = 0, semaphore = 1, eventfd = 2, futex = 3, uring = 4, baton = 5 };

// How descriptors come back: a ring for each NF and doorbells, or one ring for all of them.
enum class Downstream : uint32_t { per_nf = 0, shared = 1 };

struct RegionHeader {
  uint64_t magic;
  uint32_t version;
  Dispatch dispatch;
  uint64_t tsc_hz;
  uint32_t slot_count;     // a multiple of 4,096
  uint32_t slot_bytes;     // Slot::bytes(ring_entries)
  uint32_t ring_entries;   // power of two
  uint32_t small_count;    // arena: this many 2 KiB buffers, then ...
  uint32_t jumbo_count;    // ... this many of 64 KiB
  uint32_t core_count;     // entries of the cores section
  uint64_t control_bytes;  // sizes of the three memfds
  uint64_t bind_bytes;
  uint64_t arena_bytes;
  uint64_t wake_offset;    // offsets within `control`
  uint64_t doorbell_offset;
  uint64_t summary_offset;
  uint64_t core_offset;
  uint64_t slot_offset;
  Downstream downstream;
  uint32_t shared_entries;  // of the shared ring, a power of two; 0: there is none
  uint64_t shared_tail_offset;
  uint64_t shared_ring_offset;
  uint64_t baton_idle_cycles;  // dispatch `baton`: a holder without work polls this long, then parks
  uint32_t baton_budget;       // packets a holder may process in a row while others wait
  uint32_t baton_reports_held; // 1: holders say how long they held it (SlotFromNf::held_cycles)
};

constexpr uint64_t buffer_offset(BufferId buffer, uint32_t small_count) {
  const uint64_t i = raw(buffer);
  if (i < small_count) return i * kSmallBufferBytes;
  return uint64_t{small_count} * kSmallBufferBytes + (i - small_count) * kJumboBufferBytes;
}
constexpr uint32_t buffer_bytes(BufferId buffer, uint32_t small_count) {
  return raw(buffer) < small_count ? kSmallBufferBytes : kJumboBufferBytes;
}

// Lays the sections out; fills every offset and size of `header` from its counts.
void lay_out(RegionHeader& header);

// A mapped control region. Keeps its own copy of the header: what lies in the region can be
// scribbled by any NF of the domain, so nobody reads it there a second time.
class ControlView {
 public:
  ControlView() = default;
  ControlView(void* base, const RegionHeader& header)
      : base_(static_cast<uint8_t*>(base)), header_(header) {}

  const RegionHeader& header() const { return header_; }
  WakeEntry& wake(SlotId s) const {
    return reinterpret_cast<WakeEntry*>(base_ + header_.wake_offset)[index(s)];
  }
  Slot& slot(SlotId s) const {
    return *reinterpret_cast<Slot*>(base_ + header_.slot_offset + index(s) * header_.slot_bytes);
  }
  CoreBaton& core(uint32_t i) const {
    return *reinterpret_cast<CoreBaton*>(base_ + header_.core_offset + size_t{i} * kCoreBytes);
  }
  DoorbellView doorbells() const {
    return {reinterpret_cast<std::atomic<uint64_t>*>(base_ + header_.doorbell_offset),
            reinterpret_cast<std::atomic<uint64_t>*>(base_ + header_.summary_offset)};
  }
  // Of no entries unless `downstream` is shared.
  SharedRing shared_ring() const {
    if (header_.downstream != Downstream::shared) return {};
    return {reinterpret_cast<SharedEntry*>(base_ + header_.shared_ring_offset),
            header_.shared_entries - uint64_t{1},
            reinterpret_cast<std::atomic<uint64_t>*>(base_ + header_.shared_tail_offset)};
  }

 private:
  uint8_t* base_ = nullptr;
  RegionHeader header_{};
};

}  // namespace mayfly
