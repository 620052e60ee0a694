#include "runtime/vswitch/vswitch.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/check.h"

namespace mayfly {
namespace {

constexpr uint32_t kFragmentCount = 16384;

std::vector<Rule> rules_of(const Config& config) {
  std::vector<Rule> rules;
  for (const FlowConfig& flow : config.flows)
    rules.push_back({flow.match, flow.instance_per, flow.tenant_by});
  return rules;
}

}  // namespace

VSwitch::VSwitch(const Setup& setup)
    : config_(*setup.config),
      arena_(*setup.arena),
      control_(setup.control),
      ports_(*setup.ports),
      waker_(*setup.waker),
      rate_(setup.rate),
      clock_(setup.clock),
      slot_count_(setup.control.header().slot_count),
      ring_mask_(setup.control.header().ring_entries - 1),
      doorbells_(setup.control.doorbells()),
      shared_ring_(setup.control.shared_ring()),
      rules_(rules_of(config_)),
      flows_(config_.flow_count_max, fresh_secret()),
      fragments_(kFragmentCount),
      flow_timers_(config_.flow_count_max, rate_.cycles(millis(1)), clock_()),
      timers_(6 * slot_count_, rate_.cycles(micros(2)), clock_()),
      instances_(slot_count_),
      bindings_(2 * size_t{slot_count_}),
      binding_keys_(bindings_.size()),
      binding_of_(bindings_.size(), BindingKeyHash{fresh_secret()}),
      vacancies_(2 * size_t{slot_count_}),
      nfs_(config_.nfs.size()),
      tenants_(kTenantCountMax),
      tenant_by_key_(kTenantCountMax, InstanceKeyHash{fresh_secret()}),
      instance_blob_(slot_count_, kNone<BlobId>),
      rung_(slot_count_),
      in_rung_(slot_count_, 0),
      audits_(kAuditDepth),
      attention_fd_(setup.attention_fd) {
  for (uint32_t s = 0; s < slot_count_; ++s) instances_[s].slot = &control_.slot(SlotId{s});
  for (size_t b = bindings_.size(); b-- > 0;) free_bindings_.push_back(static_cast<BindingId>(b));
  for (uint32_t v = 2 * slot_count_; v-- > 0;) free_vacancies_.push_back(v);
  for (size_t i = 0; i < nfs_.size(); ++i) {
    const NfConfig& nf = config_.nfs[i];
    nfs_[i].idle.reserve(static_cast<uint32_t>(config_.nf_cores.size()), slot_count_);
    nfs_[i].vacancies.resize(2 * size_t{slot_count_});
    nfs_[i].blanks = std::min(nf.blank_buffers, kLoanCountMax);
    // One output entry is kept for ask_blanks, one per blank on loan: the output ring can then
    // hold all that an instance may ever give back at once.
    nfs_[i].held_max = ring_mask_ + 1 - 1 - nfs_[i].blanks;
    nfs_[i].tick_period = rate_.cycles({static_cast<int64_t>(nf.tick_period_ns)});
  }
  for (size_t c = 0; c < config_.chains.size(); ++c) {
    ChainRecord& chain = chains_.emplace_back();
    chain.nfs = config_.chains[c].nfs;
    for (uint32_t p = 0; p < chain.nfs.size(); ++p) {
      const WakeConfig wake = wake_of(config_, static_cast<ChainId>(c), p);
      chain.wake[p] = wake_params_of(config_, wake, rate_);
      chain.weight[p] = wake.weight;
    }
  }
  touched_.reserve(slot_count_);
  ready_.resize(slot_count_);
  condemned_.reserve(slot_count_);
  deaths_.reserve(slot_count_);
  blobs_.reserve(kBlobCountMax);
  blob_users_.reserve(kBlobCountMax);
  unused_blobs_.reserve(kBlobCountMax);
  salvaged_.reserve(arena_.buffer_count());
  instance_core_.resize(slot_count_);
  target_core_.resize(slot_count_);
  core_bound_.resize(config_.nf_cores.size());
  make_cores();
}

void VSwitch::run() {
  last_turn_ = clock_();
  Cycles busy = last_turn_;
  while (!exit_) {
    const Cycles now = clock_();
    if (turn(now)) busy = now;
    else if (config_.vswitch_idle == VSwitchIdle::sleep) rest(now.n - busy.n);
  }
}

// Nothing to do for `idle` cycles: the longer, the longer it sleeps. A packet that comes meanwhile
// waits for kRestMax at most.
void VSwitch::rest(uint64_t idle) {
  if (idle < rate_.cycles(kRestAfter).n) return;
  const int64_t nap = std::min(rate_.nanos({idle / 8}).n, kRestMax.n);
  const timespec time{0, nap};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  last_turn_ = clock_();
}

bool VSwitch::turn(Cycles now) {
  now_ = now;
  watch(now, last_worked_);
  if (commands_.pending()) commands_.run();
  received_ = 0;
  bool worked = open_ && !draining_ && receive(now);
  worked |= collect(now);
  advance_timers(now);
  publish(now);
  flush();
  wake_ready(now);
  if (draining_) drain_step(now);
  return last_worked_ = worked;
}

// Every loop watches itself: the length of the turn that has just ended.
void VSwitch::watch(Cycles now, bool worked) {
  const uint64_t took = now.n - last_turn_.n;
  last_turn_ = now;
  ++turns_.turns;
  turns_.total_cycles += took;
  if (worked) turns_.busy_cycles += took;
  if (!open_) return;
  turns_.worst_cycles = std::max(turns_.worst_cycles, took);
  turns_.window_worst_cycles = std::max(turns_.window_worst_cycles, took);
  turns_.long_turns += took > rate_.cycles(kLongTurn).n;
}

// At most kRxBurst packets of each port.
bool VSwitch::receive(Cycles now) {
  for (auto& port : ports_) received_ += receive_from(*port, now);
  return received_ != 0;
}

uint32_t VSwitch::receive_from(Port& port, Cycles now) {
  BufferId burst[kRxBurst];
  ParsedPacket parsed[kRxBurst];
  PacketKey keys[kRxBurst];
  uint64_t hashes[kRxBurst];
  Hop hops[kRxBurst];
  const uint32_t count = port.receive(now, ledger_, burst);
  if (count == 0) return 0;
  for (uint32_t i = 0; i < count; ++i) __builtin_prefetch(arena_.packet(burst[i]));
  const KeyMask& mask = rules_.mask_of(port.id());
  const bool looks_at_ports = rules_.looks_at_ports(port.id());
  for (uint32_t i = 0; i < count; ++i) {
    const PacketMeta& meta = arena_.meta(burst[i]);
    parse({arena_.packet(burst[i]), meta.length}, port.id(), parsed[i]);
    if (looks_at_ports && parsed[i].fragment != Fragment::none)
      fragments_.steer(parsed[i], now, rate_.cycles(kFragmentLife));
    keys[i] = mask.apply(parsed[i].key);
    hashes[i] = flows_.hash(keys[i]);
    flows_.prefetch(hashes[i]);
  }
  for (uint32_t i = 0; i < count; ++i) flows_.prefetch_entry(hashes[i]);
  uint32_t admitted = 0;
  for (uint32_t i = 0; i < count; ++i)
    admitted += admit(burst[i], parsed[i], keys[i], hashes[i], now, hops, admitted);
  forward({hops, admitted});
  return count;
}

// Finds (or makes) the packet's flow; false if it was dropped.
bool VSwitch::admit(BufferId b, const ParsedPacket& parsed, const PacketKey& key, uint64_t hash,
                    Cycles now, Hop* hops, uint32_t& pending) {
  PacketMeta& meta = arena_.meta(b);
  meta.binding = raw(kNone<BindingId>);
  FlowId flow = flows_.find(key, hash);
  if (flow == kNone<FlowId> || flows_.entry(flow).state.reserved != tenant_epoch_ ||
      bindings_[index(flows_.entry(flow).state.binding)].state != BindingState::live) [[unlikely]] {
    // Bindings may go: nothing may be on its way to one meanwhile.
    forward({hops, std::exchange(pending, 0)});
    Drop why = Drop::no_rule;
    if (resolve(flow, key, hash, now, why) == kNone<BindingId>) {
      drop(b, why);
      return false;
    }
  }
  FlowEntry& entry = flows_.entry(flow);
  FlowState& state = entry.state;
  ++state.packets;
  state.bytes += meta.length;
  state.last_seen = now;
  if (parsed.tcp_flags & (kTcpFin | kTcpRst)) [[unlikely]]
    close_flow(entry, flow, config_.flows[index(state.rule)], parsed.tcp_flags, now);
  meta.binding = raw(state.binding);
  meta.position = 0;
  meta.out = raw(state.out);
  const ChainBinding& binding = bindings_[index(state.binding)];
  if (binding.tenant_counted) {
    TenantRecord& tenant = tenants_[index(binding.tenant)];
    ++tenant.packets;
    tenant.bytes += meta.length;
    ++tenant.packets_held;
    if (tenant.packets_held > config_.tenant_packets) [[unlikely]] {
      ++tenant.limit_drops;
      drop(b, Drop::tenant_limit);
      return false;
    }
  }
  hops[pending] = {b, state.binding, 0, 0};
  return true;
}

// Moves packets to the NFs at their places: staged, so that the cache misses of many overlap.
void VSwitch::forward(std::span<Hop> hops) {
  for (Hop& hop : hops) {
    const ChainBinding& binding = bindings_[index(hop.binding)];
    if (hop.position >= binding.length) [[unlikely]] {  // bypassed
      hop.place = raw(kNone<SlotId>);
      continue;
    }
    hop.place = binding.places[hop.position];
    if ((hop.place & kVacantBit) == 0) __builtin_prefetch(&instances_[hop.place], 1);
  }
  for (const Hop& hop : hops) {
    if (hop.place & kVacantBit) continue;
    const Instance& instance = instances_[hop.place];
    __builtin_prefetch(&instance.slot->in_entries()[instance.in_produced & ring_mask_], 1);
  }
  for (const Hop& hop : hops) enqueue(hop);
}

void VSwitch::enqueue(const Hop& hop) {
  if (hop.place == raw(kNone<SlotId>)) [[unlikely]] {
    if (bindings_[index(hop.binding)].state != BindingState::live)
      return drop(hop.buffer, Drop::pool_empty);  // never unprocessed but by policy
    return transmit(hop.buffer, PortId{arena_.meta(hop.buffer).out});
  }
  if (hop.place & kVacantBit) [[unlikely]]
    return add_to_backlog(hop.place & ~kVacantBit, hop.buffer);
  Instance& instance = instances_[hop.place];
  if (instance.held >= nfs_[index(instance.nf)].held_max) [[unlikely]]
    return drop(hop.buffer, Drop::nf_ring_full);
  push(instance, SlotId{hop.place}, hop.buffer);
}

// Into the instance's input ring; visible to it after publish(). The ring cannot overflow: what it
// holds is bounded by held_max plus its blanks.
void VSwitch::push(Instance& instance, SlotId slot, BufferId b) {
  PacketMeta& meta = arena_.meta(b);
  meta.holder = raw(slot);
  meta.ring_index = instance.in_produced;
  meta.generation = (meta.generation + 1) & 0xf;
  meta.position = instance.position;
  instance.slot->in_entries()[instance.in_produced++ & ring_mask_] =
      Descriptor::make(b, meta.generation, meta.offset, meta.length,
                       static_cast<uint8_t>(ToNf::packet), meta.port_in);
  ++instance.held;
  ++instance.pushed;
  if (!instance.touched) {
    instance.touched = true;
    touched_.push_back(slot);
  }
}

void VSwitch::publish(Cycles now) {
  for (SlotId slot : touched_) {
    Instance& instance = instances_[index(slot)];
    instance.touched = false;
    if (instance.state == InstanceState::free) {  // died in this turn: its slot is another's now
      instance.pushed = 0;
      continue;
    }
    // release pairs with the NF's acquire: entries (and the binding) before the index.
    instance.slot->from_switch.in_produced.store(instance.in_produced, std::memory_order_release);
    const uint32_t pushed = std::exchange(instance.pushed, 0);
    if (pushed == 0) continue;
    switch (instance.wake.on_packets(*instance.wake_params, pushed, now)) {
      case WakeAdvice::ready:
        call_ready(slot);
        break;
      case WakeAdvice::arm:
        if (!cores_.empty() && is_eager(slot))
          call_ready(slot);
        else
          timers_.arm(raw(slot), now + instance.wake_params->aging);
        break;
      case WakeAdvice::nothing:
        if (!cores_.empty() && is_eager(slot)) call_ready(slot);
        break;
    }
  }
  touched_.clear();
}

void VSwitch::call_ready(SlotId slot) {
  Instance& instance = instances_[index(slot)];
  if (instance.in_ready) return;
  instance.in_ready = true;
  if (!cores_.empty()) return join_queue(slot);
  const uint32_t tail = ready_head_ + ready_count_++;
  ready_[tail >= slot_count_ ? tail - slot_count_ : tail] = slot;
}

// A wake costs the vSwitch as much as some hundred packets, and more if the NF core has gone idle.
// A vSwitch that wakes everybody whose few packets have aged starves the rings, finds everybody
// asleep again, and stays there: slow, with both cores busy. So wakes are rationed by how busy the
// turn is: the more packets came in, the fewer NFs are woken, the more each of them finds. With
// little traffic turns are short and nobody waits for the next one. (Figures: docs/design.md.)
void VSwitch::wake_ready(Cycles now) {
  if (!cores_.empty()) return deal(now);
  audit_wakes(now);
  if (ready_count_ == 0) return;
  uint32_t wakes = 1;
  if (received_ < kRxBurst) {
    wakes += (kWakesIdleMax - 1) * (kRxBurst - received_) / kRxBurst;
  } else if ((wake_credit_ += received_) < kPacketsPerWake) {
    return;
  } else {
    wake_credit_ = 0;
  }
  // Pairs with the NF's fence between its asleep flag and its re-check of the ring (wake.h): one
  // fence serves all NFs of this turn.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (uint32_t looks = 0; looks < kReadyLooksMax && ready_count_ != 0 && wakes != 0; ++looks) {
    const SlotId slot = ready_[ready_head_];
    ready_head_ = ready_head_ + 1 == slot_count_ ? 0 : ready_head_ + 1;
    --ready_count_;
    wakes -= wake(slot, now);
  }
  waker_.submit();
}

