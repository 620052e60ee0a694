// The vSwitch: one lcore that takes packets from ports, finds their flow, moves their descriptors
// along a chain of NF processes, and sends them out. It is the only user of everything below.
//
//   turn:  receive -> collect -> timers -> publish -> flush -> wake
//
//   receive   ports -> parse, key, flow table -> (miss: resolve -> binding) -> input rings
//   collect   doorbells -> output rings -> checked -> next input ring | port | dropped
//   timers    ageing (O(expired)), ticks, flow expiry, vacancies
//   publish   ring indices of the rings written this turn; the wake policy's verdict on each
//   flush     ports; before the wakes, which are slow
//   wake      one fence, then the words of the NFs that are ready
//
// A turn makes no system call but wakes, allocates nothing, and does no work for an NF that has
// nothing to do. The bound on each stage is written where it stands.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "flowdir/flow_table.h"
#include "flowdir/rules.h"
#include "runtime/arena/arena.h"
#include "runtime/arena/ledger.h"
#include "runtime/base/clock.h"
#include "runtime/base/fixed_map.h"
#include "runtime/base/histogram.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/config/config.h"
#include "runtime/ports/port.h"
#include "runtime/vswitch/commands.h"
#include "runtime/vswitch/records.h"
#include "scheduler/dispatch.h"

namespace mayfly {

// Equal keys of one chain are one binding.
struct BindingKey {
  ChainId chain{};
  InstanceKey key;
  bool operator==(const BindingKey&) const = default;
};
struct BindingKeyHash {
  uint64_t secret;
  size_t operator()(const BindingKey& k) const {
    return absl::HashOf(
        secret, k.chain, k.key.kind,
        absl::string_view(reinterpret_cast<const char*>(k.key.bytes), kKeyBytes));
  }
};
struct InstanceKeyHash {
  uint64_t secret = 0;
  size_t operator()(const InstanceKey& k) const {
    return absl::HashOf(secret, k.kind,
                        absl::string_view(reinterpret_cast<const char*>(k.bytes), kKeyBytes));
  }
};

struct WakeCounters {
  uint64_t wakes = 0;         // NFs that were set to work: by a system call, or given the baton
  uint64_t remote = 0;        // system calls the vSwitch made for that
  uint64_t woken_packets = 0; // packets those NFs held then
  uint64_t ready = 0;         // verdicts `ready`, whether or not the NF slept
  uint64_t late = 0;          // FAULTS rule 6: slept on packets that should have woken it
};

struct TurnCounters {
  uint64_t turns = 0;
  uint64_t busy_cycles = 0;   // of turns that did something
  uint64_t total_cycles = 0;
  uint64_t worst_cycles = 0;
  uint64_t window_worst_cycles = 0;  // since the measuring window began
  uint64_t long_turns = 0;           // above kLongTurn
};

// What the control thread fetches when the vSwitch has asked for its attention: kept from one time
// to the next, so that nothing is allocated on the lcore.
struct Attention {
  struct PerNf {
    uint32_t idle = 0;
    uint32_t vacancies = 0;
  };
  std::vector<PerNf> nfs;
  std::vector<SlotId> condemned;   // to be killed: they broke the ABI
  std::vector<BlobId> unused;      // blobs whose last user is gone
};

// An owner of the baton who has kept others waiting for longer than `baton.slice`.
struct BatonSuspect {
  uint32_t core;
  SlotId owner;
  BatonHead head;
};

struct DeathReport {
  SlotId slot;
  bool crashed;  // of its own doing: counts for the back-off (not SIGKILL from outside)
};

// A configured wake policy as it is followed: in cycles, and 1 packet where NFs poll.
WakeParams wake_params_of(const Config& config, const WakeConfig& wake, TscRate rate);

class VSwitch {
 public:
  struct Setup {
    const Config* config;
    Arena* arena;
    ControlView control;
    std::vector<std::unique_ptr<Port>>* ports;
    Waker* waker;
    TscRate rate;
    int attention_fd;  // an eventfd: written when the control thread has something to fetch
    Cycles (*clock)() = tsc_now;
  };
  explicit VSwitch(const Setup& setup);

  // The lcore's loop, until exit().
  void run();
  bool turn(Cycles now);
  CommandQueue& commands() { return commands_; }

  // --- From here on: on the lcore only (through commands) once run() was called. ---

