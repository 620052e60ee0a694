// The wake table: 64 bytes per instance, dense, apart from the slots.
//
// Sleeping and waking (the Promela model is models/wake.pml):
//
//   NF                                     vSwitch
//   1 word = kAsleep                       a push packets, publish the ring index
//   2 full fence                           b full fence (one for all NFs of a turn)
//   3 packets in the ring? word = kAwake,  c word == kAsleep?  exchange it for kAwake;
//     go on                                  it was kAsleep: futex wake / post / eventfd write
//   4 wait while word == kAsleep
//
// Whichever of 2 and b comes second sees the other side's write: either the NF finds the packet
// at 3, or the vSwitch finds the NF asleep at c. Drop a fence, or the re-check at 3, and a wake-up
// is lost; the ageing timer would only hide it. The vSwitch runs b and c only for an NF that its
// wake policy calls ready; below the batch threshold the NF may sleep on packets by design.
//
// The word is a hint as far as the vSwitch is concerned: an NF that lies costs itself latency, and
// the vSwitch at most one useless wake per turn.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <cstdint>

#include "runtime/base/types.h"

namespace mayfly {

inline constexpr uint32_t kAwake = 0;
inline constexpr uint32_t kAsleep = 1;

struct alignas(kCacheLineBytes) WakeEntry {
  std::atomic<uint32_t> word;      // NF writes kAsleep, vSwitch exchanges it for kAwake
  std::atomic<uint32_t> core;      // the NF core it runs on: index into cores.nfs
  uint32_t reserved_words[2];
  std::atomic<uint64_t> tick_due;  // TSC at which tick() is due; 0: this NF has no tick
  sem_t semaphore;                 // dispatch `semaphore` only
  uint8_t reserved[8];
};
static_assert(sizeof(sem_t) == 32 && sizeof(WakeEntry) == 64);

// Doorbells: how the vSwitch finds the NFs with output without looking at all of them. One bit per
// slot, and above it one summary bit per 64 slots.
//
//   NF                                vSwitch
//   publish output                    take and clear a summary word   (exchange)
//   set own bit      (fetch_or)       for each set bit: take and clear its doorbell word
//   set summary bit  (fetch_or)       for each set bit: read that NF's output
//
// Both steps are single atomic operations and unconditional: an NF preempted or killed between
// them delays only itself (its death is reported and its ring drained), and a bit set after the
// vSwitch has cleared the word is followed by its summary bit, which the next turn finds.
struct DoorbellView {
  std::atomic<uint64_t>* words;    // [slots / 64]
  std::atomic<uint64_t>* summary;  // [slots / 4096]

  // release: the output ring index is visible before the bit is (pairs with the vSwitch's acquire)
  void ring(SlotId slot) const {
    const uint32_t i = raw(slot);
    words[i / 64].fetch_or(uint64_t{1} << (i % 64), std::memory_order_release);
    summary[i / 4096].fetch_or(uint64_t{1} << (i / 64 % 64), std::memory_order_release);
  }
};

}  // namespace mayfly
