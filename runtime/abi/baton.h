// The baton of one NF core: at most one NF of the core, the holder, is awake.
//
//   tail, entries   written by the vSwitch alone: the NFs that are ready, in the order it decided
//   head            one word: epoch (31 bits) | parked (1) | index (32); whoever changes it does so
//                   by compare-and-swap
//
// Everything follows from the head. entries[index - 1] is the owner, entries[index .. tail) wait.
//
//   hand over   holder:  head (e, 0, i) -> (e, 0, i + 1), then wake entries[i]
//   park        holder:  head (e, 0, i) -> (e, 1, i), look again, sleep
//   grant       vSwitch: head (e, 1, i) -> (e + 1, 0, i + 1), then wake entries[i]
//   revoke      vSwitch: head (e, _, i) -> (e + 1, 0, i + 1), then wake entries[i]; or, if nobody
//                        waits, -> (e + 1, 1, i)
//
// An NF may hold the baton if and only if it finds itself to be the owner of an unparked head; the
// wake word (wake.h) is no more than a hint to look. So
//
//   - there are never two owners, whatever is paused or killed wherever;
//   - a holder that was revoked while it slept, at any instruction, can at most try one
//     compare-and-swap, which fails, because within an epoch the owner alone moves the head, and an
//     epoch never comes back (nor does one who parked, and was paused before he could take it back,
//     find an index that has gone once around: hence the new epoch of a grant);
//   - a holder killed between its compare-and-swap and its wake leaves an owner that sleeps: the
//     vSwitch sees that the head does not move, finds the owner asleep, and wakes it (a second
//     hint does no harm);
//   - the vSwitch always knows who owns the baton, and nobody else needs to.
//
// An NF is in the queue at most once and the queue is shorter than its ring, so that entries never
// overflow and entries[index - 1] is never overwritten while it is needed.
//
// Sleeping (models/baton.pml): an NF that lets go of the baton with packets left in its ring rings
// its doorbell, and the vSwitch makes it ready again. The vSwitch makes an NF ready for new packets
// unless it is the owner. Each side writes (head; ring index), fences, then reads what the other
// writes, so one of them notices.
//
// Away (SlotFromNf::absence; BatonSeat::leave() and come_back()): an NF that is to wait for something
// else says `away`, then hands over or parks as above, whatever its own ring holds. The vSwitch puts
// nobody who is away into the queue. To come back it says `back` and rings its bell: that makes it
// ready, packets or not, and it sleeps until it owns the head, by the rules above. So
//
//   - nothing is new about the head: leaving is a hand-over or a park, coming back a ready NF that
//     sleeps, and models/baton.pml covers both;
//   - it cannot be forgotten: `back` is written before the bell is rung, the vSwitch reads it after it
//     heard the bell, and the bell is rung before each sleep, so that one whose baton was revoked
//     before it woke asks again;
//   - one that was in the queue already (for a tick) may be given the baton while it is away: the
//     vSwitch sees an owner that is away and takes it back at its next look, which counts as no
//     overrun. If it comes back at that very moment, it owns the head or it does not;
//   - one whose baton was revoked while it worked, and goes away then, tries an exchange that fails,
//     and comes back like the others; one that is killed while away owns nothing.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/base/types.h"

namespace mayfly {

inline constexpr uint32_t kReadyEntries = 512;          // a power of two
inline constexpr uint32_t kNobody = 0xffffffff;         // an entry whose NF died while it waited
inline constexpr uint32_t kCoreBytes = 4096;

struct BatonHead {
  uint64_t word = 0;

  static constexpr BatonHead make(uint32_t epoch, bool parked, uint32_t index) {
    return {uint64_t{epoch} << 33 | uint64_t{parked} << 32 | index};
  }
  constexpr uint32_t epoch() const { return static_cast<uint32_t>(word >> 33); }
  constexpr bool parked() const { return (word >> 32 & 1) != 0; }
  constexpr uint32_t index() const { return static_cast<uint32_t>(word); }
  bool operator==(const BatonHead&) const = default;
};

struct CoreBaton {
  alignas(kCacheLineBytes) std::atomic<uint32_t> tail;
  std::atomic<uint32_t> wanted;  // a hint: others are ready too, and not in the queue yet
  // Written by NFs, seldom: how often one of the core has gone away. While it is 0, the vSwitch
  // need not look for who has.
  std::atomic<uint32_t> absences;
  alignas(kCacheLineBytes) std::atomic<uint64_t> head;
  // Written by holders, for people: hints.
  alignas(kCacheLineBytes) std::atomic<uint64_t> handovers;
  std::atomic<uint64_t> kept;   // the next was the holder itself: no switch
  std::atomic<uint64_t> parks;
  std::atomic<uint64_t> idle_cycles;  // how long nobody had anything to do, ...
  std::atomic<uint64_t> idle_since;   // ... and since when (TSC) nobody has; 0: somebody works
  alignas(kCacheLineBytes) std::atomic<uint32_t> entries[kReadyEntries];

  std::atomic<uint32_t>& entry(uint32_t index) { return entries[index % kReadyEntries]; }
};
static_assert(sizeof(CoreBaton) <= kCoreBytes);

}  // namespace mayfly