  // Traffic.
  void open_traffic() { open_ = true; }
  bool exhausted() const;  // no port has, or will have, anything more to give
  void begin_drain(Cycles now, Cycles patience);
  // Set once all packets have left, or the patience has ended. Any thread; the control thread's
  // attention is asked for then.
  bool drained() const { return drained_.load(std::memory_order_acquire); }
  // What is still inside is counted as `shutdown`; returns how many buffers that were.
  uint64_t abandon();
  void exit() { exit_ = true; }

  // Pool.
  void add_idle(NfId nf, std::span<const SlotId> slots);
  // Must be told of every death before a slot is used again.
  void on_deaths(std::span<const DeathReport> deaths, Cycles now);

  // Cores. A new process is on this one, an index into cores.nfs.
  void place(SlotId slot, uint32_t core);
  uint32_t bound_on(uint32_t core) const { return core_bound_[core]; }
  // Dispatch `baton`: some of those at work there; and where one is to work when it is ready next.
  uint32_t active_on(uint32_t core, std::span<SlotId> out) const;
  void move(SlotId slot, uint32_t core);

  // The baton. What revoke_baton() is told is checked: it does nothing if the head has moved.
  uint32_t core_count() const { return static_cast<uint32_t>(cores_.size()); }
  const CoreRecord& core(uint32_t i) const { return *cores_[i]; }
  std::optional<BatonSuspect> suspect(uint32_t core) const;
  // Order `weighted`: its part of the core from now on until it is bound anew; 100 is ordinary.
  void set_weight(SlotId slot, double weight);
  bool revoke_baton(const BatonSuspect& suspect, Cycles now);

  // Configurations and tenants. Blob 0.. are placed in the bind region by the control thread.
  void define_blob(BlobId blob, BlobRecord record);
  uint32_t users_of(BlobId blob) const { return blob_users_[index(blob)]; }
  void set_nf_blob(NfId nf, BlobId blob) { nfs_[index(nf)].blob = blob; ++blob_users_[index(blob)]; }
  struct TenantChange {
    TenantId tenant;
    bool live;
    std::optional<ChainId> chain;
    std::vector<std::pair<NfId, BlobId>> blobs;
    bool rebind;  // its key or chain changed: its bindings retire
    std::optional<InstanceKey> new_key = std::nullopt;  // its from now on, and nobody's until now
    std::optional<InstanceKey> old_key = std::nullopt;  // nobody's from now on
    bool begun = false;
    uint32_t weight = 100;
  };
  // Makes a turn's share of `changes`, from `done` on; called again until `done` is their number.
  // Former blobs are left in them for the caller to destroy.
  void change_tenants(std::span<TenantChange> changes, size_t& done, Cycles now);

  // Waking: what an NF at this place is woken by from now on. Who waits under the old settings
  // is not looked at: call_waiting() does that.
  void set_wake(ChainId chain, uint32_t position, const WakeConfig& wake);
  // NFs of the slots from `first` on that have packets waiting are ready now.
  void call_waiting(SlotId first, uint32_t count);

  // Measuring windows: a number that instances are stamped with when they give back a packet, so
  // that beginning one costs nothing. When numbers run out (`false`), forget_windows() over all
  // slots comes first.
  bool begin_window();
  void forget_windows(SlotId first, uint32_t count);
  uint32_t returned() const { return returned_; }  // live instances that did so in this window

  // Observation.
  Attention empty_attention() const;  // with room for whatever there may be
  void fetch_attention(Attention& attention);
  const Ledger& ledger() const { return ledger_; }
  const WakeCounters& wakes() const { return wakes_; }
  const TurnCounters& turns() const { return turns_; }
  void swap_latency(Histogram& interval) { std::swap(latency_, interval); }
  void swap_delay(uint32_t core, Histogram& interval) { std::swap(cores_[core]->delay, interval); }
  const std::vector<Instance>& instances() const { return instances_; }
  const std::vector<NfRecord>& nfs() const { return nfs_; }
  const std::vector<TenantRecord>& tenants() const { return tenants_; }
  const FlowTable& flows() const { return flows_; }
  const ChainBinding& binding(BindingId b) const { return bindings_[index(b)]; }
  const InstanceKey& key_of(BindingId b) const { return binding_keys_[index(b)].key; }
  uint32_t live_bindings() const { return static_cast<uint32_t>(binding_of_.size()); }
  uint64_t violations() const { return violations_; }
  // What came through a shared ring in nobody's name, or was scribbled there.
  uint64_t strays() const { return strays_ + shared_ring_.scribbled(); }
  // Bindings that took over before the one before them had drained: kGatePatience was over.
  uint64_t overdue_gates() const { return overdue_gates_; }

