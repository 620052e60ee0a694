// The least that could work, as the named alternative to the whole path: the same rings, the same
// signature over 64 bytes, futex wakes with batch 32 and ageing 100 us, round robin over N forked
// processes, and nothing else: no ports, no parsing, no flow table, no checks, no accounting.
//
//   bare_futex [--nfs N] [--seconds S] [--batch B] [--aging-us U]
//
// Prints one line of JSON. The vSwitch side runs on CPU 0, the processes share CPU 1.
#include <linux/futex.h>
#include <nmmintrin.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string_view>
#include <vector>

#include "runtime/abi/ring.h"
#include "runtime/abi/wake.h"
#include "runtime/base/clock.h"
#include "runtime/base/histogram.h"

namespace {

using namespace mayfly;

constexpr uint32_t kRing = 512;
constexpr uint32_t kBuffers = 65536;

struct Shared {
  alignas(64) RingIndex in_produced, out_consumed;
  alignas(64) RingIndex in_consumed, out_produced;
  alignas(64) WakeEntry wake;
  Descriptor in[kRing], out[kRing];
};

struct Private {
  uint32_t in_produced = 0, out_consumed = 0, held = 0, waiting = 0;
  uint64_t oldest = 0;
  bool aging = false;
};

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// The tiny-NF paper's workload, as in nfs/signature.cc.
uint64_t signature(const uint8_t* p) {
  uint64_t crc = 0xffffffff;
  for (int i = 0; i < 64; i += 8) {
    uint64_t word;
    std::memcpy(&word, p + i, sizeof word);
    crc = _mm_crc32_u64(crc, word);
  }
  return crc;
}

[[noreturn]] void nf(Shared& s, const uint8_t* arena) {
  uint32_t consumed = 0, produced = 0;
  volatile uint64_t sink = 0;
  for (;;) {
    const uint32_t ready = s.in_produced.load(std::memory_order_acquire);
    if (ready != consumed) {
      for (; consumed != ready; ++consumed) {
        const Descriptor d = s.in[consumed % kRing];
        sink = sink + signature(arena + index(d.buffer()) * 2048);
        s.out[produced++ % kRing] = d;
      }
      s.in_consumed.store(consumed, std::memory_order_release);
      s.out_produced.store(produced, std::memory_order_release);
      continue;
    }
    s.wake.word.store(kAsleep, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (s.in_produced.load(std::memory_order_acquire) != consumed) {
      s.wake.word.store(kAwake, std::memory_order_relaxed);
      continue;
    }
    while (s.wake.word.load(std::memory_order_acquire) == kAsleep)
      syscall(SYS_futex, &s.wake.word, FUTEX_WAIT, kAsleep, nullptr, nullptr, 0);
  }
}

struct Options {
  uint32_t nfs = 126;
  double seconds = 3;
  uint32_t batch = 32;
  double aging_us = 100;
};

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name.starts_with("--benchmark")) o.nfs = 4, o.seconds = 0.2;  // the smoke size
    if (i + 1 == argc) break;
    if (name == "--nfs") o.nfs = static_cast<uint32_t>(atoi(argv[++i]));
    else if (name == "--seconds") o.seconds = atof(argv[++i]);
    else if (name == "--batch") o.batch = static_cast<uint32_t>(atoi(argv[++i]));
    else if (name == "--aging-us") o.aging_us = atof(argv[++i]);
  }
  return o;
}

class Switch {
 public:
  Switch(Shared* shared, const Options& o, TscRate rate)
      : shared_(shared), options_(o), private_(o.nfs),
        aging_(rate.cycles({static_cast<int64_t>(o.aging_us * 1000)}).n) {
    for (uint32_t b = 0; b < kBuffers; ++b) free_.push_back(b);
    due_.resize(kBuffers);
  }

  void turn(uint64_t now) {
    offer(now);
    collect(now);
    while (!aging_order_.empty() && now - aging_order_.front().first > aging_) {
      const uint32_t n = aging_order_.front().second;
      aging_order_.pop_front();
      private_[n].aging = false;
      if (private_[n].waiting != 0) wake(n);
    }
  }
  uint64_t packets = 0, wakes = 0;
  Histogram latency;

