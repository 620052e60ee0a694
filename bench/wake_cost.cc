// What it costs to wake a sleeping process, by mechanism: the shipped semaphore, eventfd and futex
// (scheduler/dispatch.h, both ends), and two alternatives: a pipe, and no sleep at all but
// sched_yield() until there is work. Sleepers are processes on CPU 1, the waker is on CPU 0.
//
//   one sleeper    ns of the wake call for the waker, and us from the call to the sleeper running:
//                  its core idle for 100 us or for 5 ms, or busy with a process that never sleeps
//   N sleepers     woken round robin, each as soon as it sleeps again: activations a second
//
// All sleepers are there from the beginning; each is told by a word of its own how to sleep, so
// that mechanisms take turns within one run. Every case is bounded in time and prints how many
// wakes it saw. Checked: each wake was followed by exactly one activation of that sleeper.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/clock.h"
#include "scheduler/dispatch.h"

namespace mayfly {
namespace {

enum Mechanism : uint32_t { semaphore, eventfd, futex, pipe, yield, mechanism_count };
constexpr const char* kNames[] = {"semaphore", "eventfd", "futex", "pipe", "sched_yield"};

struct alignas(kCacheLineBytes) Sleeper {
  WakeEntry entry;
  alignas(kCacheLineBytes) std::atomic<uint32_t> mechanism;  // how to sleep next; written awake
  alignas(kCacheLineBytes) std::atomic<uint64_t> woke_tsc;   // written by the sleeper
  std::atomic<uint64_t> activations;
  std::atomic<uint32_t> sleeps_by;  // the mechanism in force
};

struct Shared {
  alignas(kCacheLineBytes) std::atomic<uint32_t> spin;  // the busy neighbour runs
  Sleeper sleepers[1];                                  // as many as there are
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "wake_cost: %s (%s)\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void pin(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// ---------------------------------------------------------------------------------------------
// The sleepers' side

void sleep_once(Mechanism mechanism, WakeEntry& entry, int event_fd, int pipe_fd) {
  char byte;
  switch (mechanism) {
    case semaphore:
      return park(Dispatch::semaphore, entry, -1);
    case eventfd:
      return park(Dispatch::eventfd, entry, event_fd);
    case pipe:
      while (entry.word.load(std::memory_order_acquire) == kAsleep)
        if (read(pipe_fd, &byte, 1) != 1) _exit(1);
      return;
    case yield:
      while (entry.word.load(std::memory_order_acquire) == kAsleep) sched_yield();
      return;
    default:
      return park(Dispatch::futex, entry, -1);
  }
}

[[noreturn]] void be_sleeper(Sleeper& self, int event_fd, int pipe_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(1);
  for (;;) {
    const uint32_t mechanism = self.mechanism.load(std::memory_order_acquire);
    self.sleeps_by.store(mechanism, std::memory_order_relaxed);
    // release: the waker that sees the word sees the counters, too.
    self.entry.word.store(kAsleep, std::memory_order_release);
    sleep_once(static_cast<Mechanism>(mechanism), self.entry, event_fd, pipe_fd);
    self.woke_tsc.store(tsc_now().n, std::memory_order_relaxed);
    self.activations.fetch_add(1, std::memory_order_release);
  }
}

[[noreturn]] void be_busy(Shared& shared) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(1);
  for (;;) {
    while (shared.spin.load(std::memory_order_relaxed) != 0) __builtin_ia32_pause();
    syscall(SYS_futex, &shared.spin, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  }
}

// ---------------------------------------------------------------------------------------------
// The waker's side

class PipeWaker : public Waker {
 public:
  explicit PipeWaker(uint32_t count) : writers_(count) {}
  absl::StatusOr<int> prepare(SlotId slot, WakeEntry&) override {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return absl::ResourceExhaustedError("no more descriptors");
    writers_[index(slot)] = fds[1];
    return fds[0];
  }
  void wake(SlotId slot, WakeEntry&) override {
    if (write(writers_[index(slot)], "", 1) != 1) fail("pipe");
  }

