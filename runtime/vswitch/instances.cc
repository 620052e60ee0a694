// Instances: bound, given back, missing, dead.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

// ---------------------------------------------------------------------------------------------
// Binding: a few stores, no system call.

void VSwitch::add_idle(NfId nf, std::span<const SlotId> slots) {
  for (SlotId slot : slots) {
    Instance& instance = instances_[index(slot)];
    Slot* memory = instance.slot;
    const bool in_ready = instance.in_ready;  // still queued from the slot's last process: harmless
    instance = Instance{};
    instance.slot = memory;
    instance.in_ready = in_ready;
    instance.nf = nf;
    instance.state = InstanceState::idle;
    if (!serve_vacancy(nf, slot)) add_to_pool(nf, slot);
  }
}

void VSwitch::bind_instance(SlotId slot, BindingId b, uint8_t position) {
  ChainBinding& binding = bindings_[index(b)];
  Instance& instance = instances_[index(slot)];
  NfRecord& nf = nfs_[index(instance.nf)];
  binding.places[position] = raw(slot);
  instance.binding = b;
  instance.position = position;
  instance.state =
      binding.state == BindingState::live ? InstanceState::bound : InstanceState::draining;
  instance.wake_params = &chains_[index(binding.chain)].wake[position];
  instance.wake.begin(*instance.wake_params);
  if (!shares_.empty()) begin_share(slot);
  instance_blob_[index(slot)] = blob_for(binding, instance.nf);
  use_blob(instance_blob_[index(slot)]);
  write_binding(instance, BindWrite::bind);
  ++nf.binds;
  ++nf.bound_count;
  ++core_bound_[instance_core_[index(slot)]];
  if (instance.loaned < nf.blanks) lend_blanks(instance, slot, nf.blanks - instance.loaned);
  if (nf.tick_period.n != 0) timers_.arm(tick_timer(slot), now_ + nf.tick_period);
}

// Back to its pool. It is not woken: it resets itself when its next binding's first packet comes.
void VSwitch::unbind_instance(SlotId slot) {
  Instance& instance = instances_[index(slot)];
  NfRecord& nf = nfs_[index(instance.nf)];
  forget_binding(instance, slot);
  if (instance.state >= InstanceState::dead) return;  // its death is on the way, and frees it
  instance.state = InstanceState::idle;
  write_binding(instance, BindWrite::unbind);
  ++nf.recycles;
  if (!serve_vacancy(instance.nf, slot)) add_to_pool(instance.nf, slot);
}

void VSwitch::forget_binding(Instance& instance, SlotId slot) {
  timers_.cancel(raw(slot));
  timers_.cancel(tick_timer(slot));
  instance.binding = kNone<BindingId>;
  drop_blob(std::exchange(instance_blob_[index(slot)], kNone<BlobId>));
  --nfs_[index(instance.nf)].bound_count;
  --core_bound_[instance_core_[index(slot)]];
}

