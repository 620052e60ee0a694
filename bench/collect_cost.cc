// What it costs the vSwitch to find and take what NFs have given back, by number of NFs, of which
// 64 are active: per descriptor, by three ways of finding it.
//
//   sweep      looks at the output ring of every NF (architecture B of the tiny-NF paper), 8 ahead
//              with prefetches
//   doorbells  one bit for each NF, one summary bit for each 64 (`downstream: per_nf`)
//   shared     one ring for all (`downstream: shared`)
//
// Rounds: a thread on another CPU plays the active NFs, each with one burst into its ring (in
// random order, all over the slots); then the vSwitch's side runs until it has taken everything,
// and that is what is timed. So the cache lines are where they would be: with the NFs. `vswitch`
// and `nf` are the medians of the rounds in TSC cycles per descriptor, on either side; Time is for
// the round. All descriptors are checked. The vSwitch's side is that of runtime/vswitch/collect*.cc
// with its record of each NF, and without what it does with a descriptor.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/abi/region.h"
#include "runtime/base/clock.h"

namespace mayfly {
namespace {

constexpr uint32_t kActive = 64;
constexpr uint32_t kAhead = 8;
enum class Way { sweep, doorbells, shared };

void wrong(const char* what) {
  std::fprintf(stderr, "collect_cost: %s\n", what);
  std::abort();
}

void pin(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

template <class Condition>
void wait_until(Condition condition) {
  for (uint32_t spins = 1; !condition(); ++spins) {
    if (spins % 4096 == 0) std::this_thread::yield();
    __builtin_ia32_pause();
  }
}

// The control region of a dataplane with `slots` instances, both ways downstream in it.
class Region {
 public:
  explicit Region(uint32_t slots) {
    RegionHeader h{};
    h.downstream = Downstream::shared;
    h.slot_count = slots;
    h.ring_entries = kRingEntriesDefault;
    h.small_count = 65536;
    h.core_count = 1;
    lay_out(h);
    bytes_ = h.control_bytes;
    base_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                 -1, 0);
    if (base_ == MAP_FAILED) wrong("no memory");
    control_ = ControlView(base_, h);
  }
  ~Region() { munmap(base_, bytes_); }
  const ControlView& control() const { return control_; }

 private:
  void* base_;
  size_t bytes_;
  ControlView control_;
};

// What the vSwitch keeps of an instance: a line of its own.
struct alignas(kCacheLineBytes) Record {
  Slot* slot;
  uint32_t out_consumed;
  uint64_t packets;
};

class Switch {
 public:
  Switch(const ControlView& control, uint32_t slots)
      : control_(control),
        bells_(control.doorbells()),
        mask_(control.header().ring_entries - 1),
        shared_(control.shared_ring()),
        records_(slots) {
    for (uint32_t s = 0; s < slots; ++s) records_[s].slot = &control.slot(SlotId{s});
  }

  // One pass; how many descriptors it took.
  uint32_t collect(Way way) {
    switch (way) {
      case Way::sweep:
        return sweep();
      case Way::doorbells:
        return hear();
      case Way::shared:
        return take_shared();
    }
    return 0;
  }
  uint64_t sum() const { return sum_; }

 private:
  uint32_t sweep() {
    uint32_t count = 0;
    const size_t n = records_.size();
    for (size_t s = 0; s < n; ++s) {
      const size_t ahead = s + kAhead < n ? s + kAhead : s;
      __builtin_prefetch(&records_[ahead], 1);
      __builtin_prefetch(&control_.slot(SlotId{static_cast<uint32_t>(ahead)}).from_nf);
      count += take(records_[s]);
    }
    return count;
  }
  uint32_t hear() {
    uint32_t rung[kActive], rung_count = 0, count = 0;
    for (uint32_t s = 0; s < control_.header().slot_count / 4096; ++s) {
      if (bells_.summary[s].load(std::memory_order_relaxed) == 0) continue;
      uint64_t words = bells_.summary[s].exchange(0, std::memory_order_acquire);
      for (; words != 0; words &= words - 1) {
        const uint32_t word = s * 64 + static_cast<uint32_t>(std::countr_zero(words));
        uint64_t bits = bells_.words[word].exchange(0, std::memory_order_acquire);
        for (; bits != 0; bits &= bits - 1) {
          const uint32_t slot = word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
          __builtin_prefetch(&records_[slot], 1);
          __builtin_prefetch(&control_.slot(SlotId{slot}).from_nf);
          if (rung_count == kActive) wrong("more bells than NFs");
          rung[rung_count++] = slot;
        }
      }
    }
    for (uint32_t i = 0; i < rung_count; ++i) count += take(records_[rung[i]]);
    return count;
  }
  uint32_t take_shared() {
    SharedRingConsumer::Entry entries[256];
    const uint32_t count = shared_.take(entries);
    for (uint32_t i = 0; i < count; ++i) __builtin_prefetch(&records_[raw(entries[i].slot)], 1);
    for (uint32_t i = 0; i < count; ++i) use(records_[raw(entries[i].slot)], entries[i].descriptor);
    return count;
  }
  uint32_t take(Record& record) {
    RingConsumer ring(record.slot->out_entries(mask_ + 1), mask_);
    ring.restart(record.out_consumed);
    const auto waiting = ring.waiting(record.slot->from_nf.out_produced);
    if (!waiting) wrong("an impossible index");
    if (*waiting == 0) return 0;
    for (uint32_t i = 0; i < *waiting; ++i) use(record, ring.take());
    record.out_consumed = ring.taken();
    ring.publish(record.slot->from_switch.out_consumed);
    return *waiting;
  }
  void use(Record& record, Descriptor d) {
    ++record.packets;
    sum_ += d.bits;
  }