 private:
  std::vector<int> writers_;
};

class NoWaker : public Waker {  // the word says it all
 public:
  absl::StatusOr<int> prepare(SlotId, WakeEntry&) override { return -1; }
  void wake(SlotId, WakeEntry&) override {}
};

class Bench {
 public:
  explicit Bench(uint32_t count) : count_(count), hz_(static_cast<double>(measure_tsc_hz())) {
    wakers_.resize(mechanism_count);
    wakers_[semaphore] = make_waker(Dispatch::semaphore, count);
    wakers_[eventfd] = make_waker(Dispatch::eventfd, count);
    wakers_[futex] = make_waker(Dispatch::futex, count);
    wakers_[pipe] = std::make_unique<PipeWaker>(count);
    wakers_[yield] = std::make_unique<NoWaker>();
    const size_t bytes = sizeof(Shared) + count * sizeof(Sleeper);
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) fail("mmap");
    shared_ = static_cast<Shared*>(at);
    for (uint32_t i = 0; i < count; ++i) start(i);
    busy_ = fork();
    if (busy_ == 0) be_busy(*shared_);
    pids_.push_back(busy_);
    pin(0);
    for (uint32_t i = 0; i < count; ++i) await_asleep(i);
  }
  ~Bench() {
    for (pid_t pid : pids_) kill(pid, SIGKILL);
    for (pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }

  struct Samples {
    std::vector<double> call_ns, running_us;
  };
  // Sleeper 0, woken again `gap` after it went to sleep; at most `seconds`.
  Samples one(Mechanism mechanism, Nanos gap, bool busy, uint32_t wakes, double seconds) {
    use_all(1, mechanism);
    neighbour(busy);
    Samples samples;
    const double end = now_s() + seconds;
    while (samples.call_ns.size() < wakes && now_s() < end) {
      await_asleep(0);
      pause_for(gap);
      Sleeper& sleeper = at(0);
      const uint64_t before = sleeper.activations.load(std::memory_order_acquire);
      const uint64_t begin = tsc_now().n;
      wake(0, mechanism);
      const uint64_t called = tsc_now().n;
      while (sleeper.activations.load(std::memory_order_acquire) == before) __builtin_ia32_pause();
      const uint64_t woke = sleeper.woke_tsc.load(std::memory_order_relaxed);
      samples.call_ns.push_back(ns(called - begin));
      samples.running_us.push_back(woke > begin ? ns(woke - begin) / 1000 : 0);
    }
    neighbour(false);
    use_all(1, futex);
    return samples;
  }

  // Activations a second of the first `n` sleepers.
  double round_robin(Mechanism mechanism, uint32_t n, double seconds) {
    use_all(n, mechanism);
    uint64_t activations = 0, wakes = 0;
    for (uint32_t i = 0; i < n; ++i) activations -= at(i).activations.load();
    const double begin = now_s(), end = begin + seconds;
    for (uint32_t i = 0; now_s() < end; i = i + 1 == n ? 0 : i + 1) {
      if (!await_asleep(i, end)) break;
      wake(i, mechanism);
      ++wakes;
    }
    const double took = now_s() - begin;
    for (uint32_t i = 0; i < n; ++i) await_asleep(i);
    for (uint32_t i = 0; i < n; ++i) activations += at(i).activations.load();
    if (activations != wakes)
      fail(std::string("wakes and activations differ: ") + kNames[mechanism]);
    use_all(n, futex);
    return static_cast<double>(wakes) / took;
  }

 private:
  Sleeper& at(uint32_t i) { return shared_->sleepers[i]; }

  void start(uint32_t i) {
    Sleeper& sleeper = at(i);
    sleeper.mechanism.store(futex);
    const SlotId slot{i};
    int fds[mechanism_count];
    for (uint32_t m = 0; m < mechanism_count; ++m) {
      const auto fd = wakers_[m]->prepare(slot, sleeper.entry);
      if (!fd.ok()) fail(std::string(fd.status().message()));
      fds[m] = *fd;
    }
    const pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
      // Its own two descriptors alone, as an NF has them.
      const int low = std::min(fds[eventfd], fds[pipe]), high = std::max(fds[eventfd], fds[pipe]);
      close_range(3, static_cast<unsigned>(low) - 1, 0);
      if (high > low + 1)
        close_range(static_cast<unsigned>(low) + 1, static_cast<unsigned>(high) - 1, 0);
      close_range(static_cast<unsigned>(high) + 1, ~0u, 0);
      be_sleeper(sleeper, fds[eventfd], fds[pipe]);
    }
    close(fds[pipe]);
    pids_.push_back(pid);
  }

