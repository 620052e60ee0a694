// The vSwitch's private records: who is bound to what, who holds how much. Nothing here is mapped
// by any NF. All indices are dense, all tables are sized at start (allocate, then freeze).
//
//   flow (flowdir) -> ChainBinding (chain, key) -> Instance per chain position -> slot, wake entry
//                                          -> Vacancy where an instance is missing
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/abi/slot.h"
#include "runtime/arena/arena.h"
#include "runtime/base/histogram.h"
#include "runtime/base/limits.h"
#include "runtime/base/types.h"
#include "runtime/config/config.h"
#include "runtime/vswitch/idle_pool.h"
#include "scheduler/baton_queue.h"
#include "scheduler/fair_clock.h"
#include "scheduler/ready_order.h"
#include "scheduler/wake_policy.h"

namespace mayfly {

enum class InstanceState : uint8_t {
  free,      // no process
  idle,      // forked and parked, in its NF's idle stack
  bound,
  draining,  // its binding is gone; packets of it are still inside
  dead,      // condemned: nothing more is taken from it; it may still run
  dying,     // its death was reported and is being dealt with
};

// One NF instance: one cache line.
struct alignas(kCacheLineBytes) Instance {
  Slot* slot = nullptr;
  const WakeParams* wake_params = nullptr;
  WakeState wake;              // 24 bytes
  uint32_t in_produced = 0;    // our end of its input ring
  uint32_t out_consumed = 0;   // our end of its output ring
  BindingId binding = kNone<BindingId>;
  uint16_t held = 0;           // packets it holds: waiting, in work, or returned and not collected
  NfId nf = kNone<NfId>;
  InstanceState state = InstanceState::free;
  uint8_t position = 0;        // in its binding's chain
  uint8_t loaned = 0;          // blank buffers it holds
  bool touched = false;        // in this turn's list of rings to publish
  bool in_ready = false;       // in the queue of NFs that are to be woken
  uint8_t window = 0;          // the last measuring window in which it gave back a packet
  uint16_t pushed = 0;         // packets put into its ring this turn
};
static_assert(sizeof(WakeState) == 24 && sizeof(Instance) == 64);

enum class BindingState : uint8_t {
  free,
  live,
  retiring,  // superseded (tenant changed) or released: its packets go on, no new ones come
  retired,   // instances given back; flows still point here until their next packet or expiry
};

// An entry of ChainBinding::places: a slot, or a vacancy.
inline constexpr uint32_t kVacantBit = 1u << 31;

struct alignas(kCacheLineBytes) ChainBinding {
  uint32_t places[kChainNfCountMax];  // SlotId, or kVacantBit | vacancy number
  // second line
  ChainId chain{};
  uint8_t length = 0;                 // places in use; 0: bypass
  BindingState state = BindingState::free;
  uint8_t crashes = 0;                // deaths in quick succession, for the back-off
  bool tenant_counted = false;        // its packets count against tenant.packets
  TenantId tenant = kNone<TenantId>;
  uint32_t flow_count = 0;
  BindingId next_of_tenant = kNone<BindingId>;
  BindingId previous_of_tenant = kNone<BindingId>;
  uint64_t last_crash_tsc = 0;
  uint64_t gate = 0;           // what waits until this one is drained, if any: the number of the
  uint32_t gated_vacancy = 0;  // gate, and the vacancy behind it
  FlowId ends[2] = {kNone<FlowId>, kNone<FlowId>};  // its first two flows: both ways of a connection
  PortId out = kNone<PortId>;  // of the rule that made it: for packets its NFs originate
};
static_assert(sizeof(ChainBinding) == 128);

// A place of a binding that has no instance yet (fork under way, pool empty, instance died, or
// waiting for its predecessor to drain), and the packets that wait for one, in order.
struct Vacancy {
  BindingId binding = kNone<BindingId>;
  uint8_t position = 0;
  uint64_t gate = 0;          // closed until its predecessors are drained: a number never used
  uint32_t predecessors = 0;  // again, so that no late one opens another's; 0: open
  SlotId reserved = kNone<SlotId>;  // behind a gate: is bound here, and then takes the packets
  bool backing_off = false;         // its NF keeps crashing here: no instance for a while
  bool queued = false;    // in its NF's queue for instances
  uint32_t first = 0xffffffff;  // backlog: BufferIds linked by PacketMeta::link
  uint32_t last = 0xffffffff;
  uint32_t count = 0;
};

// What an NF kind of the configuration has, as the vSwitch sees it.
struct NfRecord {
  IdlePool idle;
  std::vector<uint32_t> vacancies;      // a ring buffer of vacancies waiting for an instance
  uint32_t vacancy_head = 0;
  uint32_t vacancy_count = 0;
  uint32_t held_max = 0;                // packets an instance may hold
  uint32_t blanks = 0;                  // lent at bind time
  Cycles tick_period{0};
  BlobId blob = kNone<BlobId>;          // its own arguments
  uint32_t bound_count = 0;
  uint64_t binds = 0, recycles = 0, deaths = 0;
};

// Orders by key: how many NFs are put into the queue that holders see, which cannot be reordered.
// As few as keep holders from waiting for the vSwitch: the number doubles when the queue was found
// empty although more were ready, and falls by one when half of it was not needed.
struct ShownNfs {
  static constexpr uint32_t kMin = 2, kMax = 64;
  uint32_t max = kMin;
  bool cut = false;                 // the last time, `max` was what ended it
  // What the owner had read when that last changed, and when that was.
  SlotId owner = kNone<SlotId>;
  uint32_t owner_consumed = 0;
  Cycles progress{0};
};

// Dispatch `baton`: one NF core.
struct CoreRecord {
  CoreRecord(CoreBaton& core, bool by_key, uint32_t slot_count)
      : queue(core), ready(by_key, slot_count) {
    recent.fill(kNone<SlotId>);
  }
  BatonQueue queue;                 // what holders see of the order
  ReadyOrder ready;                 // behind it: those who have no place there yet
  BatonHead seen;                   // the head when it last moved, ...
  Cycles held_since{0};             // ... and when that was
  Cycles moved{0};                  // the same, or when last nobody waited
  bool nudged = false;              // the owner was woken once more
  bool reported = false;            // the control thread was asked to judge its owner
  uint64_t revocations = 0, nudges = 0;
  // Cycles from joining the queue (fifo) or from being ready (by key) to having the baton.
  Histogram delay;
  ShownNfs shown;                   // orders by key
  FairClock clock;                  // order `weighted`, and whom it runs for
  SlotId serving = kNone<SlotId>;
  Cycles sampled{0};                // when `load` was sampled last, ...
  uint64_t idle_cycles = 0;         // ... how long the core had been idle by then, ...
  uint64_t delay_cycles = 0;        // ... and since: the sum of delays, ...
  uint32_t delays = 0;              // ... and how many there were
  float load = 0;                   // placement.cc
  std::array<SlotId, 64> recent;    // who had the baton last; a ring
  uint32_t turns = 0;               // its index
  uint64_t arrivals = 0;            // instances that were moved here
};

struct TenantRecord {
  bool live = false;
  bool chain_overridden = false;
  uint32_t weight = 100;
  ChainId chain{};
  uint32_t packets_held = 0;
  BindingId bindings = kNone<BindingId>;    // list through ChainBinding::next_of_tenant
  BindingId outdated = kNone<BindingId>;    // the same, of those that a change has still to reach
  std::vector<std::pair<NfId, BlobId>> blobs;
  uint64_t packets = 0, bytes = 0, limit_drops = 0;
};

// One configuration in the bind region.
struct BlobRecord {
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

struct ChainRecord {
  std::vector<NfId> nfs;
  std::array<WakeParams, kChainNfCountMax> wake;
  std::array<uint32_t, kChainNfCountMax> weight;
};

}  // namespace mayfly
