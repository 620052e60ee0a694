#include "nfpool/nf_loop.h"

#include <immintrin.h>
#include <sched.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "scheduler/park.h"

namespace mayfly {

NfLoop::NfLoop(const NfEnvironment& environment, SlotId slot, int wake_fd)
    : env_(environment),
      slot_id_(slot),
      slot_(environment.control.slot(slot)),
      wake_(environment.control.wake(slot)),
      wake_fd_(wake_fd),
      out_(environment.control, slot) {
  const RegionHeader& header = environment.control.header();
  const uint32_t entries = header.ring_entries;
  in_ = RingConsumer(slot_.in_entries(), entries - 1);
  ns_per_cycle_q32_ = static_cast<uint64_t>((static_cast<unsigned __int128>(1'000'000'000) << 32) /
                                            header.tsc_hz);
  slot_.from_nf.pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);
}

void NfLoop::run() {
  if (env_.control.header().dispatch == Dispatch::baton) {
    BatonSeat seat(env_.control, wake_.core.load(std::memory_order_relaxed), slot_id_);
    for (;;)
      if (!baton_turn(seat)) park(Dispatch::baton, wake_, wake_fd_);
  }
  for (;;)
    if (!turn()) sleep();
}

bool NfLoop::turn() {
  // The ring first, the binding second: the vSwitch publishes a binding before its first packet,
  // so whoever sees the packet (acquire) sees the binding too.
  const uint32_t waiting = in_.waiting(slot_.from_switch.in_produced).value_or(0);
  if (slot_.from_switch.bind_seq.load(std::memory_order_acquire) != bind_seq_) take_binding();
  bool worked = false;
  if (waiting != 0) {
    process(waiting);
    worked = true;
  }
  if (env_.image->tick_period_ns != 0) worked |= tick_if_due(tsc_now().n);
  return worked;
}

void NfLoop::take_binding() {
  const SlotFromSwitch& from = slot_.from_switch;
  Binding binding;
  InstanceKey key;
  uint32_t epoch, seq;
  for (uint32_t tries = 0;; ++tries) {
    seq = from.bind_seq.load(std::memory_order_acquire);
    if ((seq & 1) == 0) {
      epoch = from.bind_epoch.load(std::memory_order_relaxed);
      binding.tenant = from.tenant.load(std::memory_order_relaxed);
      const uint32_t offset = from.config_offset.load(std::memory_order_relaxed);
      binding.config = {env_.bind_base + offset, from.config_bytes.load(std::memory_order_relaxed)};
      bound_ = from.flags.load(std::memory_order_relaxed) & kSlotBound;
      key = slot_.bound_to.key;
      // Orders the reads above before the check below (the reader's half of a seqlock).
      std::atomic_thread_fence(std::memory_order_acquire);
      if (from.bind_seq.load(std::memory_order_relaxed) == seq) break;
    }
    if (tries > 1000) sched_yield();  // the vSwitch lcore was preempted between two stores
    _mm_pause();
  }
  bind_seq_ = seq;
  if (bound_) {
    if (epoch != bind_epoch_ && bind_epoch_ != 0) env_.nf->reset();
    bind_epoch_ = epoch;
    binding.key_kind = static_cast<uint8_t>(key.kind);
    binding.key = {key.bytes, kKeyBytes};
    env_.nf->bind(binding);
  }
  // release: whatever the NF read from its former configuration it has read by now.
  slot_.from_nf.bind_seq_seen.store(seq, std::memory_order_release);
}

uint32_t NfLoop::take_packets(uint32_t waiting) {
  const RegionHeader& header = env_.control.header();
  uint32_t count = 0;
  for (uint32_t i = 0; i < waiting && count < burst_max_; ++i) {
    const Descriptor d = in_.take();
    if (d.op() == static_cast<uint8_t>(ToNf::blank)) {
      if (blank_count_ < kLoanCountMax) blank_descriptors_[blank_count_++] = d;
      asked_ = false;
      continue;
    }
    uint8_t* buffer = env_.arena + buffer_offset(d.buffer(), header.small_count);
    __builtin_prefetch(buffer + d.offset());
    packets_now_[count] = Packet(buffer, buffer_bytes(d.buffer(), header.small_count), d.offset(),
                                 d.length(), d.argument());
    taken_[count++] = d;
  }
  in_.publish(slot_.from_nf.in_consumed);
  return count;
}

void NfLoop::process(uint32_t waiting) {
  const uint32_t count = take_packets(waiting);
  if (count == 0) return;
  const RegionHeader& header = env_.control.header();
  for (uint32_t i = 0; i < blank_count_; ++i) {
    const Descriptor d = blank_descriptors_[i];
    blanks_now_[i] = Packet(env_.arena + buffer_offset(d.buffer(), header.small_count),
                            buffer_bytes(d.buffer(), header.small_count), kHeadroomBytes, 0, 0xff);
  }
  const uint64_t begin = tsc_now().n, away = away_cycles_;
  Burst burst({packets_now_, count}, {blanks_now_, blank_count_}, to_ns(begin));
  env_.nf->process(burst);
  if (++bursts_ % kSampleEvery == 0) {
    cost_cycles_ += tsc_now().n - begin - (away_cycles_ - away);
    cost_packets_ += count;
    slot_.from_nf.cost_cycles.store(cost_cycles_, std::memory_order_relaxed);
    slot_.from_nf.cost_packets.store(cost_packets_, std::memory_order_relaxed);
  }
  packets_ += count;
  give_back(burst, count);
}

void NfLoop::give_back(const Burst& burst, uint32_t packet_count) {
  for (uint32_t i = 0; i < packet_count; ++i) {
    const Packet& p = packets_now_[i];
    const auto op = p.verdict() == Verdict::next   ? FromNf::next
                    : p.verdict() == Verdict::drop ? FromNf::drop
                                                   : FromNf::out;
    out_.write(taken_[i].with(op, p.out_port(), p.offset(), p.size()));
  }
  if (burst.originated() != 0) give_back_originated(burst);
  // An ask that was heard and brought nothing (no buffer was free) is made again.
  if (asked_ && out_.heard(asked_at_)) asked_ = false;
  if (blank_count_ < env_.image->blank_buffers && !asked_) ask_for_blanks();
  slot_.from_nf.packets.store(packets_, std::memory_order_relaxed);
  slot_.from_nf.bursts.store(bursts_, std::memory_order_relaxed);
  out_.publish();
}

// The first `originated` blanks now hold packets; the others stay on loan.
void NfLoop::give_back_originated(const Burst& burst) {
  const auto used = static_cast<uint32_t>(burst.originated());
  for (uint32_t i = 0; i < used; ++i) {
    const Packet& p = blanks_now_[i];
    const Descriptor d = blank_descriptors_[i];
    if (p.verdict() == Verdict::drop)
      out_.write(d.with(FromNf::return_blank, 0, kHeadroomBytes, 0));
    else
      out_.write(d.with(
          p.verdict() == Verdict::out ? FromNf::originate_out : FromNf::originate_next,
          p.out_port(), p.offset(), p.size()));
  }
  for (uint32_t i = used; i < blank_count_; ++i) blank_descriptors_[i - used] = blank_descriptors_[i];
  blank_count_ -= used;
}

void NfLoop::ask_for_blanks() {
  const uint32_t wanted = std::min(env_.image->blank_buffers, kLoanCountMax) - blank_count_;
  asked_at_ = out_.ask(Descriptor::make(BufferId{0}, 0, 0, 0,
                                        static_cast<uint8_t>(FromNf::ask_blanks),
                                        static_cast<uint8_t>(wanted)));
  asked_ = true;
}

bool NfLoop::tick_if_due(uint64_t now_tsc) {
  const uint64_t due = wake_.tick_due.load(std::memory_order_relaxed);
  if (due == 0 || due > now_tsc || !bound_) return false;
  wake_.tick_due.store(0, std::memory_order_relaxed);
  env_.nf->tick(to_ns(now_tsc));
  return true;
}

bool NfLoop::something_to_do() const {
  if (in_.waiting(slot_.from_switch.in_produced).value_or(0) != 0) return true;
  if (slot_.from_switch.bind_seq.load(std::memory_order_relaxed) != bind_seq_) return true;
  const uint64_t due = wake_.tick_due.load(std::memory_order_relaxed);
  return due != 0 && bound_ && due <= tsc_now().n;
}

void NfLoop::sleep() {
  const Dispatch dispatch = env_.control.header().dispatch;
  if (dispatch == Dispatch::poll && bound_) {
    _mm_pause();
    return;
  }
  wake_.word.store(kAsleep, std::memory_order_relaxed);
  // Pairs with the vSwitch's fence between publishing packets and reading the word: one of the two
  // sees the other (runtime/abi/wake.h, steps 2 and b).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (something_to_do()) {
    wake_.word.store(kAwake, std::memory_order_relaxed);
    return;
  }
  park(dispatch, wake_, wake_fd_);
}

}  // namespace mayfly
