// One ring that all NFs of a domain give their descriptors back through (`downstream: shared`):
// many producers in processes of their own, one consumer, the vSwitch.
//
//              head (private to the vSwitch)      tail hint (shared)
//                v                                  v
//   entries: [e][F][F][F][F][F][F][F][F][F][F][F][F][e][e][e]    positions run free (64 bits);
//            <------------------ T: first position never filled ->  entry of p = entries[p & mask]
//
// An entry is 16 bytes, written by one compare-and-swap:
//
//   descriptor (64)  |  lap (45) | full (1) | slot (18)          lap = position / entries
//
//   empty(lap)        { 0, lap, 0, 0 }          may be filled in this lap, and in no other
//   full(lap, slot)   { descriptor, lap, 1, slot }
//
//   producer                                     consumer
//     p = tail hint                                entry[head] is empty(lap)? nothing has come
//     compare-and-swap entry[p]:                   it is full(lap, slot): read it, once
//       empty(lap of p) -> full(lap of p, slot)    descriptor = 0, then state = empty(lap + 1)
//     it was full already: p + 1, or the hint,     head + 1
//       whichever is further, again
//     at the end of a burst: raise the hint to p
//
// Filling an entry and taking its position is one instruction. So there is no moment between
// reserving and writing: a process killed or preempted anywhere leaves a whole entry or nothing,
// and no producer ever waits for another, nor the consumer for a producer. (A ring that moves its
// tail first and writes afterwards, as DPDK's does, stands still behind a producer that is
// preempted in between; that is why the authors of "tiny NFs" could not build this.)
//
// The invariants:
//   1 every position below the tail hint has been filled: hint <= T. A producer tries p only after
//     it has seen every position from the hint to p filled, so it fills T or nothing: no holes.
//   2 what lags (a producer died before it raised the hint) is made good by whoever comes next: it
//     steps over full entries, and over those that the vSwitch has emptied for a later lap. One
//     that was itself preempted in a burst finds the hint far ahead, and goes there.
//   3 the lap in the state makes a compare-and-swap of a producer that slept for laps fail. Without
//     it a stale one could fill an entry ahead of T: a hole, and order lost.
//   4 the descriptor is cleared before the state frees the entry: the other way round would clear
//     the next producer's.
// models/shared_ring.pml checks them, with producers killed anywhere; tests/abi/shared_ring_test.cc
// does it to processes.
//
// The ring holds all buffers of the arena and a request from each slot (kept by
// shared_ring_entries()), so NFs that behave cannot fill it. If one that does not has, push() says
// so and the others wait for the vSwitch, which takes entries whatever they hold.
//
// Trust: any NF of the domain can write anything here, as it can into another's slot; that is what
// a `shared` domain means. The consumer reads each word once, stays within the entries, and gets
// over what no producer could have written: a state that is none (skipped), a hint beyond an empty
// entry (holes skipped, or the hint set back). Such scribbling costs packets of its domain, and is
// counted.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include "runtime/abi/descriptor.h"
#include "runtime/base/limits.h"
#include "runtime/base/types.h"

namespace mayfly {

struct alignas(16) SharedEntry {
  std::atomic<uint64_t> descriptor;
  std::atomic<uint64_t> state;