  const ControlView& control_;
  DoorbellView bells_;
  uint32_t mask_;
  SharedRingConsumer shared_;
  std::vector<Record> records_;
  uint64_t sum_ = 0;
};

// The active NFs of a round: one burst from each.
class Nfs {
 public:
  Nfs(const ControlView& control, uint32_t slots, Way way)
      : bells_(control.doorbells()), way_(way) {
    std::vector<uint32_t> all(slots);
    for (uint32_t s = 0; s < slots; ++s) all[s] = s;
    std::shuffle(all.begin(), all.end(), random_);
    for (uint32_t i = 0; i < std::min(kActive, slots); ++i) {
      const SlotId id{all[i]};
      Slot& slot = control.slot(id);
      const uint32_t entries = control.header().ring_entries;
      nfs_.push_back({id, &slot, RingProducer(slot.out_entries(entries), entries - 1),
                      SharedRingProducer(control.shared_ring(), id)});
    }
  }
  uint32_t count() const { return static_cast<uint32_t>(nfs_.size()); }
  uint64_t sum() const { return sum_; }
  void shuffle() { std::shuffle(nfs_.begin(), nfs_.end(), random_); }

  void give_back(uint32_t burst) {
    for (Nf& nf : nfs_) {
      for (uint32_t i = 0; i < burst; ++i) {
        const Descriptor d{++next_};
        sum_ += d.bits;
        if (way_ != Way::shared) {
          if (!nf.own.has_room(nf.slot->from_switch.out_consumed)) wrong("no room");
          nf.own.write(d);
        } else if (!nf.shared.push(d)) {
          wrong("no room");
        }
      }
      if (way_ == Way::shared) {
        nf.shared.publish();
        continue;
      }
      nf.own.publish(nf.slot->from_nf.out_produced);
      if (way_ == Way::doorbells) bells_.ring(nf.id);
    }
  }

 private:
  struct Nf {
    SlotId id;
    Slot* slot;
    RingProducer own;
    SharedRingProducer shared;
  };
  DoorbellView bells_;
  Way way_;
  std::mt19937 random_{1};
  std::vector<Nf> nfs_;
  uint64_t next_ = 0, sum_ = 0;
};

double median(std::vector<uint64_t>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return static_cast<double>(values[values.size() / 2]);
}

void collect(benchmark::State& state, Way way) {
  if (std::thread::hardware_concurrency() < 2) {
    state.SkipWithError("needs two CPUs");
    return;
  }
  const auto slots = static_cast<uint32_t>(state.range(0));
  const auto burst = static_cast<uint32_t>(state.range(1));
  const Region region(slots);
  Switch vswitch(region.control(), slots);
  Nfs nfs(region.control(), slots, way);
  const uint32_t expected = nfs.count() * burst;
  alignas(128) std::atomic<uint64_t> asked{0};
  alignas(128) std::atomic<uint64_t> given{0};
  constexpr uint64_t kEnd = UINT64_MAX;
  std::vector<uint64_t> vswitch_cycles, nf_cycles;
  std::thread producer([&] {
    pin(1);
    for (uint64_t round = 1;; ++round) {
      nfs.shuffle();
      wait_until([&] { return asked.load(std::memory_order_acquire) >= round; });
      if (asked.load(std::memory_order_relaxed) == kEnd) return;
      const uint64_t begin = tsc_now().n;
      nfs.give_back(burst);
      nf_cycles.push_back(tsc_now().n - begin);
      given.store(round, std::memory_order_release);
    }
  });
  pin(0);
  uint64_t round = 0;
  const TscRate rate(measure_tsc_hz());
  for (auto _ : state) {
    asked.store(++round, std::memory_order_release);
    wait_until([&] { return given.load(std::memory_order_acquire) == round; });
    const uint64_t begin = tsc_now().n;
    uint32_t taken = 0;
    for (int passes = 0; taken < expected && passes < 1000; ++passes) taken += vswitch.collect(way);
    const uint64_t took = tsc_now().n - begin;
    if (taken != expected) wrong("lost");
    vswitch_cycles.push_back(took);
    state.SetIterationTime(static_cast<double>(rate.nanos({took}).n) * 1e-9);
  }
  asked.store(kEnd, std::memory_order_release);
  producer.join();
  if (vswitch.sum() != nfs.sum()) wrong("wrong descriptors");
  state.counters["vswitch"] = median(vswitch_cycles) / expected;
  state.counters["nf"] = median(nf_cycles) / expected;
  state.SetItemsProcessed(static_cast<int64_t>(round * expected));
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  using mayfly::Way;
  // Ahead of the caller's arguments, which win.
  std::vector<std::string> words = {argv[0], "--benchmark_repetitions=5",
                                    "--benchmark_enable_random_interleaving=true",
                                    "--benchmark_report_aggregates_only=true"};
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  std::printf("%u active NFs; arguments: NFs, descriptors of each a round; rings of %u entries\n",
              mayfly::kActive, mayfly::kRingEntriesDefault);
  const std::pair<const char*, Way> ways[] = {
      {"sweep", Way::sweep}, {"doorbells", Way::doorbells}, {"shared", Way::shared}};
  for (const int burst : {1, 8, 32})
    for (const int slots : {100, 1000, 10000})
      for (const auto& [name, way] : ways)
        benchmark::RegisterBenchmark(name,
                                     [w = way](benchmark::State& s) { mayfly::collect(s, w); })
            ->Args({slots, burst})
            ->UseManualTime();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