 private:
  void offer(uint64_t now) {
    for (uint32_t i = 0; i < 32 && !free_.empty(); ++i) {
      const uint32_t n = next_;
      next_ = next_ + 1 == options_.nfs ? 0 : next_ + 1;
      Private& p = private_[n];
      if (p.held >= kRing) continue;
      const uint32_t b = free_.back();
      free_.pop_back();
      due_[b] = now;
      shared_[n].in[p.in_produced++ % kRing] = Descriptor::make(BufferId{b}, 0, 0, 64, 0, 0);
      shared_[n].in_produced.store(p.in_produced, std::memory_order_release);
      ++p.held;
      if (++p.waiting >= options_.batch) {
        wake(n);
      } else if (!p.aging) {
        p.aging = true;
        aging_order_.emplace_back(now, n);
      }
    }
  }
  void collect(uint64_t now) {
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t n = poll_;
      poll_ = poll_ + 1 == options_.nfs ? 0 : poll_ + 1;
      Private& p = private_[n];
      if (p.held == 0) continue;
      const uint32_t produced = shared_[n].out_produced.load(std::memory_order_acquire);
      for (; p.out_consumed != produced; ++p.out_consumed, --p.held, ++packets) {
        const uint32_t b = raw(shared_[n].out[p.out_consumed % kRing].buffer());
        latency.record(now - due_[b]);
        free_.push_back(b);
      }
    }
  }
  void wake(uint32_t n) {
    private_[n].waiting = 0;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    std::atomic<uint32_t>& word = shared_[n].wake.word;
    if (word.load(std::memory_order_relaxed) != kAsleep || word.exchange(kAwake) != kAsleep) return;
    ++wakes;
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  Shared* shared_;
  Options options_;
  std::vector<Private> private_;
  std::vector<uint32_t> free_;
  std::vector<uint64_t> due_;
  std::deque<std::pair<uint64_t, uint32_t>> aging_order_;
  uint64_t aging_;
  uint32_t next_ = 0, poll_ = 0;
};

void* map(size_t bytes) {
  // Huge pages where the host has them: with ordinary ones each process faults in each page of the
  // arena for itself, and that is then all that is measured.
  constexpr int kFlags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
  bytes = (bytes + (2u << 20) - 1) & ~size_t{(2u << 20) - 1};
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
  if (at == MAP_FAILED) at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (at == MAP_FAILED) perror("mmap"), exit(1);
  return at;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const TscRate rate(measure_tsc_hz());
  auto* shared = static_cast<Shared*>(map(sizeof(Shared) * options.nfs));
  auto* arena = static_cast<uint8_t*>(map(size_t{kBuffers} * 2048));
  std::vector<pid_t> pids;
  const pid_t parent = getpid();
  for (uint32_t n = 0; n < options.nfs; ++n) {
    const pid_t pid = fork();
    if (pid < 0) break;
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(0);
      pin(1 % static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
      nf(shared[n], arena);
    }
    pids.push_back(pid);
  }
  pin(0);
  Switch sw(shared, options, rate);
  const uint64_t begin = tsc_now().n;
  const uint64_t end = begin + rate.cycles({static_cast<int64_t>(options.seconds * 1e9)}).n;
  for (uint64_t now = begin; now < end; now = tsc_now().n) sw.turn(now);
  for (pid_t pid : pids) kill(pid, SIGKILL);
  for (pid_t pid : pids) waitpid(pid, nullptr, 0);
  const auto us = [&](uint64_t c) { return static_cast<double>(rate.nanos({c}).n) / 1000; };
  printf("{\"nfs\": %zu, \"batch\": %u, \"aging_us\": %g, \"mpps\": %.3f, \"p50_us\": %.1f, "
         "\"p99_us\": %.1f, \"wakes\": %lu}\n",
         pids.size(), options.batch, options.aging_us,
         static_cast<double>(sw.packets) / options.seconds / 1e6, us(sw.latency.quantile(0.5)),
         us(sw.latency.quantile(0.99)), sw.wakes);
  return sw.packets > 0 && pids.size() == options.nfs ? 0 : 1;
}
