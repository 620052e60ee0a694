// Dispatch `baton`: who is ready, in which order, and who has the core. (runtime/abi/baton.h)
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

void VSwitch::make_cores() {
  if (config_.dispatch != Dispatch::baton) return;
  const bool by_key = config_.baton.order != BatonOrder::fifo;
  for (uint32_t i = 0; i < config_.nf_cores.size(); ++i)
    cores_.push_back(std::make_unique<CoreRecord>(control_.core(i), by_key, slot_count_));
  if (config_.baton.order == BatonOrder::weighted) shares_.resize(slot_count_);
}

CoreRecord& VSwitch::core_of(SlotId slot) { return *cores_[instance_core_[index(slot)]]; }

void VSwitch::join_queue(SlotId slot) {
  CoreRecord& core = core_of(slot);
  if (config_.baton.order == BatonOrder::fifo)
    core.ready.push(slot);
  else
    rank(core, slot);
}

// If it left something to do when it let go of the baton, it is ready again, at the back.
void VSwitch::ready_again(SlotId slot) {
  const InstanceState state = instances_[index(slot)].state;
  if (state != InstanceState::bound && state != InstanceState::draining) return;
  if (has_packets(slot) || has_errand(slot)) call_ready(slot);
}

Absence VSwitch::absence_of(SlotId slot) const {
  return instances_[index(slot)].slot->from_nf.absence.load(std::memory_order_relaxed);
}

// Its own line is looked at only on a core where anybody has ever gone away.
bool VSwitch::is_away(const CoreRecord& core, SlotId slot) const {
  return slot != kNone<SlotId> &&
         core.queue.core().absences.load(std::memory_order_relaxed) != 0 &&
         absence_of(slot) == Absence::away;
}

// A tick that is due, a configuration that it has not taken over, or work that it interrupted.
bool VSwitch::has_errand(SlotId slot) const {
  const Slot& memory = *instances_[index(slot)].slot;
  return control_.wake(slot).tick_due.load(std::memory_order_relaxed) != 0 ||
         memory.from_nf.bind_seq_seen.load(std::memory_order_relaxed) !=
             memory.from_switch.bind_seq.load(std::memory_order_relaxed) ||
         absence_of(slot) == Absence::back;
}

// With one ring for all output, the bells are rung for this alone.
void VSwitch::answer_bells() {
  SlotId rung[64];
  const uint32_t count = gather_rung(rung);
  for (uint32_t i = 0; i < count; ++i)
    if (!instances_[index(rung[i])].in_ready) ready_again(rung[i]);
}

// With the core nearly idle, waiting for a batch buys nothing: nobody else wants the core.
bool VSwitch::is_eager(SlotId slot) {
  const CoreRecord& core = core_of(slot);
  return config_.baton.eager && core.ready.size() + core.queue.waiting() < kEagerQueueMax;
}

// Once a turn, after packets were published.
void VSwitch::deal(Cycles now) {
  audit_wakes(now);
  // Pairs with the holder's exchange of the head: either he, having let go of the baton, sees the
  // packets published in this turn, or we see that he has let go.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool pushed = false;
  for (auto& core : cores_) {
    look(*core, now);
    pushed |= fill(*core, now);
  }
  if (pushed) {
    // Pairs with the holder's fence between parking and looking who waits.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (auto& core : cores_) look(*core, now);
  }
  for (auto& core : cores_) {
    notify(core->queue.grant([&](SlotId s, Cycles at) { on_turn(*core, s, at, now); }));
    watch_owner(*core, now);
    sample_load(*core, now);
  }
}

// Whoever had the baton since the last look and has let go of it was called ready for what was
// published before, and may have slept before he could see the rest: his `in_ready` stood meanwhile,
// so that nothing called him again.
void VSwitch::look(CoreRecord& core, Cycles now) {
  SlotId last = kNone<SlotId>;
  const auto on_taken = [&](SlotId slot, Cycles at) {
    on_turn(core, slot, at, now);
    if (last != kNone<SlotId>) ready_again(last);
    last = slot;
  };
  if (!core.queue.look(on_taken)) ++violations_;
  if (!shares_.empty()) watch_shares(core);
  if (last != kNone<SlotId> && core.queue.owner() != last) ready_again(last);
}

// An NF has got the baton.
void VSwitch::on_turn(CoreRecord& core, SlotId slot, Cycles pushed, Cycles now) {
  Instance& instance = instances_[index(slot)];
  instance.in_ready = false;
  instance.wake.on_served();
  ++wakes_.ready;
  ++wakes_.wakes;
  wakes_.woken_packets += instance.held;
  core.delay.record(now.n - pushed.n);
  core.delay_cycles += now.n - pushed.n;
  ++core.delays;
  core.recent[core.turns++ % core.recent.size()] = slot;
  watch_later(slot, instance, now);
  if (!shares_.empty()) serve(core, slot);
}