  struct Both {
    uint64_t descriptor;
    uint64_t state;
    bool operator==(const Both&) const = default;
  };
  // cmpxchg16b; returns what was there. A full barrier, so: the packet's bytes before the entry
  // (pairs with the consumer's acquire), and the entry before the tail hint.
  Both compare_and_swap(Both expected, Both desired) {
    using Word [[gnu::may_alias]] = unsigned __int128;
    return std::bit_cast<Both>(__sync_val_compare_and_swap(
        reinterpret_cast<Word*>(this), std::bit_cast<unsigned __int128>(expected),
        std::bit_cast<unsigned __int128>(desired)));
  }
};
static_assert(sizeof(SharedEntry) == 16 && std::atomic<uint64_t>::is_always_lock_free);

// The state word.
inline constexpr uint32_t kSharedSlotBits = 18;
inline constexpr uint64_t kSharedFull = uint64_t{1} << kSharedSlotBits;
static_assert(kSlotCountMax == 1u << kSharedSlotBits, "a slot fits the state");

constexpr uint64_t shared_empty(uint64_t lap) { return lap << (kSharedSlotBits + 1); }
constexpr uint64_t shared_full(uint64_t lap, SlotId slot) {
  return shared_empty(lap) | kSharedFull | raw(slot);
}
constexpr uint64_t shared_lap(uint64_t state) { return state >> (kSharedSlotBits + 1); }
constexpr SlotId shared_slot(uint64_t state) {
  return SlotId{static_cast<uint32_t>(state & (kSharedFull - 1))};
}

// Entries that a ring needs so that its domain cannot fill it: one for each buffer that may be lent
// and one request for blanks from each slot. At least 2^13, with which laps of 45 bits last for 90
// years at 100 M descriptors a second.
constexpr uint32_t shared_ring_entries(uint32_t buffers, uint32_t slots) {
  const uint32_t needed = buffers + slots;
  return std::bit_ceil(needed < (1u << 13) ? 1u << 13 : needed);
}

// Where it lies. All zero is an empty ring.
struct SharedRing {
  SharedEntry* entries = nullptr;
  uint64_t mask = 0;
  std::atomic<uint64_t>* tail = nullptr;  // the hint, on cache lines of its own

  bool exists() const { return entries != nullptr; }
  uint64_t size() const { return mask + 1; }
  SharedEntry& at(uint64_t position) const { return entries[position & mask]; }
  uint64_t lap_of(uint64_t position) const { return position >> std::popcount(mask); }
};

// An NF's end. One in each process.
class SharedRingProducer {
 public:
  SharedRingProducer() = default;
  SharedRingProducer(SharedRing ring, SlotId slot) : ring_(ring), slot_(slot) {}

  bool exists() const { return ring_.exists(); }

  // Gives one descriptor back: the consumer may have it before this returns. False: there is no
  // room (or the ring was scribbled over): nothing was written; try again later.
  bool push(Descriptor d) {
    // A hint is enough: every position below it has been filled (1).
    if (!std::exchange(in_burst_, true)) at_ = ring_.tail->load(std::memory_order_acquire);
    // A round that fails steps over an entry behind which the hint lags, or which another has just
    // filled: twice around is more than there can be.
    for (uint64_t tries = 0; tries < 2 * ring_.size() + kOthersMax; ++tries) {
      const uint64_t lap = ring_.lap_of(at_);
      const SharedEntry::Both full{d.bits, shared_full(lap, slot_)};
      SharedEntry::Both expected{0, shared_empty(lap)};
      SharedEntry::Both seen = ring_.at(at_).compare_and_swap(expected, full);
      if (seen.state == expected.state && seen.descriptor != 0) [[unlikely]] {  // scribbled
        expected = seen;
        seen = ring_.at(at_).compare_and_swap(expected, full);
      }
      if (seen == expected) {
        ++at_;
        return true;
      }
      if (!step_over(seen.state, lap)) break;
    }
    in_burst_ = false;
    return false;
  }

  uint64_t steps() const { return steps_; }  // over entries that others had filled

  // The end of a burst: raises the hint past what was pushed, for those who come next. A hint, so
  // a producer that dies before it costs nobody more than a few steps (2).
  void publish() {
    if (!std::exchange(in_burst_, false)) return;
    uint64_t hint = ring_.tail->load(std::memory_order_relaxed);
    // release: whoever sees the hint (acquire) sees the entries below it filled.
    while (hint < at_ && !ring_.tail->compare_exchange_weak(hint, at_, std::memory_order_release,
                                                            std::memory_order_relaxed)) {
    }
  }

 private:
  static constexpr uint64_t kOthersMax = 64;  // entries that others fill while we look for room