 private:
  struct Hop {
    BufferId buffer;
    BindingId binding;
    uint32_t place;
    uint8_t position;
  };
  struct Returned {
    SlotId slot;
    Descriptor descriptor;
  };
  static constexpr uint32_t kReadyLooksMax = 64;    // NFs whose wake word a turn looks at
  static constexpr uint32_t kWakesIdleMax = 8;      // wakes of a turn that received nothing
  static constexpr uint32_t kPacketsPerWake = 64;   // in turns that received full bursts
  static constexpr uint32_t kCollectMax = 256;      // descriptors taken in one turn, about
  static constexpr uint32_t kTimerBudget = 128;     // units of work a turn spends on each wheel
  static constexpr uint32_t kShareSearchMax = 8;
  static constexpr uint32_t kAuditDepth = 1024;
  static constexpr Nanos kLongTurn = micros(500);
  static constexpr Nanos kVacancyPatience = seconds(1);
  static constexpr Nanos kGatePatience = seconds(1);
  static constexpr Nanos kFragmentLife = seconds(30);
  static constexpr Nanos kAuditDelay = millis(10);
  static constexpr Nanos kAuditConfirm = seconds(1);
  static constexpr uint32_t kEagerQueueMax = 16;     // NFs in a core's queue, at most, to be eager
  static constexpr Nanos kRestAfter = micros(200);   // `vswitch: { idle: sleep }`
  static constexpr Nanos kRestMax = millis(1);
  static constexpr Nanos kNudgeAfter = micros(100);
  static constexpr uint32_t kTenantCountMax = 1u << 16;
  static constexpr uint32_t kTenantWorkMax = 64;  // tenants changed, or bindings, in one turn
  static constexpr uint32_t kBlobCountMax = 1u << 17;
  static constexpr Nanos kCrashWindow = seconds(2);  // crashes closer than this are one series
  static constexpr int kCrashesFree = 3;             // replaced at once; then 10 ms, doubling

  // vswitch.cc: the turn
  void rest(uint64_t idle);
  bool receive(Cycles now);
  uint32_t receive_from(Port& port, Cycles now);
  bool admit(BufferId b, const ParsedPacket& parsed, const PacketKey& key, uint64_t hash,
             Cycles now, Hop* hops, uint32_t& pending);
  void forward(std::span<Hop> hops);
  void enqueue(const Hop& hop);
  void push(Instance& instance, SlotId slot, BufferId b);
  void publish(Cycles now);
  void call_ready(SlotId slot);
  void wake_ready(Cycles now);
  bool wake(SlotId slot, Cycles now);
  void flush();
  void advance_timers(Cycles now);
  void audit_wakes(Cycles now);
  void watch(Cycles now, bool worked);
  void drain_step(Cycles now);
  void watch_later(SlotId slot, const Instance& instance, Cycles now);

  // baton.cc
  void make_cores();
  CoreRecord& core_of(SlotId slot);
  void join_queue(SlotId slot);
  void leave_queue(SlotId slot);
  void ready_again(SlotId slot);
  bool has_errand(SlotId slot) const;
  Absence absence_of(SlotId slot) const;
  bool is_away(const CoreRecord& core, SlotId slot) const;
  void answer_bells();
  bool is_eager(SlotId slot);
  void deal(Cycles now);
  void look(CoreRecord& core, Cycles now);
  bool fill(CoreRecord& core, Cycles now);
  bool show(CoreRecord& core, SlotId slot, Cycles since);
  void on_turn(CoreRecord& core, SlotId slot, Cycles pushed, Cycles now);
  void notify(SlotId slot);
  void watch_owner(CoreRecord& core, Cycles now);
  void nudge(CoreRecord& core);
  bool is_running(SlotId slot) const;
  void revoke(CoreRecord& core, Cycles now);

  // placement.cc
  uint32_t best_core() const;
  SlotId take_idle(NfRecord& nf);
  void add_to_pool(NfId nf, SlotId slot);
  void leave_pool(NfId nf, SlotId slot);
  void sample_load(CoreRecord& core, Cycles now);
  bool has_packets(SlotId slot) const;
  bool change_core(SlotId slot);