// From the private FIFO, which has room for all, to the queue that holders see.
bool VSwitch::fill(CoreRecord& core, Cycles now) {
  bool pushed = false;
  if (config_.baton.order != BatonOrder::fifo)
    pushed = fill_by_key(core, now);
  else
    while (!core.ready.empty() && !core.queue.full()) pushed |= show(core, core.ready.pop(), now);
  if (pushed) core.queue.publish();
  return pushed;
}

// False: there is no point in it.
bool VSwitch::show(CoreRecord& core, SlotId slot, Cycles since) {
  Instance& instance = instances_[index(slot)];
  // Moved; or a process of another core has the slot now.
  if (change_core(slot) || &core_of(slot) != &core) {
    join_queue(slot);
    return false;
  }
  // The owner looks at its ring again before it sleeps, and rings if something is in it; but it
  // does not ring for anything else.
  if ((slot == core.queue.owner() && !has_errand(slot)) || !is_running(slot) ||
      is_away(core, slot)) {
    instance.in_ready = false;
    instance.wake.on_served();
    return false;
  }
  core.queue.push(slot, since);
  return true;
}

void VSwitch::notify(SlotId slot) {
  if (slot == kNone<SlotId>) return;
  WakeEntry& entry = control_.wake(slot);
  if (entry.word.exchange(kAwake, std::memory_order_seq_cst) != kAsleep) return;
  ++wakes_.remote;
  waker_.wake(slot, entry);
}

// The head does not move: its owner may be dead, may never have been woken (killed was who should
// have), or works too long while others wait.
void VSwitch::watch_owner(CoreRecord& core, Cycles now) {
  BatonQueue& queue = core.queue;
  if (is_away(core, queue.owner())) return revoke(core, now);
  if (queue.parked() || queue.head() != core.seen) {
    core.seen = queue.head();
    core.held_since = core.moved = now;
    core.nudged = core.reported = false;
    return;
  }
  if (!is_running(queue.owner())) return revoke(core, now);
  if (queue.waiting() == 0) {
    core.moved = now;
    core.reported = false;
  }
  // Also if nobody waits: it may have packets.
  if (!core.nudged && now.n - core.held_since.n >= rate_.cycles(kNudgeAfter).n) nudge(core);
  if (now.n - core.held_since.n < rate_.cycles(config_.baton.slice).n) return;
  // Woken, and asleep again: it took the baton for somebody else's. An entry was scribbled over.
  const SlotId owner = queue.owner();
  if (control_.wake(owner).word.load(std::memory_order_relaxed) == kAsleep) {
    revoke(core, now);
    ready_again(owner);
    return;
  }
  if (!core.reported && now.n - core.moved.n >= rate_.cycles(config_.baton.slice).n) {
    core.reported = true;
    want_attention();
  }
}

// Wakes the owner once more: killed may have been who was to do it; also between the word and the
// system call, so the word is not asked. Once is enough.
void VSwitch::nudge(CoreRecord& core) {
  const SlotId owner = core.queue.owner();
  WakeEntry& entry = control_.wake(owner);
  core.nudged = true;
  core.nudges += entry.word.exchange(kAwake, std::memory_order_seq_cst) == kAsleep;
  waker_.wake(owner, entry);
}

bool VSwitch::is_running(SlotId slot) const {
  if (slot == kNone<SlotId>) return false;
  const InstanceState state = instances_[index(slot)].state;
  return state != InstanceState::free && state < InstanceState::dead;
}

void VSwitch::revoke(CoreRecord& core, Cycles now) {
  core.reported = false;
  // If it was never woken, it must come and see that its turn is over, and that its packets wait.
  if (!core.nudged && is_running(core.queue.owner())) nudge(core);
  notify(core.queue.revoke([&](SlotId s, Cycles at) { on_turn(core, s, at, now); }));
}

std::optional<BatonSuspect> VSwitch::suspect(uint32_t core) const {
  const CoreRecord& c = *cores_[core];
  if (!c.reported || c.queue.owner() == kNone<SlotId>) return std::nullopt;
  return BatonSuspect{core, c.queue.owner(), c.queue.head()};
}

bool VSwitch::revoke_baton(const BatonSuspect& suspect, Cycles now) {
  CoreRecord& core = *cores_[suspect.core];
  now_ = now;
  look(core, now);
  if (core.queue.head() != suspect.head || core.queue.owner() != suspect.owner) return false;
  revoke(core, now);
  if (core.queue.head() == suspect.head) return false;  // it let go of it just now
  ++core.revocations;
  return true;
}

// Its process is gone: it waits for nothing any more, and its successor inherits no baton.
void VSwitch::leave_queue(SlotId slot) {
  if (cores_.empty()) return;
  CoreRecord& core = core_of(slot);
  look(core, now_);
  if (core.queue.forget(slot)) instances_[index(slot)].in_ready = false;
  if (core.queue.owner() == slot) revoke(core, now_);
}

}  // namespace mayfly