// The writer's half of the bind sequence lock (slot.h).
void VSwitch::write_binding(Instance& instance, BindWrite what) {
  SlotFromSwitch& to = instance.slot->from_switch;
  // Our own line: what it says was written by us, but an NF may have scribbled over it. Only the
  // sequence's parity matters, and it is forced.
  const uint32_t seq = (to.bind_seq.load(std::memory_order_relaxed) + 1) | 1;
  to.bind_seq.store(seq, std::memory_order_relaxed);
  // Orders the odd sequence before the fields.
  std::atomic_thread_fence(std::memory_order_release);
  to.flags.store(what == BindWrite::unbind ? 0 : kSlotBound, std::memory_order_relaxed);
  if (what != BindWrite::unbind) {
    const ChainBinding& binding = bindings_[index(instance.binding)];
    const BlobId blob = instance_blob_[static_cast<size_t>(&instance - instances_.data())];
    const BlobRecord config = blob == kNone<BlobId> ? BlobRecord{} : blobs_[index(blob)];
    to.config_offset.store(config.offset, std::memory_order_relaxed);
    to.config_bytes.store(config.bytes, std::memory_order_relaxed);
    to.tenant.store(raw(binding.tenant), std::memory_order_relaxed);
    if (what == BindWrite::bind)
      to.bind_epoch.store(to.bind_epoch.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
    instance.slot->bound_to.key = binding_keys_[index(instance.binding)].key;
  }
  // release pairs with the NF's acquire: the fields before the even sequence.
  to.bind_seq.store(seq + 1, std::memory_order_release);
}

BlobId VSwitch::blob_for(const ChainBinding& binding, NfId nf) const {
  if (binding.tenant != kNone<TenantId>)
    for (const auto& [of, blob] : tenants_[index(binding.tenant)].blobs)
      if (of == nf) return blob;
  return nfs_[index(nf)].blob;
}

void VSwitch::define_blob(BlobId blob, BlobRecord record) {
  if (blobs_.size() <= index(blob)) {
    blobs_.resize(index(blob) + 1);
    blob_users_.resize(index(blob) + 1);
  }
  blobs_[index(blob)] = record;
}

void VSwitch::drop_blob(BlobId blob) {
  if (blob == kNone<BlobId> || --blob_users_[index(blob)] != 0) return;
  unused_blobs_.push_back(blob);
  want_attention();
}

// The tenant's arguments changed and its flows stay: its instances get a new configuration within
// the same binding. They are called ready so that they take it over (and let go of the old) soon.
void VSwitch::reconfigure(BindingId b) {
  const ChainBinding& binding = bindings_[index(b)];
  for (uint8_t p = 0; p < binding.length; ++p) {
    const uint32_t place = binding.places[p];
    const SlotId slot =
        place & kVacantBit ? vacancies_[place & ~kVacantBit].reserved : SlotId{place};
    if (slot == kNone<SlotId>) continue;
    Instance& instance = instances_[index(slot)];
    if (instance.state != InstanceState::bound) continue;
    if (!shares_.empty()) weigh(slot);
    const BlobId blob = blob_for(binding, instance.nf);
    BlobId& current = instance_blob_[index(slot)];
    if (blob == current) continue;
    use_blob(blob);
    drop_blob(std::exchange(current, blob));
    write_binding(instance, BindWrite::reconfigure);
    call_ready(slot);
  }
}

// ---------------------------------------------------------------------------------------------
// Vacancies: places without an instance, and the packets that wait there.

uint32_t VSwitch::make_vacancy(BindingId b, uint8_t position, SlotId reserved) {
  MAYFLY_CHECK(!free_vacancies_.empty());
  const uint32_t vacancy = free_vacancies_.back();
  free_vacancies_.pop_back();
  vacancies_[vacancy] = Vacancy{};
  vacancies_[vacancy].binding = b;
  vacancies_[vacancy].position = position;
  vacancies_[vacancy].reserved = reserved;
  bindings_[index(b)].places[position] = kVacantBit | vacancy;
  return vacancy;
}

void VSwitch::queue_vacancy(uint32_t vacancy, Cycles now) {
  Vacancy& v = vacancies_[vacancy];
  const ChainBinding& binding = bindings_[index(v.binding)];
  NfRecord& nf = nfs_[index(chains_[index(binding.chain)].nfs[v.position])];
  v.queued = true;
  v.backing_off = false;
  nf.vacancies[(nf.vacancy_head + nf.vacancy_count++) % nf.vacancies.size()] = vacancy;
  timers_.arm(vacancy_timer(vacancy), now + rate_.cycles(kVacancyPatience));
  want_attention();
}

// The oldest place that waits for this kind of NF gets the instance.
bool VSwitch::serve_vacancy(NfId id, SlotId slot) {
  NfRecord& nf = nfs_[index(id)];
  while (nf.vacancy_count != 0) {
    const uint32_t vacancy = nf.vacancies[nf.vacancy_head];
    nf.vacancy_head = (nf.vacancy_head + 1) % static_cast<uint32_t>(nf.vacancies.size());
    --nf.vacancy_count;
    vacancies_[vacancy].queued = false;
    if (vacancies_[vacancy].binding == kNone<BindingId>) {  // given up meanwhile
      free_vacancies_.push_back(vacancy);
      continue;
    }
    Vacancy& v = vacancies_[vacancy];
    bind_instance(slot, v.binding, v.position);
    if (v.gate == 0) {
      fulfil(vacancy, slot);
    } else {
      v.reserved = slot;
      bindings_[index(v.binding)].places[v.position] = kVacantBit | vacancy;
    }
    return true;
  }
  return false;
}

// `slot` is bound to the vacancy's place: what waited there goes to it, in order.
void VSwitch::fulfil(uint32_t vacancy, SlotId slot) {
  Vacancy& v = vacancies_[vacancy];
  bindings_[index(v.binding)].places[v.position] = raw(slot);
  Instance& instance = instances_[index(slot)];
  const BindingId binding = v.binding;
  if (bindings_[index(binding)].state != BindingState::live &&  // released behind its gate
      instance.state == InstanceState::bound)
    instance.state = InstanceState::draining;
  for (uint32_t b = v.first; b != 0xffffffff;) {
    const uint32_t next = arena_.meta(BufferId{b}).link;
    push(instance, slot, BufferId{b});
    b = next;
  }
  v.count = 0;
  remove_vacancy(vacancy);
  finish_if_drained(binding);
}

void VSwitch::remove_vacancy(uint32_t vacancy) {
  Vacancy& v = vacancies_[vacancy];
  timers_.cancel(vacancy_timer(vacancy));
  timers_.cancel(gate_timer(vacancy));
  v.gate = 0;
  if (v.reserved != kNone<SlotId> &&
      bindings_[index(v.binding)].places[v.position] == (kVacantBit | vacancy))
    unbind_instance(v.reserved);
  v.binding = kNone<BindingId>;
  if (!v.queued) free_vacancies_.push_back(vacancy);  // else when its turn in the queue comes
}

// Bounded: no more than its future instance may hold.
void VSwitch::add_to_backlog(uint32_t vacancy, BufferId b) {
  Vacancy& v = vacancies_[vacancy];
  const ChainBinding& binding = bindings_[index(v.binding)];
  const NfRecord& nf = nfs_[index(chains_[index(binding.chain)].nfs[v.position])];
  if (v.backing_off) return drop(b, Drop::instance_backoff);
  if (v.count >= nf.held_max) return drop(b, Drop::backlog_full);
  arena_.meta(b).link = 0xffffffff;
  arena_.meta(b).position = v.position;
  if (v.count++ == 0) v.first = raw(b);
  else arena_.meta(BufferId{v.last}).link = raw(b);
  v.last = raw(b);
  const uint32_t timer = vacancy_timer(vacancy);
  if (v.queued && !timers_.armed(timer))
    timers_.arm(timer, now_ + rate_.cycles(kVacancyPatience));
}

void VSwitch::drop_backlog(uint32_t vacancy, Drop reason) {
  Vacancy& v = vacancies_[vacancy];
  for (uint32_t b = v.first; b != 0xffffffff;) {
    const uint32_t next = arena_.meta(BufferId{b}).link;
    drop(BufferId{b}, reason);
    b = next;
  }
  v.first = v.last = 0xffffffff;
  v.count = 0;
  finish_if_drained(v.binding);
}

// Either its back-off is over, or its packets have waited long enough.
void VSwitch::on_vacancy_timer(uint32_t vacancy, Cycles now) {
  Vacancy& v = vacancies_[vacancy];
  if (v.binding == kNone<BindingId>) return;
  if (v.reserved != kNone<SlotId>) return;  // it has its instance, and waits for a gate
  if (!v.backing_off) return drop_backlog(vacancy, Drop::pool_empty);
  const ChainBinding& binding = bindings_[index(v.binding)];
  NfRecord& nf = nfs_[index(chains_[index(binding.chain)].nfs[v.position])];
  queue_vacancy(vacancy, now);
  if (nf.idle.empty()) return;
  const SlotId slot = take_idle(nf);
  const NfId id = instances_[index(slot)].nf;
  if (!serve_vacancy(id, slot)) add_to_pool(id, slot);
}

// ---------------------------------------------------------------------------------------------
// Deaths.

// One pass over the buffers for all deaths together: what each had not consumed is set aside in
// order (salvaged_), what it had consumed and not returned is lost, its blanks come back.
void VSwitch::salvage() {
  salvaged_.clear();
  for (uint32_t i = 0; i < arena_.buffer_count(); ++i) {
    PacketMeta& meta = arena_.meta(BufferId{i});
    if (meta.holder >= slot_count_) continue;
    Instance& instance = instances_[meta.holder];
    if (instance.state != InstanceState::dying) continue;
    if (meta.binding == kBlankLoan) {
      arena_.free(BufferId{i});
      continue;
    }
    // The dead NF's word for how far it had read; an impossible one means it read everything.
    const uint32_t consumed = instance.slot->from_nf.in_consumed.load(std::memory_order_acquire);
    const bool plausible = instance.in_produced - consumed <= ring_mask_ + 1;
    if (plausible && static_cast<int32_t>(meta.ring_index - consumed) >= 0) {
      salvaged_.push_back(BufferId{i});
    } else {
      drop(BufferId{i}, Drop::nf_died);
    }
  }
  std::sort(salvaged_.begin(), salvaged_.end(), [&](BufferId a, BufferId b) {
    const PacketMeta &x = arena_.meta(a), &y = arena_.meta(b);
    if (x.holder != y.holder) return x.holder < y.holder;
    return static_cast<int32_t>(x.ring_index - y.ring_index) < 0;
  });
}

void VSwitch::on_deaths(std::span<const DeathReport> deaths, Cycles now) {
  now_ = now;
  deaths_.assign(deaths.begin(), deaths.end());
  std::sort(deaths_.begin(), deaths_.end(),
            [](const auto& a, const auto& b) { return a.slot < b.slot; });
  // First what they gave back before they died, then what they still had.
  if (shared_ring_.exists()) drain_shared(now);
  for (DeathReport& death : deaths_) {
    Instance& instance = instances_[index(death.slot)];
    if (instance.state == InstanceState::free) continue;
    if (instance.state == InstanceState::dead) {
      death.crashed = true;  // condemned: it broke the ABI
      continue;
    }
    if (shared_ring_.exists()) continue;
    Returned returned[kRingEntriesMax];
    const uint32_t count = take_returned(death.slot, returned);
    Hop hop;
    for (uint32_t i = 0; i < count; ++i)
      if (take_back(returned[i], now, hop)) forward({&hop, 1});
  }
  for (const DeathReport& death : deaths_) {
    Instance& instance = instances_[index(death.slot)];
    if (instance.state == InstanceState::free) continue;
    if (instance.state == InstanceState::idle) leave_pool(instance.nf, death.slot);
    instance.state = InstanceState::dying;
  }
  salvage();
  size_t salvaged = 0;
  for (const DeathReport& death : deaths_)
    if (instances_[index(death.slot)].state == InstanceState::dying) bury(death, salvaged, now);
}

// The place of an instance that died; behind a gate it has a vacancy already.
uint32_t VSwitch::vacate(BindingId b, uint8_t position) {
  const uint32_t place = bindings_[index(b)].places[position];
  if ((place & kVacantBit) == 0) return make_vacancy(b, position, kNone<SlotId>);
  vacancies_[place & ~kVacantBit].reserved = kNone<SlotId>;
  return place & ~kVacantBit;
}

void VSwitch::bury(const DeathReport& death, size_t& salvaged, Cycles now) {
  Instance& instance = instances_[index(death.slot)];
  NfRecord& nf = nfs_[index(instance.nf)];
  ++nf.deaths;
  if (std::exchange(instance.window, 0) == window_) --returned_;  // the living count
  const BindingId b = instance.binding;
  const uint8_t position = instance.position;
  if (b != kNone<BindingId>) forget_binding(instance, death.slot);
  instance.state = InstanceState::free;
  leave_queue(death.slot);
  instance.held = instance.loaned = 0;
  const auto next_is_its = [&] {
    return salvaged < salvaged_.size() &&
           arena_.meta(salvaged_[salvaged]).holder == raw(death.slot);
  };
  if (b == kNone<BindingId>) {
    while (next_is_its()) drop(salvaged_[salvaged++], Drop::nf_died);
    return;
  }
  ChainBinding& binding = bindings_[index(b)];
  const uint32_t vacancy = vacate(b, position);
  while (next_is_its()) {
    const BufferId waiting = salvaged_[salvaged++];
    arena_.meta(waiting).holder = kHeldBySwitch;
    add_to_backlog(vacancy, waiting);
  }
  if (death.crashed) {
    const bool again = now.n - binding.last_crash_tsc < rate_.cycles(kCrashWindow).n;
    binding.crashes = again ? static_cast<uint8_t>(std::min(binding.crashes + 1, 20)) : 1;
    binding.last_crash_tsc = now.n;
  }
  if (death.crashed && binding.crashes > kCrashesFree) {
    drop_backlog(vacancy, Drop::instance_backoff);
    vacancies_[vacancy].backing_off = true;
    const int doubled = std::min(binding.crashes - kCrashesFree - 1, 10);
    timers_.arm(vacancy_timer(vacancy), now + rate_.cycles(millis(int64_t{10} << doubled)));
    finish_if_drained(b);
    return;
  }
  queue_vacancy(vacancy, now);
  if (!nf.idle.empty()) {
    const SlotId successor = take_idle(nf);
    const NfId id = instances_[index(successor)].nf;
    if (!serve_vacancy(id, successor)) add_to_pool(id, successor);
  }
  finish_if_drained(b);
}

}  // namespace mayfly