  // The entry at at_ was not empty(lap): on to the next that may be. False if it waits for the
  // consumer: the ring is full.
  bool step_over(uint64_t state, uint64_t lap) {
    const uint64_t found = shared_lap(state);
    if (found < lap || state == shared_empty(lap)) return false;
    // It was filled in lap `found`, or, if it is empty now, in the one before.
    const uint64_t laps = found - lap - ((state & kSharedFull) == 0);
    at_ += laps * ring_.size() + 1;
    const uint64_t hint = ring_.tail->load(std::memory_order_acquire);
    if (hint > at_) at_ = hint;
    ++steps_;
    return true;
  }

  SharedRing ring_;
  SlotId slot_{};
  bool in_burst_ = false;
  uint64_t steps_ = 0;
  uint64_t at_ = 0;  // every position from the hint to here has been filled
};

// The vSwitch's end.
class SharedRingConsumer {
 public:
  struct Entry {
    SlotId slot;  // as the producer wrote it: to be checked
    Descriptor descriptor;
  };

  SharedRingConsumer() = default;
  explicit SharedRingConsumer(SharedRing ring) : ring_(ring) {}

  bool exists() const { return ring_.exists(); }
  uint64_t size() const { return ring_.size(); }
  uint64_t taken() const { return head_; }           // entries passed so far
  uint64_t scribbled() const { return scribbled_; }  // of them, those that no producer wrote

  // Takes the next entries, in order, and frees them; as many as there are and fit.
  uint32_t take(std::span<Entry> out) {
    uint32_t count = 0;
    for (size_t looks = 0; looks < out.size(); ++looks) {
      SharedEntry& entry = ring_.at(head_);
      const uint64_t lap = ring_.lap_of(head_);
      // acquire pairs with the producer's compare-and-swap: descriptor and packet are visible.
      const uint64_t state = entry.state.load(std::memory_order_acquire);
      if (state == shared_empty(lap)) break;
      // Ours after this: lines on their way while we are busy with these.
      __builtin_prefetch(&ring_.at(head_ + kAhead), 1);
      const uint64_t bits = entry.descriptor.load(std::memory_order_relaxed);
      entry.descriptor.store(0, std::memory_order_relaxed);  // first (4)
      // release: the reads above and the 0 before it.
      entry.state.store(shared_empty(lap + 1), std::memory_order_release);
      ++head_;
      if (shared_lap(state) == lap && (state & kSharedFull) != 0)
        out[count++] = {shared_slot(state), {bits}};
      else
        ++scribbled_;
    }
    if (count == 0 && ++idle_looks_ % kLooksPerCheck == 0) get_over_scribbles(out.size());
    return count;
  }

 private:
  static constexpr uint64_t kAhead = 16;            // entries: 4 cache lines
  static constexpr uint32_t kLooksPerCheck = 1024;  // the hint's line belongs to the producers

  // Every position below the hint has been filled, only we empty them, and nobody is further ahead
  // of us than the ring has entries: a hint beyond an empty head is somebody's scribbling.
  void get_over_scribbles(size_t entries_max) {
    // acquire: the entries below the hint are seen filled, if they ever were.
    const uint64_t hint = ring_.tail->load(std::memory_order_acquire);
    if (hint <= head_) return;
    if (hint - head_ > ring_.size()) {
      ++scribbled_;
      ring_.tail->store(head_, std::memory_order_release);  // any hint that is not above T is right
      return;
    }
    for (size_t i = 0; i < entries_max && head_ < hint; ++i) {
      SharedEntry& entry = ring_.at(head_);
      const uint64_t lap = ring_.lap_of(head_);
      const uint64_t bits = entry.descriptor.load(std::memory_order_relaxed);
      const SharedEntry::Both hole{bits, shared_empty(lap)};
      // Only a hole: a producer may just be filling it.
      if (entry.compare_and_swap(hole, {0, shared_empty(lap + 1)}) != hole) return;
      ++head_;
      ++scribbled_;
    }
  }

  SharedRing ring_;
  uint64_t head_ = 0;
  uint64_t scribbled_ = 0;
  uint32_t idle_looks_ = 0;
};

}  // namespace mayfly
