// What a new flow and its end cost beyond a packet of a known flow: the shipped VSwitch and the
// shipped NF loop with the `signature` image, in one process, driven by hand.
//
//   known   a packet of a flow that is known: received, through its chain, sent
//   first   the same for a flow never seen: also matched to a rule, entered in the flow table, and
//           an instance from the pool bound for each NF of its chain (every one of them had a flow
//           before, and resets itself in the activation that brings this packet)
//   end     expiry of a flow and recycling of its instances, without any packet
//
// Flows come in bursts of 32, all N flows once for each case, in turn, with N (warm: 64, all in
// cache; cold: 2,000) and chains of 1 and 2 NFs interleaved. vSwitch and NFs are timed apart: here
// they share a core and its caches, which two cores would not, and there is no wake.
//
// Checked: every packet comes out, every flow is bound once and every instance recycled once.
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "nfpool/image_loader.h"
#include "nfpool/nf_loop.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {
namespace {

constexpr uint32_t kFrameBytes = 64;
constexpr uint32_t kPackets = 4096;
constexpr uint64_t kSimulatedHz = 1'000'000'000;  // the vSwitch's clock: moved by hand
constexpr Nanos kIdle = millis(100);              // longer than any case takes on that clock

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "bind_cost: %s\n", what.c_str());
  std::exit(1);
}

// Gives packets of flow after flow, takes whatever is sent.
class FlowPort : public Port {
 public:
  explicit FlowPort(Arena& arena) : Port("bench", PortId{0}), arena_(arena) {}

  void offer(uint32_t first_flow, uint32_t count) { next_ = first_flow, end_ = first_flow + count; }
  uint64_t sent() const { return sent_; }

  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override {
    uint32_t n = 0;
    for (; n < out.size() && next_ != end_; ++n, ++next_) {
      const BufferId b = arena_.alloc();
      if (b == kNone<BufferId>) fail("no buffer");
      PacketMeta& meta = arena_.meta(b);
      meta.length = kFrameBytes;
      meta.port_in = 0;
      meta.due_tsc = now.n;
      write(arena_.packet(b), next_);
      out[n] = b;
    }
    ledger.rx += n;
    return n;
  }
  void queue(BufferId b, Ledger&) override { queue_.push_back(b); }
  void flush(Cycles, Ledger& ledger, Histogram&) override {
    for (BufferId b : queue_) arena_.free(b);
    ledger.tx += queue_.size();
    sent_ += queue_.size();
    queue_.clear();
  }
  void discard_queued(Ledger&, Drop) override {}
  uint32_t queued() const override { return static_cast<uint32_t>(queue_.size()); }
  PortCounters counters() const override { return {}; }
  uint32_t frame_bytes_max() const override { return kFrameBytesMax; }

 private:
  // UDP over IPv4; the flow's number is in the source address and port.
  static void write(uint8_t* p, uint32_t flow) {
    static constexpr uint8_t kHeader[42] = {2,    0, 0,   0,   0, 1, 2,  0, 0,  0,  0, 2,  8,  0,
                                            0x45, 0, 0,   50,  0, 0, 64, 0, 64, 17, 0, 0,  10, 0,
                                            0,    0, 192, 168, 0, 1, 4,  0, 0,  9,  0, 30, 0,  0};
    std::memcpy(p, kHeader, sizeof kHeader);
    std::memset(p + sizeof kHeader, 0, kFrameBytes - sizeof kHeader);
    p[27] = static_cast<uint8_t>(flow >> 16);
    p[28] = static_cast<uint8_t>(flow >> 8);
    p[29] = static_cast<uint8_t>(flow);
    p[35] = static_cast<uint8_t>(flow);
  }

  Arena& arena_;
  uint32_t next_ = 0, end_ = 0;
  uint64_t sent_ = 0;
  std::vector<BufferId> queue_;
};

// Whoever is woken runs when the bench says so.
class ListWaker : public Waker {
 public:
  void wake(SlotId slot, WakeEntry&) override { woken.push_back(slot); }
  absl::StatusOr<int> prepare(SlotId, WakeEntry&) override { return -1; }
  std::vector<SlotId> woken;
};

// Real cycles, by who spent them.
struct Spent {
  uint64_t vswitch = 0, nfs = 0;
};

