// On which NF core an instance works. A process is born pinned to one; among the idle, bind time
// takes one on the core with least to do; and dispatch `baton` may move one that is at work.
//
// A move loses and reorders nothing: the process, its rings and its packets stay what they are, only
// the queue it joins changes. The control thread pins the process to its new CPU first. The vSwitch
// then waits until the instance has become ready again, but not joined a queue yet, and does not own
// the old core's baton: so it can get no baton but the new core's. The process learns of it from
// its wake entry, after it has said that it sleeps (BatonSeat::mine_after_all).
#include "runtime/vswitch/vswitch.h"

namespace mayfly {
namespace {

constexpr Nanos kLoadSample = millis(5);
constexpr Nanos kLongDelay = millis(5);
constexpr double kLoadWeight = 0.25;   // a time constant of 20 ms
constexpr float kLoadStep = 1.0f / 8;  // smaller differences are noise

}  // namespace

void VSwitch::place(SlotId slot, uint32_t core) {
  instance_core_[index(slot)] = target_core_[index(slot)] = static_cast<uint8_t>(core);
}

// With least to do; among equals, with fewest instances.
uint32_t VSwitch::best_core() const {
  const auto rank = [&](uint32_t i) {
    const float load = i < cores_.size() ? cores_[i]->load : 0;
    return std::pair(static_cast<int>(load / kLoadStep), core_bound_[i]);
  };
  uint32_t best = 0;
  for (uint32_t i = 1; i < core_bound_.size(); ++i)
    if (rank(i) < rank(best)) best = i;
  return best;
}

SlotId VSwitch::take_idle(NfRecord& nf) { return nf.idle.pop(best_core()); }

void VSwitch::add_to_pool(NfId nf, SlotId slot) {
  nfs_[index(nf)].idle.push(slot, instance_core_[index(slot)]);
}

void VSwitch::leave_pool(NfId nf, SlotId slot) {
  nfs_[index(nf)].idle.erase(slot, instance_core_[index(slot)]);
}

// How much of the time the core's NFs had something to do, and, where that is all of it, how long
// they waited for their turns. Holders count the idle cycles (they may lie: they are clamped).
void VSwitch::sample_load(CoreRecord& core, Cycles now) {
  const uint64_t time = now.n - core.sampled.n;
  if (time < rate_.cycles(kLoadSample).n) return;
  const CoreBaton& shared = core.queue.core();
  const uint64_t since = shared.idle_since.load(std::memory_order_relaxed);
  const uint64_t idle = shared.idle_cycles.load(std::memory_order_relaxed) +
                        (since != 0 && since < now.n ? now.n - since : 0);
  const uint64_t idle_now = std::min(idle - core.idle_cycles, time);
  const double busy = 1 - static_cast<double>(idle_now) / static_cast<double>(time);
  const double delay = core.delays == 0 ? 0
                                        : static_cast<double>(core.delay_cycles) / core.delays /
                                              static_cast<double>(rate_.cycles(kLongDelay).n);
  core.load += static_cast<float>((busy + std::min(delay, 1.0) - core.load) * kLoadWeight);
  core.sampled = now;
  core.idle_cycles = idle;
  core.delay_cycles = core.delays = 0;
}

bool VSwitch::has_packets(SlotId slot) const {
  const Instance& instance = instances_[index(slot)];
  return instance.in_produced != instance.slot->from_nf.in_consumed.load(std::memory_order_acquire);
}

uint32_t VSwitch::active_on(uint32_t core, std::span<SlotId> out) const {
  const CoreRecord& c = *cores_[core];
  uint32_t count = 0;
  for (SlotId slot : c.recent) {
    const auto end = out.begin() + count;
    if (slot == kNone<SlotId> || count == out.size() || std::find(out.begin(), end, slot) != end)
      continue;
    if (instance_core_[index(slot)] == core && target_core_[index(slot)] == core &&
        instances_[index(slot)].state == InstanceState::bound)
      out[count++] = slot;
  }
  return count;
}

void VSwitch::move(SlotId slot, uint32_t core) {
  if (instances_[index(slot)].state == InstanceState::bound)
    target_core_[index(slot)] = static_cast<uint8_t>(core);
}

// An instance that is ready, and in no queue: may it change cores now?
bool VSwitch::change_core(SlotId slot) {
  uint8_t& core = instance_core_[index(slot)];
  const uint8_t target = target_core_[index(slot)];
  const InstanceState state = instances_[index(slot)].state;
  if (core == target || slot == cores_[core]->queue.owner()) return false;
  if (is_away(*cores_[core], slot)) return false;  // it is known to be only there
  if (state != InstanceState::bound && state != InstanceState::draining) return false;
  --core_bound_[core];
  ++core_bound_[target];
  ++cores_[target]->arrivals;
  core = target;
  if (!shares_.empty()) begin_share(slot);  // that core has a clock of its own
  // release, and before any grant of the new core's baton to it.
  control_.wake(slot).core.store(target, std::memory_order_release);
  return true;
}

}  // namespace mayfly
