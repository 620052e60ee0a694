// Dispatch `baton`: orders other than first come, first served.
//
//   deadline   the key is when the NF's oldest packet has waited its ageing time. Deadlines only
//              grow: an NF's next one is later than its last turn by an ageing time, so that
//              whoever waits is overtaken, once his deadline is past, by each other once at most.
//   weighted   the key is a tag in virtual time (scheduler/fair_clock.h).
//
// What holders see cannot be reordered, so that as little as possible is put there (ShownNfs).
#include <cmath>

#include "runtime/vswitch/vswitch.h"

namespace mayfly {
namespace {

constexpr Nanos kLongestAging = seconds(10);  // where there is none

}  // namespace

void VSwitch::rank(CoreRecord& core, SlotId slot) {
  if (shares_.empty()) return core.ready.push(slot, deadline_of(instances_[index(slot)]), now_);
  FairShare& share = shares_[index(slot)];
  if (slot != core.serving) core.clock.enter(share);  // else it has not slept
  core.ready.push(slot, FairClock::key(share.tag), now_);
}

// `since` is the first packet that came after its last turn; what that turn has left counts from
// now, like a tick: else whoever has too much to do would always be the first.
uint64_t VSwitch::deadline_of(const Instance& instance) const {
  const bool never = instance.wake_params == nullptr || instance.wake_params->aging == kNoAging;
  const Cycles aging = never ? rate_.cycles(kLongestAging) : instance.wake_params->aging;
  return (instance.wake.waiting != 0 ? instance.wake.since : now_.n) + aging.n;
}

bool VSwitch::fill_by_key(CoreRecord& core, Cycles now) {
  const bool pushed = show_first(core, now);
  core.queue.set_wanted(!core.ready.empty());
  return pushed;
}

bool VSwitch::show_first(CoreRecord& core, Cycles now) {
  ShownNfs& shown = core.shown;
  const uint32_t waiting = core.queue.waiting();
  if (shown.cut && waiting == 0)
    shown.max = std::min(2 * shown.max, ShownNfs::kMax);
  else if (waiting > shown.max / 2)
    shown.max = std::max(shown.max - 1, ShownNfs::kMin);
  shown.cut = false;
  if (core.ready.empty()) return false;
  double limit = shares_.empty() ? HUGE_VAL : horizon(core, now);
  bool pushed = false;
  while (!core.ready.empty()) {
    shown.cut = core.queue.waiting() >= shown.max || core.queue.full();
    if (shown.cut) break;
    if (!shares_.empty() && core.ready.first().key > FairClock::key(limit)) break;
    const ReadyOrder::Entry next = core.ready.pop_first();
    if (!shares_.empty()) {
      const FairShare& share = shares_[index(next.slot)];
      if (FairClock::key(share.tag) > next.key) {  // charged since it became ready
        core.ready.push(next.slot, FairClock::key(share.tag), next.since);
        continue;
      }
      if (show(core, next.slot, next.since)) {
        limit = std::min(limit, FairClock::finish(share));
        pushed = true;
      }
    } else {
      pushed |= show(core, next.slot, next.since);
    }
  }
  return pushed;
}

// ---------------------------------------------------------------------------------------------
// Order `weighted`

// The least tag that one of those before the next will come back with.
double VSwitch::horizon(CoreRecord& core, Cycles now) {
  double least = HUGE_VAL;
  core.queue.for_each_waiting(
      [&](SlotId slot) { least = std::min(least, FairClock::finish(shares_[index(slot)])); });
  const SlotId owner = core.queue.owner();
  if (owner != kNone<SlotId> && owner_goes_on(core, now))
    least = std::min(least, core.clock.finish_of_owner(shares_[index(owner)], clock_()));
  return least;
}

// It has more to do, and gets on with it: a hung one is not waited for.
bool VSwitch::owner_goes_on(CoreRecord& core, Cycles now) {
  ShownNfs& shown = core.shown;
  const SlotId owner = core.queue.owner();
  const Instance& instance = instances_[index(owner)];
  const uint32_t consumed = instance.slot->from_nf.in_consumed.load(std::memory_order_relaxed);
  if (owner != shown.owner || consumed != shown.owner_consumed) {
    shown.owner = owner;
    shown.owner_consumed = consumed;
    shown.progress = now;
  }
  return consumed != instance.in_produced &&
         now.n - shown.progress.n < rate_.cycles(config_.baton.slice).n;
}

void VSwitch::serve(CoreRecord& core, SlotId slot) {
  const Cycles now = clock_();
  settle(core, now);
  core.serving = slot;
  core.clock.serve(shares_[index(slot)], now);
}

// Whoever had the baton last has let go of it.
void VSwitch::settle(CoreRecord& core, Cycles now) {
  if (core.serving == kNone<SlotId>) return;
  const uint64_t reported =
      control_.slot(core.serving).from_nf.held_cycles.load(std::memory_order_relaxed);
  core.clock.charge(shares_[index(core.serving)], reported, now);
  core.serving = kNone<SlotId>;
}

// The end of a look.
void VSwitch::watch_shares(CoreRecord& core) {
  const Cycles now = clock_();
  const SlotId owner = core.queue.owner();
  if (owner == kNone<SlotId>) settle(core, now);
  core.clock.look(now, owner != kNone<SlotId>, core.queue.waiting() + core.ready.size() != 0);
}

void VSwitch::set_weight(SlotId slot, double weight) {
  constexpr double kLeast = 0.01;
  if (!shares_.empty()) shares_[index(slot)].weight = std::max(weight, kLeast);
}

// It is bound: it owes nothing.
void VSwitch::begin_share(SlotId slot) {
  FairShare& share = shares_[index(slot)];
  share = FairShare{};
  share.reported = control_.slot(slot).from_nf.held_cycles.load(std::memory_order_relaxed);
  weigh(slot);
}

// As it is configured: the NF's weight in its chain, times its tenant's.
void VSwitch::weigh(SlotId slot) {
  const Instance& instance = instances_[index(slot)];
  const ChainBinding& binding = bindings_[index(instance.binding)];
  const uint32_t tenant =
      binding.tenant == kNone<TenantId> ? 100 : tenants_[index(binding.tenant)].weight;
  set_weight(slot, chains_[index(binding.chain)].weight[instance.position] * tenant / 100.0);
}

}  // namespace mayfly