// One vSwitch with a chain of `length` NFs and instances for `flow_count` flows.
class Bench {
 public:
  Bench(uint32_t flow_count, uint32_t length, const NfImage& image)
      : flow_count_(flow_count), length_(length) {
    make_config();
    auto arena = Arena::create({kPackets, 0, false, false});
    if (!arena.ok()) fail(std::string(arena.status().message()));
    arena_ = *std::move(arena);
    make_region();
    auto port = std::make_unique<FlowPort>(*arena_);
    port_ = port.get();
    ports_.push_back(std::move(port));
    vswitch_ = std::make_unique<VSwitch>(
        VSwitch::Setup{&config_, arena_.get(), control_, &ports_, &waker_, TscRate(kSimulatedHz),
                       eventfd(0, EFD_NONBLOCK), [] { return now_; }});
    vswitch_->define_blob(BlobId{0}, {0, 64});
    for (uint32_t i = 0; i < length; ++i) add_instances(static_cast<NfId>(i), image);
    vswitch_->open_traffic();
  }

  // All flows from `first` on, one packet each.
  Spent packets(uint32_t first) {
    Spent spent;
    uint64_t sent = port_->sent();
    for (uint32_t at = 0; at < flow_count_; at += kRxBurst) {
      const uint32_t count = std::min(kRxBurst, flow_count_ - at);
      port_->offer(first + at, count);
      sent += count;
      // At least one turn to each NF and one out; more where the vSwitch spreads the wakes.
      for (uint32_t turn = 0; port_->sent() != sent; ++turn) {
        if (turn > 100 * length_) fail("packets are missing");
        spent.vswitch += timed_turn();
        spent.nfs += run_woken();
      }
    }
    return spent;
  }

  // All flows are quiet long enough; `turns` is how many it took.
  uint64_t expire(uint32_t& turns) {
    now_ = now_ + Cycles{static_cast<uint64_t>(2 * kIdle.n)};
    uint64_t spent = 0;
    for (turns = 0; vswitch_->flows().size() != 0; ++turns) spent += timed_turn();
    return spent;
  }
  // As many turns, with nothing to expire.
  uint64_t empty_turns(uint32_t turns) {
    uint64_t spent = 0;
    for (uint32_t t = 0; t < turns; ++t) spent += timed_turn();
    return spent;
  }

  void check(uint64_t repetitions) const {
    for (const NfRecord& nf : vswitch_->nfs())
      if (nf.binds != repetitions * flow_count_ || nf.recycles != nf.binds)
        fail("a flow was not bound, or an instance not recycled");
    if (vswitch_->ledger().held() != 0 || vswitch_->ledger().dropped() != 0) fail("packets lost");
  }
  uint32_t flow_count() const { return flow_count_; }
  uint32_t length() const { return length_; }

 private:
  void make_config() {
    config_.packets = kPackets;
    config_.flow_count_max = 1u << 17;
    config_.tenant_packets = kPackets;
    config_.wake = {.batch = 1, .adaptive = false, .aging = millis(1)};
    config_.ports.resize(1);
    ChainConfig chain;
    for (uint32_t i = 0; i < length_; ++i) {
      NfConfig nf;
      nf.pool = {.idle = 0, .max = flow_count_, .empty = EmptyPool::drop};
      config_.nfs.push_back(nf);
      chain.nfs.push_back(static_cast<NfId>(i));
    }
    config_.chains.push_back(chain);
    FlowConfig flow;
    flow.instance_per = KeyBy::five_tuple;
    flow.out = PortId{0};
    flow.idle = kIdle;
    config_.flows.push_back(flow);
  }

  void make_region() {
    RegionHeader h{};
    h.dispatch = Dispatch::futex;
    h.tsc_hz = kSimulatedHz;
    h.slot_count = flow_count_ * length_;
    h.ring_entries = config_.ring_entries;
    h.small_count = kPackets;
    h.core_count = 1;
    lay_out(h);
    auto memory = SealedMemory::create("control", h.control_bytes, false);
    if (!memory.ok()) fail(std::string(memory.status().message()));
    memory_ = *std::move(memory);
    control_ = ControlView(memory_.base(), h);
  }

  void add_instances(NfId nf, const NfImage& image) {
    vswitch_->set_nf_blob(nf, BlobId{0});
    std::vector<SlotId> slots;
    for (uint32_t i = 0; i < flow_count_; ++i) {
      const SlotId slot{static_cast<uint32_t>(loops_.size())};
      control_.wake(slot).word.store(kAsleep);
      const NfEnvironment environment{control_, bind_region_.data(), arena_->base(), &image,
                                      image.create({bind_region_.data(), 64})};
      loops_.push_back(std::make_unique<NfLoop>(environment, slot, -1));
      slots.push_back(slot);
    }
    vswitch_->add_idle(nf, slots);
  }