// Wakes it if it sleeps; true if that took a system call.
bool VSwitch::wake(SlotId slot, Cycles now) {
  Instance& instance = instances_[index(slot)];
  instance.in_ready = false;
  if (instance.state == InstanceState::free || instance.state >= InstanceState::dead) return false;
  instance.wake.on_served();
  ++wakes_.ready;
  WakeEntry& entry = control_.wake(slot);
  if (entry.word.load(std::memory_order_relaxed) == kAsleep &&
      entry.word.exchange(kAwake, std::memory_order_acq_rel) == kAsleep) {
    ++wakes_.wakes;
    ++wakes_.remote;
    wakes_.woken_packets += instance.held;
    waker_.wake(slot, entry);
    return true;
  }
  watch_later(slot, instance, now);
  return false;
}

void VSwitch::watch_later(SlotId slot, const Instance& instance, Cycles now) {
  if (audit_head_ - audit_tail_ < kAuditDepth)
    audits_[audit_head_++ % kAuditDepth] = {slot, instance.binding, instance.in_produced,
                                            now + rate_.cycles(kAuditDelay), false};
}

// An NF that was ready and found awake must not go to sleep on those packets. If one did, the
// protocol is broken: count it, and wake it. (Timers would hide this: FAULTS rule 6.) An NF that is
// preempted between its flag and its re-check looks the same for a while, hence the second look.
void VSwitch::audit_wakes(Cycles now) {
  if (audit_head_ == audit_tail_) return;
  const Audit audit = audits_[audit_tail_ % kAuditDepth];
  if (now < audit.due) return;
  ++audit_tail_;
  const Instance& instance = instances_[index(audit.slot)];
  if (instance.state != InstanceState::bound || instance.held == 0 || instance.in_ready ||
      instance.binding != audit.binding)
    return;
  if (control_.wake(audit.slot).word.load(std::memory_order_acquire) != kAsleep) return;
  const uint32_t consumed = instance.slot->from_nf.in_consumed.load(std::memory_order_acquire);
  const uint32_t unread = audit.in_produced - consumed;
  if (unread == 0 || unread > ring_mask_ + 1) return;
  if (!audit.suspected) {
    audits_[audit_head_++ % kAuditDepth] = {audit.slot, audit.binding, audit.in_produced,
                                            now + rate_.cycles(kAuditConfirm), true};
    return;
  }
  ++wakes_.late;
  call_ready(audit.slot);
}