  // baton_order.cc
  void rank(CoreRecord& core, SlotId slot);
  uint64_t deadline_of(const Instance& instance) const;
  void begin_share(SlotId slot);
  void weigh(SlotId slot);
  void serve(CoreRecord& core, SlotId slot);
  void settle(CoreRecord& core, Cycles now);
  void watch_shares(CoreRecord& core);
  double horizon(CoreRecord& core, Cycles now);
  bool owner_goes_on(CoreRecord& core, Cycles now);
  bool fill_by_key(CoreRecord& core, Cycles now);
  bool show_first(CoreRecord& core, Cycles now);

  // collect.cc: what NFs give back
  bool collect(Cycles now);
  uint32_t gather_rung(std::span<SlotId> rung);
  void hear_doorbells();
  void hear(SlotId slot);
  uint32_t take_returned(SlotId slot, std::span<Returned> out);
  bool take_back(const Returned& returned, Cycles now, Hop& hop);
  bool take_back_blank(Instance& instance, SlotId slot, Descriptor d, Cycles now, Hop& hop);
  bool next_hop(BufferId b, FromNf op, uint8_t argument, Hop& hop);
  void lend_blanks(Instance& instance, SlotId slot, uint32_t wanted);
  void transmit(BufferId b, PortId port);
  void leave(BufferId b);
  void drop(BufferId b, Drop reason);
  void condemn(SlotId slot);

  // collect_shared.cc: the same through the ring that all NFs share
  bool collect_shared(Cycles now);
  void drain_shared(Cycles now);
  uint32_t take_shared(std::span<Returned> out);
  void pass_on(std::span<const Returned> returned, Cycles now);

  // bindings.cc: flows and bindings
  BindingId resolve(FlowId& flow, const PacketKey& key, uint64_t hash, Cycles now, Drop& why);
  TenantId tenant_of(const Rule& rule, const PacketKey& key, RuleId id) const;
  bool serves(const ChainBinding& binding, TenantId tenant) const;
  BindingId find_or_make(ChainId chain, const InstanceKey& key, const FlowConfig& rule,
                         TenantId tenant, Drop& why);
  BindingId make_binding(const BindingKey& key, TenantId tenant, const FlowConfig& rule, Drop& why);
  BindingId on_empty_pool(EmptyPool policy, ChainId chain, TenantId tenant, uint8_t& length,
                          bool& decided, Drop& why);
  void attach_flow(FlowId flow, BindingId b);
  void detach_flow(FlowId flow);
  void on_flow_timer(uint32_t flow, Cycles now);
  void close_flow(FlowEntry& entry, FlowId flow, const FlowConfig& rule, uint8_t flags, Cycles now);
  BindingId binding_to_share(ChainId chain, TenantId tenant, bool& found) const;
  void gate(BindingId b, BindingId predecessor);
  void leave_gate(ChainBinding& drained);
  void open_gate(uint32_t vacancy);
  void on_gate_timer(uint32_t vacancy);
  void release(BindingId b);
  void finish_if_drained(BindingId b);
  bool is_drained(const ChainBinding& binding) const;
  void free_binding(BindingId b);
  void link_tenant(BindingId b);
  void unlink_tenant(BindingId b);
  void begin_change(TenantChange& change);

  // instances.cc: binding instances, vacancies, deaths
  void bind_instance(SlotId slot, BindingId b, uint8_t position);
  void unbind_instance(SlotId slot);
  enum class BindWrite : uint8_t { bind, reconfigure, unbind };
  void write_binding(Instance& instance, BindWrite what);
  void forget_binding(Instance& instance, SlotId slot);
  BlobId blob_for(const ChainBinding& binding, NfId nf) const;
  void use_blob(BlobId blob) { if (blob != kNone<BlobId>) ++blob_users_[index(blob)]; }
  void drop_blob(BlobId blob);
  uint32_t make_vacancy(BindingId b, uint8_t position, SlotId reserved);
  void queue_vacancy(uint32_t vacancy, Cycles now);
  void drop_backlog(uint32_t vacancy, Drop reason);
  void fulfil(uint32_t vacancy, SlotId slot);
  void remove_vacancy(uint32_t vacancy);
  bool serve_vacancy(NfId nf, SlotId slot);
  void add_to_backlog(uint32_t vacancy, BufferId b);
  void on_vacancy_timer(uint32_t vacancy, Cycles now);
  void salvage();
  uint32_t vacate(BindingId b, uint8_t position);
  void bury(const DeathReport& death, size_t& salvaged, Cycles now);
  void reconfigure(BindingId b);
  void want_attention();