  uint64_t timed_turn() {
    const uint64_t begin = tsc_now().n;
    vswitch_->turn(now_);
    const uint64_t spent = tsc_now().n - begin;
    now_ = now_ + Cycles{1000};
    return spent;
  }
  uint64_t run_woken() {
    const uint64_t begin = tsc_now().n;
    for (SlotId slot : waker_.woken) {
      while (loops_[index(slot)]->turn()) {
      }
      control_.wake(slot).word.store(kAsleep);
    }
    const uint64_t spent = tsc_now().n - begin;
    waker_.woken.clear();
    return spent;
  }

  const uint32_t flow_count_, length_;
  Config config_;
  std::unique_ptr<Arena> arena_;
  SealedMemory memory_;
  alignas(64) std::array<std::byte, 64> bind_region_{};
  ControlView control_;
  std::vector<std::unique_ptr<Port>> ports_;
  FlowPort* port_ = nullptr;
  ListWaker waker_;
  std::unique_ptr<VSwitch> vswitch_;
  std::vector<std::unique_ptr<NfLoop>> loops_;
  static Cycles now_;
};
Cycles Bench::now_{kSimulatedHz};

// Nanoseconds a flow, one value per repetition.
struct Figures {
  std::vector<double> known, first, end, nf_known, nf_first;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(uint32_t repetitions) {
  Config eal;
  eal.packets = 65536;
  eal.hugepages = Huge::off;
  cpu_set_t cpus;
  sched_getaffinity(0, sizeof cpus, &cpus);
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &cpus)) {
      eal.vswitch_core = static_cast<CoreId>(cpu);
      break;
    }
  if (absl::Status s = start_eal(eal, "mayfly-bind-cost-" + std::to_string(getpid())); !s.ok())
    fail(std::string(s.message()));
  std::string error;
  const NfImage* image = load_image(MAYFLY_NF_IMAGES "/signature.so", error);
  if (image == nullptr) fail(error);
  const double ns_per_cycle = 1e9 / static_cast<double>(measure_tsc_hz());

  std::vector<std::unique_ptr<Bench>> benches;
  for (uint32_t flow_count : {64u, 2000u})
    for (uint32_t length : {1u, 2u})
      benches.push_back(std::make_unique<Bench>(flow_count, length, *image));
  std::vector<Figures> figures(benches.size());
  uint32_t flow = 0;
  for (uint32_t r = 0; r <= repetitions; ++r) {  // the first is a rehearsal
    for (size_t i = 0; i < benches.size(); ++i) {
      Bench& bench = *benches[i];
      const auto each = [&](uint64_t cycles) {
        return static_cast<double>(cycles) * ns_per_cycle / bench.flow_count();
      };
      const Spent first = bench.packets(flow);
      const Spent known = bench.packets(flow);
      flow = (flow + bench.flow_count()) & 0xffffff;
      uint32_t turns;
      const uint64_t end = bench.expire(turns), idle = bench.empty_turns(turns);
      if (r == 0) continue;
      Figures& f = figures[i];
      f.first.push_back(each(first.vswitch));
      f.known.push_back(each(known.vswitch));
      f.end.push_back(each(end > idle ? end - idle : 0));
      f.nf_first.push_back(each(first.nfs) / bench.length());
      f.nf_known.push_back(each(known.nfs) / bench.length());
    }
  }
  std::printf(
      "bind_cost: five_tuple flows in bursts of %u, frames of %u bytes, image signature; "
      "medians of %u interleaved repetitions\n",
      kRxBurst, kFrameBytes, repetitions);
  std::printf("                   vSwitch, ns a flow                     NF, ns an activation\n");
  std::printf("  flows chain      known   first    bind     end          known   first\n");
  for (size_t i = 0; i < benches.size(); ++i) {
    benches[i]->check(repetitions + 1);
    const Figures& f = figures[i];
    std::printf("  %5u %5u   %8.0f %7.0f %7.0f %7.0f       %8.0f %7.0f\n", benches[i]->flow_count(),
                benches[i]->length(), median(f.known), median(f.first),
                median(f.first) - median(f.known), median(f.end), median(f.nf_known),
                median(f.nf_first));
  }
  benches.clear();
  stop_eal();
  return 0;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  // What ctest gives to every benchmark asks for the smoke size.
  const bool smoke = argc > 1 && std::strncmp(argv[1], "--benchmark_min_time", 20) == 0;
  return mayfly::run(smoke ? 3 : 301);
}