void VSwitch::flush() {
  for (auto& port : ports_)
    if (port->queued() != 0) port->flush(clock_(), ledger_, latency_);
}

// At most kTimerBudget units of work on each wheel.
void VSwitch::advance_timers(Cycles now) {
  timers_.advance(now, kTimerBudget, [&](uint32_t timer) {
    if (timer >= 4 * slot_count_) return on_gate_timer(timer - 4 * slot_count_);
    if (timer >= 2 * slot_count_) return on_vacancy_timer(timer - 2 * slot_count_, now);
    const SlotId slot{timer % slot_count_};
    Instance& instance = instances_[index(slot)];
    if (instance.state != InstanceState::bound && instance.state != InstanceState::draining) return;
    if (timer < slot_count_) {  // ageing; nothing waits if it took all of it meanwhile
      if (instance.wake.waiting != 0 && instance.held != 0) call_ready(slot);
      return;
    }
    control_.wake(slot).tick_due.store(now.n, std::memory_order_relaxed);
    timers_.arm(timer, now + nfs_[index(instance.nf)].tick_period);
    call_ready(slot);
  });
  flow_timers_.advance(now, kTimerBudget, [&](uint32_t flow) { on_flow_timer(flow, now); });
}

bool VSwitch::exhausted() const {
  return std::all_of(ports_.begin(), ports_.end(), [](const auto& p) { return p->exhausted(); });
}

