// A slot: everything one NF instance and the vSwitch share, except the wake entry (wake.h).
//
//   line 0  written by the vSwitch   ring indices, bind sequence, where the configuration lies
//   line 1  written by the NF        ring indices, acknowledgements, counters, cost samples
//   line 2  written by the vSwitch   the key it is bound to (read at bind time only)
//   then    input ring entries, output ring entries
//
// Life of a slot: free -> idle (forked, parked) -> bound -> draining -> idle; dead from anywhere.
// The state itself is private to the vSwitch. What the NF sees of it is `bind_seq`:
//
//   odd            the vSwitch is writing the bind fields: read again
//   even, changed  a new binding (bind_epoch changed: reset() first, then bind()), or the same
//                  one with another configuration (bind_epoch unchanged: bind() alone)
//
// so that binding and recycling are a few stores: an idle instance is not woken to be reset; it
// resets itself in the activation that brings the first packet of its next flow.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/abi/ring.h"
#include "runtime/base/limits.h"
#include "runtime/base/types.h"

namespace mayfly {

// What an instance is bound to. `kind` says how `bytes` is to be read.
enum class KeyKind : uint8_t {
  none = 0,
  mac = 1,         // bytes 0..5
  vlan = 2,        // Be16 outer tag, Be16 inner tag (0 when there is no inner one)
  address = 3,     // 16 bytes, IPv4 as ::ffff:a.b.c.d
  ip_pair = 4,     // two addresses, the smaller first
  five_tuple = 5,  // two (address, Be16 port) ends, the smaller first, then the protocol
  rule = 6,        // the rule's number, little endian, 2 bytes
};

inline constexpr uint32_t kKeyBytes = 38;  // 2 * (16 + 2) + 1, padded to even

struct InstanceKey {
  KeyKind kind = KeyKind::none;
  uint8_t reserved = 0;
  uint8_t bytes[kKeyBytes] = {};
  bool operator==(const InstanceKey&) const = default;
};
static_assert(sizeof(InstanceKey) == 40);

inline constexpr uint32_t kSlotBound = 1;  // flags: serves a flow now (not: idle in the pool)

struct alignas(kCacheLineBytes) SlotFromSwitch {
  RingIndex in_produced;               // input ring, producer
  RingIndex out_consumed;              // output ring, consumer
  std::atomic<uint32_t> bind_seq;      // see above
  std::atomic<uint32_t> bind_epoch;    // counts bindings; 0: never bound
  std::atomic<uint32_t> config_offset; // into the bind region
  std::atomic<uint32_t> config_bytes;  // at most kBindBytesMax
  std::atomic<uint32_t> tenant;        // TenantId of this binding
  std::atomic<uint32_t> flags;         // kSlotBound
  uint8_t reserved[32];
};
static_assert(sizeof(SlotFromSwitch) == 64);

// Has an NF given its core up to wait for something else?
enum class Absence : uint32_t {
  present = 0,
  away = 1,  // it could do nothing with the baton
  back = 2,  // it wants the baton, packets or not
};

struct alignas(kCacheLineBytes) SlotFromNf {
  RingIndex in_consumed;                // input ring, consumer: published when a burst is taken,
                                        // before it is processed: what dies with the NF is lost,
                                        // what waits is not
  RingIndex out_produced;               // output ring, producer
  std::atomic<uint32_t> bind_seq_seen;  // the bind_seq this NF acts on (hint: frees old configs)
  std::atomic<uint32_t> pid;            // hint for people; the zygote's word counts
  std::atomic<uint64_t> packets;        // processed, for `nf ls`
  std::atomic<uint64_t> bursts;
  std::atomic<uint64_t> cost_cycles;    // sum over sampled process() calls ...
  std::atomic<uint64_t> cost_packets;   // ... and the packets in them
  std::atomic<uint64_t> held_cycles;    // of TSC at work with the baton, up to when it last let go
  std::atomic<Absence> absence;         // dispatch `baton` (baton.h)
  uint8_t reserved[4];
};
static_assert(sizeof(SlotFromNf) == 64);

struct alignas(kCacheLineBytes) SlotKey {
  InstanceKey key;
  uint8_t reserved[24];
};
static_assert(sizeof(SlotKey) == 64);

struct Slot {
  SlotFromSwitch from_switch;
  SlotFromNf from_nf;
  SlotKey bound_to;

  Descriptor* in_entries() { return reinterpret_cast<Descriptor*>(this + 1); }
  Descriptor* out_entries(uint32_t ring_entries) { return in_entries() + ring_entries; }

  static constexpr uint32_t bytes(uint32_t ring_entries) {
    return static_cast<uint32_t>(sizeof(SlotFromSwitch) + sizeof(SlotFromNf) + sizeof(SlotKey) +
                                 2 * ring_entries * sizeof(Descriptor));
  }
};
static_assert(sizeof(Slot) == 192 && Slot::bytes(kRingEntriesDefault) == 2240);

}  // namespace mayfly
