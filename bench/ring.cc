// Our descriptor ring (runtime/abi/ring.h, peer's index checked) against DPDK's rte_ring in its
// single-producer single-consumer mode: 128 entries of 8 bytes, bursts of 1, 8 and 32.
//
//   same_thread   write a burst, read it back: the instructions alone
//   two_threads   producer and consumer on CPUs of their own: with the cache lines on the move
//
// Figures are per descriptor through the ring. Every value that comes out is checked. All cases are
// repeated in random order, so that a busy neighbour hits both rings alike.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_ring.h>
#include <sched.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/abi/ring.h"
#include "runtime/base/limits.h"

namespace mayfly {
namespace {

constexpr uint32_t kEntries = kRingEntriesDefault;
constexpr uint32_t kBurstMax = 32;

// As the vSwitch and the NF loop use it: one publish per burst.
class OurRing {
 public:
  uint32_t push(const uint64_t* values, uint32_t n) {
    uint32_t i = 0;
    for (; i < n && in_.has_room(consumed_); ++i) in_.write({values[i]});
    if (i > 0) in_.publish(produced_);
    return i;
  }
  uint32_t pop(uint64_t* values, uint32_t n) {
    const auto waiting = out_.waiting(produced_);
    if (!waiting) std::abort();
    const uint32_t m = *waiting < n ? *waiting : n;
    for (uint32_t i = 0; i < m; ++i) values[i] = out_.take().bits;
    if (m > 0) out_.publish(consumed_);
    return m;
  }

 private:
  alignas(128) RingIndex produced_{0};
  alignas(128) RingIndex consumed_{0};
  alignas(128) Descriptor entries_[kEntries];
  alignas(128) RingProducer in_{entries_, kEntries - 1};
  alignas(128) RingConsumer out_{entries_, kEntries - 1};
};

class RteRing {
 public:
  RteRing() {
    const auto bytes = static_cast<size_t>(rte_ring_get_memsize(kEntries * 2));
    memory_.reset(std::aligned_alloc(128, (bytes + 127) / 128 * 128));
    ring_ = static_cast<rte_ring*>(memory_.get());
    // Exact size: 128 usable entries, as ours (a plain one of 128 would hold 127).
    if (rte_ring_init(ring_, "bench", kEntries, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ) !=
        0) {
      std::abort();
    }
  }
  uint32_t push(const uint64_t* values, uint32_t n) {
    return rte_ring_sp_enqueue_burst(ring_, reinterpret_cast<void* const*>(values), n, nullptr);
  }
  uint32_t pop(uint64_t* values, uint32_t n) {
    return rte_ring_sc_dequeue_burst(ring_, reinterpret_cast<void**>(values), n, nullptr);
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  rte_ring* ring_;
};

void wrong(const char* what) {
  std::fprintf(stderr, "ring_bench: %s\n", what);
  std::abort();
}

void pin(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Spins, and gives way when the other side seems to be off its CPU.
struct Patience {
  uint32_t spins = 0;
  void wait() {
    if (++spins % 4096 == 0) std::this_thread::yield();
    __builtin_ia32_pause();
  }
};

template <class Ring>
void same_thread(benchmark::State& state) {
  const auto burst = static_cast<uint32_t>(state.range(0));
  auto ring = std::make_unique<Ring>();
  uint64_t in[kBurstMax], out[kBurstMax], next = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < burst; ++i) in[i] = next + i;
    if (ring->push(in, burst) != burst || ring->pop(out, burst) != burst) wrong("lost");
    if (out[0] != next || out[burst - 1] != next + burst - 1) wrong("wrong value");
    next += burst;
  }
  state.SetItemsProcessed(static_cast<int64_t>(next));
}

template <class Ring>
void consume(Ring& ring, uint32_t burst, std::atomic<uint64_t>& wanted,
             std::atomic<uint64_t>& taken) {
  pin(1);
  uint64_t out[kBurstMax], next = 0;
  Patience patience;
  while (next < wanted.load(std::memory_order_relaxed)) {
    const uint32_t n = ring.pop(out, burst);
    if (n == 0) {
      patience.wait();
      continue;
    }
    for (uint32_t i = 0; i < n; ++i) {
      if (out[i] != next++) wrong("out of order");
    }
  }
  taken.store(next, std::memory_order_release);
}

template <class Ring>
void two_threads(benchmark::State& state) {
  if (std::thread::hardware_concurrency() < 2) {
    state.SkipWithError("needs two CPUs");
    return;
  }
  const auto burst = static_cast<uint32_t>(state.range(0));
  auto ring = std::make_unique<Ring>();
  std::atomic<uint64_t> wanted{UINT64_MAX}, taken{0};
  pin(0);
  std::thread consumer([&] { consume(*ring, burst, wanted, taken); });
  uint64_t in[kBurstMax], next = 0;
  Patience patience;
  const auto push_all = [&](uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) in[i] = next + i;
    for (uint32_t done = 0; done < n;) {
      const uint32_t pushed = ring->push(in + done, n - done);
      done += pushed;
      if (pushed == 0) patience.wait();
    }
    next += n;
  };
  for (auto _ : state) push_all(burst);
  state.SetItemsProcessed(static_cast<int64_t>(next));
  wanted.store(next + 1);  // one more, so that a consumer that had caught up sees the end
  push_all(1);
  consumer.join();
  if (taken.load(std::memory_order_acquire) != next) wrong("lost");
}

template <class Ring>
void add(const std::string& name) {
  for (const int burst : {1, 8, 32}) {
    benchmark::RegisterBenchmark(("same_thread/" + name).c_str(), same_thread<Ring>)->Arg(burst);
    benchmark::RegisterBenchmark(("two_threads/" + name).c_str(), two_threads<Ring>)
        ->Arg(burst)
        ->UseRealTime();
  }
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
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
  std::printf("rings of %u entries of 8 bytes; argument: burst\n", mayfly::kEntries);
  mayfly::add<mayfly::OurRing>("mayfly");
  mayfly::add<mayfly::RteRing>("rte_ring_sp_sc");
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