  uint32_t tick_timer(SlotId slot) const { return slot_count_ + raw(slot); }
  uint32_t vacancy_timer(uint32_t vacancy) const { return 2 * slot_count_ + vacancy; }
  uint32_t gate_timer(uint32_t vacancy) const { return 4 * slot_count_ + vacancy; }

  // What it works with.
  const Config& config_;
  Arena& arena_;
  ControlView control_;
  std::vector<std::unique_ptr<Port>>& ports_;
  Waker& waker_;
  TscRate rate_;
  Cycles (*const clock_)();
  const uint32_t slot_count_;
  const uint32_t ring_mask_;
  DoorbellView doorbells_;
  SharedRingConsumer shared_ring_;  // `downstream: shared`

  // Tables.
  RuleSet rules_;
  FlowTable flows_;
  FragmentTable fragments_;
  TimerWheel flow_timers_;
  TimerWheel timers_;  // ageing by slot, ticks, vacancies, their gates
  std::vector<Instance> instances_;
  std::vector<ChainBinding> bindings_;
  std::vector<BindingKey> binding_keys_;
  std::vector<BindingId> free_bindings_;
  FixedMap<BindingKey, BindingId, BindingKeyHash> binding_of_;
  std::vector<Vacancy> vacancies_;
  std::vector<uint32_t> free_vacancies_;
  std::vector<NfRecord> nfs_;
  std::vector<ChainRecord> chains_;
  std::vector<TenantRecord> tenants_;
  FixedMap<InstanceKey, TenantId, InstanceKeyHash> tenant_by_key_;
  std::vector<BlobRecord> blobs_;
  std::vector<uint32_t> blob_users_;
  std::vector<BlobId> instance_blob_;  // by slot: what its binding uses
  uint32_t tenant_epoch_ = 1;
  uint8_t window_ = 1;
  uint32_t returned_ = 0;

  // This turn.
  std::vector<SlotId> touched_;
  std::vector<SlotId> ready_;       // to be woken: a FIFO, each at most once
  uint32_t ready_head_ = 0, ready_count_ = 0;
  uint32_t wake_credit_ = 0;        // packets received in busy turns since the last wake
  uint32_t received_ = 0;           // packets taken from ports in this turn
  std::vector<SlotId> rung_;  // heard from the doorbells, not collected yet: a FIFO, each once
  uint32_t rung_head_ = 0, rung_count_ = 0;
  std::vector<uint8_t> in_rung_;
  std::vector<std::unique_ptr<CoreRecord>> cores_;  // dispatch `baton` only
  std::vector<uint8_t> instance_core_, target_core_;  // they differ while a move is under way
  std::vector<uint32_t> core_bound_;                 // bound instances, by core
  std::vector<FairShare> shares_;  // order `weighted` only

  // Audit of wakes: NFs that were ready and found awake must have taken those packets soon after.
  struct Audit {
    SlotId slot;
    BindingId binding;
    uint32_t in_produced;
    Cycles due;
    bool suspected;
  };
  std::vector<Audit> audits_;
  uint32_t audit_head_ = 0, audit_tail_ = 0;

  // Counters.
  Ledger ledger_;
  Histogram latency_;
  WakeCounters wakes_;
  TurnCounters turns_;
  uint64_t violations_ = 0;
  uint64_t strays_ = 0;
  uint64_t gate_count_ = 0;  // ever made: each has a number of its own
  uint64_t overdue_gates_ = 0;
  Cycles now_{0};  // of this turn
  Cycles last_turn_{0};
  bool last_worked_ = false;

  // Control.
  CommandQueue commands_;
  std::vector<SlotId> condemned_;
  std::vector<DeathReport> deaths_;  // being dealt with, by slot
  std::vector<BufferId> salvaged_;   // what they had not consumed, by slot and in order
  std::vector<BlobId> unused_blobs_;
  std::atomic<bool> attention_{false};
  int attention_fd_;
  bool open_ = false;
  bool draining_ = false;
  std::atomic<bool> drained_{false};
  bool exit_ = false;
  Cycles drain_deadline_{0};
  Cycles next_drain_scan_{0};
};

}  // namespace mayfly