  bool await_asleep(uint32_t i, double until = 1e300) {
    const double limit = now_s() + 20;
    for (uint32_t spins = 0; at(i).entry.word.load(std::memory_order_acquire) != kAsleep; ++spins) {
      __builtin_ia32_pause();
      if (spins % 1024 != 1023) continue;
      if (now_s() > until) return false;
      if (now_s() > limit) fail("a sleeper does not go to sleep");
    }
    return true;
  }
  void wake(uint32_t i, Mechanism mechanism) {
    WakeEntry& entry = at(i).entry;
    entry.word.exchange(kAwake, std::memory_order_acq_rel);
    wakers_[mechanism]->wake(SlotId{i}, entry);
  }
  // The first `n`, from their next sleep on; they sleep so when this returns.
  void use_all(uint32_t n, Mechanism mechanism) {
    for (uint32_t i = 0; i < n; ++i) {
      await_asleep(i);
      const auto old = static_cast<Mechanism>(at(i).sleeps_by.load());
      if (old == mechanism) continue;
      at(i).mechanism.store(mechanism, std::memory_order_release);
      wake(i, old);
    }
    for (uint32_t i = 0; i < n; ++i) await_asleep(i);
  }
  void neighbour(bool busy) {
    shared_->spin.store(busy);
    syscall(SYS_futex, &shared_->spin, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    pause_for(millis(5));
  }

  double ns(uint64_t cycles) const { return static_cast<double>(cycles) * 1e9 / hz_; }
  double now_s() const { return static_cast<double>(tsc_now().n) / hz_; }
  void pause_for(Nanos time) const {
    const double end = now_s() + static_cast<double>(time.n) * 1e-9;
    while (now_s() < end) __builtin_ia32_pause();
  }

  const uint32_t count_;
  const double hz_;
  Shared* shared_ = nullptr;
  std::vector<std::unique_ptr<Waker>> wakers_;
  std::vector<pid_t> pids_;
  pid_t busy_ = 0;
};

// ---------------------------------------------------------------------------------------------

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * values.size()))];
}

struct Sizes {
  uint32_t repetitions, wakes;
  double case_seconds;
  std::vector<uint32_t> counts;
};

void measure_one(Bench& bench, const Sizes& sizes) {
  struct Case {
    const char* name;
    Nanos gap;
    bool busy;
  };
  for (const Case& c :
       {Case{"core idle for 100 us", micros(100), false},
        Case{"core idle for 5 ms", millis(5), false}, Case{"core busy", micros(100), true}}) {
    Bench::Samples all[mechanism_count];
    for (uint32_t r = 0; r < sizes.repetitions; ++r)
      for (uint32_t m = 0; m < mechanism_count; ++m) {
        const auto samples =
            bench.one(static_cast<Mechanism>(m), c.gap, c.busy, sizes.wakes, sizes.case_seconds);
        all[m].call_ns.insert(all[m].call_ns.end(), samples.call_ns.begin(), samples.call_ns.end());
        all[m].running_us.insert(all[m].running_us.end(), samples.running_us.begin(),
                                 samples.running_us.end());
      }
    std::printf("one sleeper, %s\n", c.name);
    std::printf(
        "                  call, ns: p50    p99    running after, us: p50     p99      max"
        "   (wakes)\n");
    for (uint32_t m = 0; m < mechanism_count; ++m)
      std::printf("  %-12s %14.0f %6.0f %22.1f %8.1f %8.1f   (%zu)\n", kNames[m],
                  quantile(all[m].call_ns, 0.5), quantile(all[m].call_ns, 0.99),
                  quantile(all[m].running_us, 0.5), quantile(all[m].running_us, 0.99),
                  quantile(all[m].running_us, 1), all[m].call_ns.size());
  }
}

void measure_many(Bench& bench, const Sizes& sizes) {
  std::printf("N sleepers, woken round robin: us an activation (thousand activations a second)\n");
  std::printf("  N           ");
  for (uint32_t n : sizes.counts) std::printf(" %16u", n);
  std::printf("\n");
  std::vector<double> rates[mechanism_count][8];
  for (uint32_t r = 0; r < sizes.repetitions; ++r)
    for (size_t n = 0; n < sizes.counts.size(); ++n)
      for (uint32_t m = 0; m < mechanism_count; ++m)
        rates[m][n].push_back(
            bench.round_robin(static_cast<Mechanism>(m), sizes.counts[n], sizes.case_seconds));
  for (uint32_t m = 0; m < mechanism_count; ++m) {
    std::printf("  %-12s", kNames[m]);
    for (size_t n = 0; n < sizes.counts.size(); ++n) {
      const double rate = quantile(rates[m][n], 0.5);
      std::printf("  %7.2f (%6.0f)", rate > 0 ? 1e6 / rate : 0, rate / 1000);
    }
    std::printf("\n");
  }
}

int run(const Sizes& sizes) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    std::printf("wake_cost: needs two CPUs\n");
    return 0;
  }
  const uint32_t count = sizes.counts.back();
  std::printf(
      "wake_cost: %u sleepers on CPU 1, waker on CPU 0; %u repetitions of at most %u wakes "
      "and %.2f s, mechanisms interleaved\n",
      count, sizes.repetitions, sizes.wakes, sizes.case_seconds);
  Bench bench(count);
  measure_one(bench, sizes);
  measure_many(bench, sizes);
  return 0;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  // What ctest gives to every benchmark asks for the smoke size.
  const bool smoke = argc > 1 && std::strncmp(argv[1], "--benchmark_min_time", 20) == 0;
  if (smoke) return mayfly::run({1, 10, 0.02, {2, 16}});
  return mayfly::run({5, 400, 0.4, {2, 64, 512, 2000}});
}