void VSwitch::begin_drain(Cycles now, Cycles patience) {
  for (auto& port : ports_) port->stop();
  draining_ = true;
  drain_deadline_ = now + patience;
  next_drain_scan_ = now;
}

// Once a millisecond: every NF that still holds packets is ready, whatever its batch. The only
// walk over all instances, and only while shutting down.
void VSwitch::drain_step(Cycles now) {
  if (now < next_drain_scan_) return;
  next_drain_scan_ = now + rate_.cycles(millis(1));
  uint64_t queued = 0;
  for (auto& port : ports_) queued += port->queued();
  if (!drained() && ((ledger_.held() == 0 && queued == 0) || now > drain_deadline_)) {
    drained_.store(true, std::memory_order_release);
    want_attention();
  }
  for (uint32_t s = 0; s < slot_count_; ++s)
    if (instances_[s].held != 0 && instances_[s].state != InstanceState::dead)
      call_ready(SlotId{s});
}

uint64_t VSwitch::abandon() {
  const uint64_t before = ledger_.drops[static_cast<size_t>(Drop::shutdown)];
  for (auto& port : ports_) port->discard_queued(ledger_, Drop::shutdown);
  ledger_.drop(Drop::shutdown, arena_.count_held());
  return ledger_.drops[static_cast<size_t>(Drop::shutdown)] - before;
}

void VSwitch::want_attention() {
  if (attention_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(attention_fd_, &one, sizeof one);
}

Attention VSwitch::empty_attention() const {
  Attention attention;
  attention.nfs.resize(nfs_.size());
  attention.condemned.reserve(slot_count_);
  attention.unused.reserve(kBlobCountMax);
  return attention;
}

void VSwitch::fetch_attention(Attention& attention) {
  attention_.store(false, std::memory_order_release);
  attention.nfs.resize(nfs_.size());
  for (size_t i = 0; i < nfs_.size(); ++i)
    attention.nfs[i] = {static_cast<uint32_t>(nfs_[i].idle.size()), nfs_[i].vacancy_count};
  attention.condemned.assign(condemned_.begin(), condemned_.end());
  condemned_.clear();
  attention.unused.assign(unused_blobs_.begin(), unused_blobs_.end());
  unused_blobs_.clear();
}

}  // namespace mayfly
