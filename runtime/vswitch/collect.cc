// What NFs give back. Everything read here was written by a process that may be hostile: each word
// is read once, checked against private records, and then used.
#include <bit>

#include "runtime/vswitch/vswitch.h"

namespace mayfly {

// Takes kCollectMax descriptors at most; NFs whose bell was heard and whose turn did not come wait
// in rung_ for the next turn.
bool VSwitch::collect(Cycles now) {
  if (shared_ring_.exists()) {
    if (!cores_.empty()) answer_bells();
    return collect_shared(now);
  }
  constexpr uint32_t kBatch = 64;
  SlotId rung[kBatch];
  Returned returned[kCollectMax];
  Hop hops[kCollectMax];
  const uint32_t rung_count = gather_rung(rung);
  uint32_t count = 0;
  for (uint32_t i = 0; i < rung_count; ++i)
    count += take_returned(rung[i], {returned + count, kCollectMax - count});
  uint32_t hop_count = 0;
  for (uint32_t i = 0; i < count; ++i) hop_count += take_back(returned[i], now, hops[hop_count]);
  forward({hops, hop_count});
  // Only now: a packet between two NFs is held by neither.
  for (uint32_t i = 0; i < rung_count; ++i) {
    const Instance& instance = instances_[index(rung[i])];
    if (instance.state == InstanceState::draining && instance.held == 0)
      finish_if_drained(instance.binding);
    else if (!cores_.empty() && !instance.in_ready &&
             (instance.held != 0 || absence_of(rung[i]) == Absence::back))
      ready_again(rung[i]);
  }
  return count != 0;
}

// The next NFs whose output is to be read, oldest bell first; their lines on the way to the cache.
uint32_t VSwitch::gather_rung(std::span<SlotId> rung) {
  hear_doorbells();
  const uint32_t count = std::min<uint32_t>(rung_count_, static_cast<uint32_t>(rung.size()));
  for (uint32_t i = 0; i < count; ++i) {
    const SlotId slot = rung_[rung_head_];
    rung_head_ = rung_head_ + 1 == slot_count_ ? 0 : rung_head_ + 1;
    in_rung_[index(slot)] = 0;
    __builtin_prefetch(&instances_[index(slot)], 1);
    __builtin_prefetch(&control_.slot(slot).from_nf);
    rung[i] = slot;
  }
  rung_count_ -= count;
  return count;
}

void VSwitch::hear_doorbells() {
  for (uint32_t s = 0; s < slot_count_ / 4096; ++s) {
    if (doorbells_.summary[s].load(std::memory_order_relaxed) == 0) continue;
    // acquire: the words set before this summary bit are visible.
    uint64_t words = doorbells_.summary[s].exchange(0, std::memory_order_acquire);
    for (; words != 0; words &= words - 1) {
      const uint32_t word = s * 64 + static_cast<uint32_t>(std::countr_zero(words));
      // acquire pairs with the NF's release: its output index is visible.
      uint64_t bits = doorbells_.words[word].exchange(0, std::memory_order_acquire);
      for (; bits != 0; bits &= bits - 1)
        hear(SlotId{word * 64 + static_cast<uint32_t>(std::countr_zero(bits))});
    }
  }
}

void VSwitch::hear(SlotId slot) {
  if (in_rung_[index(slot)]) return;  // each at most once: the FIFO cannot overflow
  in_rung_[index(slot)] = 1;
  const uint32_t tail = rung_head_ + rung_count_++;
  rung_[tail >= slot_count_ ? tail - slot_count_ : tail] = slot;
}

// Reads the descriptors an NF has returned, as many as fit; the rest comes with the next turn.
uint32_t VSwitch::take_returned(SlotId slot, std::span<Returned> out) {
  Instance& instance = instances_[index(slot)];
  if (instance.state == InstanceState::free || instance.state >= InstanceState::dead) return 0;
  RingConsumer ring(instance.slot->out_entries(ring_mask_ + 1), ring_mask_);
  ring.restart(instance.out_consumed);
  const auto waiting = ring.waiting(instance.slot->from_nf.out_produced);
  if (!waiting) {
    condemn(slot);
    return 0;
  }
  const uint32_t count = std::min<uint32_t>(*waiting, static_cast<uint32_t>(out.size()));
  for (uint32_t i = 0; i < count; ++i) {
    const Descriptor d = ring.take();
    out[i] = {slot, d};
    if (raw(d.buffer()) < arena_.buffer_count()) __builtin_prefetch(&arena_.meta(d.buffer()), 1);
  }
  instance.out_consumed = ring.taken();
  ring.publish(instance.slot->from_switch.out_consumed);
  if (count < *waiting) hear(slot);
  return count;
}

// One returned descriptor: checked, then on its way. True if `hop` says to which NF.
bool VSwitch::take_back(const Returned& returned, Cycles now, Hop& hop) {
  Instance& instance = instances_[index(returned.slot)];
  const Descriptor d = returned.descriptor;
  const auto op = static_cast<FromNf>(d.op());
  if (instance.state >= InstanceState::dead) return false;  // condemned in this very batch
  if (op == FromNf::ask_blanks) {
    lend_blanks(instance, returned.slot, d.argument());
    return false;
  }
  if (raw(d.buffer()) >= arena_.buffer_count()) {
    condemn(returned.slot);
    return false;
  }
  PacketMeta& meta = arena_.meta(d.buffer());
  if (meta.holder != raw(returned.slot) || meta.generation != d.generation() ||
      d.offset() + d.length() > arena_.buffer_bytes(d.buffer()) || op == FromNf::service) {
    condemn(returned.slot);
    return false;
  }
  if (meta.binding == kBlankLoan) return take_back_blank(instance, returned.slot, d, now, hop);
  if (op > FromNf::out) {
    condemn(returned.slot);
    return false;
  }
  meta.holder = kHeldBySwitch;
  meta.offset = static_cast<uint16_t>(d.offset());
  meta.length = static_cast<uint16_t>(d.length());
  --instance.held;
  if (instance.held == 0) instance.wake.on_served();
  if (instance.window != window_) [[unlikely]] {
    instance.window = window_;
    ++returned_;
  }
  return next_hop(d.buffer(), op, d.argument(), hop);
}

bool VSwitch::take_back_blank(Instance& instance, SlotId slot, Descriptor d, Cycles now, Hop& hop) {
  const auto op = static_cast<FromNf>(d.op());
  const BufferId b = d.buffer();
  PacketMeta& meta = arena_.meta(b);
  if (op != FromNf::return_blank && op != FromNf::originate_next && op != FromNf::originate_out) {
    condemn(slot);
    return false;
  }
  meta.holder = kHeldBySwitch;
  --instance.loaned;
  if (op == FromNf::return_blank || instance.binding == kNone<BindingId>) {
    arena_.free(b);
    return false;
  }
  ++ledger_.originated;
  const ChainBinding& binding = bindings_[index(instance.binding)];
  meta.due_tsc = now.n;
  meta.binding = raw(instance.binding);
  meta.position = instance.position;
  meta.port_in = 0xff;
  meta.out = raw(binding.out);
  meta.offset = static_cast<uint16_t>(d.offset());
  meta.length = static_cast<uint16_t>(d.length());
  if (binding.tenant_counted) ++tenants_[index(binding.tenant)].packets_held;
  return next_hop(b, op == FromNf::originate_next ? FromNf::next : FromNf::out, d.argument(), hop);
}

// Where a packet goes after the NF at its position.
bool VSwitch::next_hop(BufferId b, FromNf op, uint8_t argument, Hop& hop) {
  PacketMeta& meta = arena_.meta(b);
  if (op == FromNf::drop) {
    drop(b, Drop::nf_drop);
    return false;
  }
  if (op == FromNf::out) {
    transmit(b, PortId{argument});
    return false;
  }
  const BindingId binding{meta.binding};
  if (++meta.position < bindings_[index(binding)].length) {
    hop = {b, binding, 0, meta.position};
    return true;
  }
  transmit(b, PortId{meta.out});
  return false;
}

void VSwitch::lend_blanks(Instance& instance, SlotId slot, uint32_t wanted) {
  const uint32_t most = nfs_[index(instance.nf)].blanks;
  for (; wanted > 0 && instance.loaned < most; --wanted) {
    const BufferId b = arena_.alloc();
    if (b == kNone<BufferId>) return;
    PacketMeta& meta = arena_.meta(b);
    meta.binding = kBlankLoan;
    meta.holder = raw(slot);
    meta.ring_index = instance.in_produced;
    meta.generation = (meta.generation + 1) & 0xf;
    instance.slot->in_entries()[instance.in_produced++ & ring_mask_] = Descriptor::make(
        b, meta.generation, kHeadroomBytes, 0, static_cast<uint8_t>(ToNf::blank), 0);
    ++instance.loaned;
    if (!instance.touched) {
      instance.touched = true;
      touched_.push_back(slot);
    }
  }
}

void VSwitch::transmit(BufferId b, PortId port) {
  if (index(port) >= ports_.size()) [[unlikely]]
    return drop(b, Drop::no_out_port);
  leave(b);
  ports_[index(port)]->queue(b, ledger_);
}

void VSwitch::drop(BufferId b, Drop reason) {
  leave(b);
  ledger_.drop(reason);
  arena_.free(b);
}

// The packet leaves its tenant's account.
void VSwitch::leave(BufferId b) {
  const BindingId id{arena_.meta(b).binding};
  if (id == kNone<BindingId>) return;
  const ChainBinding& binding = bindings_[index(id)];
  if (binding.tenant_counted) --tenants_[index(binding.tenant)].packets_held;
}

// It broke the ABI: nothing more is taken from it, and it dies. What it holds is freed when its
// death is reported, because until then it can still write there.
void VSwitch::condemn(SlotId slot) {
  Instance& instance = instances_[index(slot)];
  if (instance.state >= InstanceState::dead) return;
  if (instance.state == InstanceState::idle) leave_pool(instance.nf, slot);
  instance.state = InstanceState::dead;
  ++violations_;
  condemned_.push_back(slot);
  want_attention();
}

}  // namespace mayfly
