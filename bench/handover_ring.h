// The two rings of bench/handover.cc: as many processes that hand the core round by themselves, and
// under the baton; the vSwitch's end of the latter; and who measures both.
#pragma once

#include <linux/futex.h>
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
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "runtime/abi/region.h"
#include "runtime/base/clock.h"
#include "scheduler/baton_queue.h"
#include "scheduler/baton_seat.h"
#include "scheduler/park.h"

namespace mayfly {

constexpr Nanos kIdle = micros(200);  // wake.baton.idle
constexpr double kStuckSeconds = 30;
constexpr double kWarmSeconds = 0.05;
constexpr uint64_t kWarmRounds = 2;  // each process has faulted its pages in

enum Mode : uint32_t { bare, baton, mode_count };
constexpr const char* kNames[] = {"bare", "baton"};

struct alignas(kCacheLineBytes) Turns {
  std::atomic<uint64_t> count;  // written by its process
};

struct Shared {
  // Written by the parent, while all processes sleep (but for `stop`).
  alignas(kCacheLineBytes) std::atomic<uint32_t> mode;
  std::atomic<uint32_t> ring;  // bare: how many take part
  std::atomic<uint32_t> stop;  // bare: whose turn it is keeps it
  // Written by whose turn it is.
  alignas(kCacheLineBytes) std::atomic<uint64_t> idle_since;  // baton: nobody is ready; 0: not so
  std::atomic<uint64_t> waited_cycles;                        // baton: nobody was ready
  Turns turns[1];                                             // as many as there are processes
};

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "handover: %s\n", what.c_str());
  std::exit(1);
}

inline void pin(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Huge pages where the host has them, as the dataplane does it.
inline void* map(size_t bytes) {
  constexpr int kFlags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
  bytes = (bytes + (2u << 20) - 1) & ~size_t{(2u << 20) - 1};
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
  if (at == MAP_FAILED) at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (at == MAP_FAILED) fail(std::string("mmap: ") + std::strerror(errno));
  return at;
}

template <class T>
void add(std::atomic<T>& counter, T n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// ---------------------------------------------------------------------------------------------
// A process

class Process {
 public:
  Process(Shared& shared, const ControlView& control, uint32_t self)
      : shared_(shared),
        control_(control),
        self_(self),
        word_(control.wake(SlotId{self}).word),
        turns_(shared.turns[self].count),
        seat_(control, 0, SlotId{self}) {}

  // In both modes all processes sleep on their own word.
  [[noreturn]] void run() {
    for (;;) {
      while (word_.load(std::memory_order_acquire) == kAsleep)
        syscall(SYS_futex, &word_, FUTEX_WAIT, kAsleep, nullptr, nullptr, 0);
      if (shared_.mode.load(std::memory_order_relaxed) == bare)
        bare_turn();
      else
        while (has_baton()) hold_baton();
    }
  }

 private:
  void bare_turn() {
    word_.store(kAsleep, std::memory_order_relaxed);
    if (shared_.stop.load(std::memory_order_relaxed) == 1) {
      shared_.stop.store(2, std::memory_order_release);
      return;
    }
    add<uint64_t>(turns_, 1);
    const uint32_t next = self_ + 1 == shared_.ring.load(std::memory_order_relaxed) ? 0 : self_ + 1;
    std::atomic<uint32_t>& word = control_.wake(SlotId{next}).word;
    word.store(kAwake, std::memory_order_release);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  // As nfpool/nf_baton.cc: if not, the word says that we sleep.
  bool has_baton() {
    if (!seat_.mine()) {
      word_.store(kAsleep, std::memory_order_relaxed);
      // Pairs with the granter, who moves the head first and looks at the word then.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (!seat_.mine()) return false;
    }
    word_.store(kAwake, std::memory_order_relaxed);
    return true;
  }
  void hold_baton() {
    begin_turn();
    for (;;) {
      switch (seat_.pass()) {
        case BatonSeat::Passed::nobody:
          if (!wait_for_others()) return;
          break;
        case BatonSeat::Passed::kept:
          begin_turn();
          break;
        case BatonSeat::Passed::handed:
          end_wait();
          return;
        case BatonSeat::Passed::lost:
          return;
      }
    }
  }
  void begin_turn() {
    end_wait();
    add<uint64_t>(turns_, 1);
  }
  bool wait_for_others() {
    const uint64_t now = tsc_now().n;
    if (shared_.idle_since == 0) shared_.idle_since = now;
    if (now - shared_.idle_since < control_.header().baton_idle_cycles) {
      __builtin_ia32_pause();
      return true;
    }
    return seat_.park() && seat_.anybody_waits() && seat_.unpark();
  }
  void end_wait() {
    if (shared_.idle_since == 0) return;
    add<uint64_t>(shared_.waited_cycles, tsc_now().n - shared_.idle_since);
    shared_.idle_since = 0;
  }

  Shared& shared_;
  ControlView control_;
  const uint32_t self_;
  std::atomic<uint32_t>& word_;
  std::atomic<uint64_t>& turns_;
  BatonSeat seat_;
};

// ---------------------------------------------------------------------------------------------
// The vSwitch's end: runtime/vswitch/baton.cc without packets, deaths and judgement.

class SwitchEnd {
 public:
  explicit SwitchEnd(const ControlView& control) : control_(control), queue_(control.core(0)) {}

  void begin(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) ready_.push_back(SlotId{i});
    taken_ = 0;
  }
  void turn() {
    look();
    if (fill()) {
      queue_.publish();
      // Pairs with the holder's fence between parking and looking who waits.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      look();
    }
    notify(queue_.grant([this](SlotId slot, Cycles) { on_taken(slot); }));
  }
  // Nobody is made ready any more; true when nobody is awake either.
  bool drained() {
    look();
    ready_.clear();
    if (!queue_.parked() || queue_.waiting() != 0) return false;
    owner_ = kNone<SlotId>;
    return true;
  }
  uint64_t taken() const { return taken_; }

 private:
  void look() {
    if (!queue_.look([this](SlotId slot, Cycles) { on_taken(slot); })) fail("the head is wild");
  }
  // Who had it before has let go of it.
  void on_taken(SlotId slot) {
    ++taken_;
    if (owner_ != kNone<SlotId>) ready_.push_back(owner_);
    owner_ = slot;
  }
  bool fill() {
    bool pushed = false;
    for (; !ready_.empty() && !queue_.full(); ready_.pop_front(), pushed = true)
      queue_.push(ready_.front(), {});
    return pushed;
  }
  void notify(SlotId slot) {
    if (slot == kNone<SlotId>) return;
    std::atomic<uint32_t>& word = control_.wake(slot).word;
    if (word.exchange(kAwake, std::memory_order_seq_cst) == kAsleep) futex_wake(word);
  }

  ControlView control_;
  BatonQueue queue_;
  std::deque<SlotId> ready_;
  SlotId owner_ = kNone<SlotId>;
  uint64_t taken_ = 0;
};

// ---------------------------------------------------------------------------------------------

struct Point {
  double ns = 0;      // a hand-over
  double waited = 0;  // share of the time
};

class Bench {
 public:
  Bench(uint32_t count, int policy) : rate_(measure_tsc_hz()), control_(make_control(count)) {
    shared_ = static_cast<Shared*>(map(sizeof(Shared) + count * sizeof(Turns)));
    for (uint32_t i = 0; i < count; ++i) control_.wake(SlotId{i}).word = kAsleep;
    end_ = std::make_unique<SwitchEnd>(control_);
    for (uint32_t i = 0; i < count; ++i) start(i, policy);
    pin(0);
  }
  ~Bench() {
    for (pid_t pid : pids_) kill(pid, SIGKILL);
    for (pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // The first `n` processes.
  Point measure(Mode mode, uint32_t n, double seconds) {
    begin(mode, n);
    run_for(mode, kWarmSeconds);
    for (const double limit = now_s() + kStuckSeconds; turns(n) < kWarmRounds * n;) {
      if (now_s() > limit) fail(std::string(kNames[mode]) + ": the turns do not go round");
      run_for(mode, kWarmSeconds);
    }
    const uint64_t turns_before = turns(n), waited_before = shared_->waited_cycles;
    const uint64_t since = tsc_now().n;
    run_for(mode, seconds);
    const double cycles = static_cast<double>(tsc_now().n - since);
    const double handed = static_cast<double>(turns(n) - turns_before);
    const double waited = static_cast<double>(shared_->waited_cycles - waited_before);
    finish(mode, n);
    check(mode, n);
    return {cycles / handed * 1e9 / static_cast<double>(rate_.hz()), waited / cycles};
  }

 private:
  ControlView make_control(uint32_t count) const {
    RegionHeader header{};
    header.dispatch = Dispatch::baton;
    header.tsc_hz = rate_.hz();
    header.slot_count = count;
    header.ring_entries = 32;
    header.core_count = 1;
    header.baton_idle_cycles = rate_.cycles(kIdle).n;
    header.baton_budget = 1;
    lay_out(header);
    return {map(header.control_bytes), header};
  }
  void start(uint32_t i, int policy) {
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0) fail("fork of process " + std::to_string(i) + ": " + std::strerror(errno));
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(0);
      pin(1);
      const sched_param none{};
      if (sched_setscheduler(0, policy, &none) != 0) _exit(1);
      Process(*shared_, control_, i).run();
    }
    pids_.push_back(pid);
  }

  void begin(Mode mode, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) shared_->turns[i].count = 0;
    shared_->ring = n;
    shared_->stop = 0;
    shared_->idle_since = 0;
    shared_->mode = mode;
    if (mode == baton) return end_->begin(n);
    control_.wake(SlotId{0}).word.store(kAwake, std::memory_order_release);
    futex_wake(control_.wake(SlotId{0}).word);
  }
  void run_for(Mode mode, double seconds) {
    for (const double end = now_s() + seconds; now_s() < end;) step(mode);
  }
  void step(Mode mode) {
    if (mode == baton)
      end_->turn();
    else
      __builtin_ia32_pause();
  }
  // Until all sleep.
  void finish(Mode mode, uint32_t n) {
    const double limit = now_s() + kStuckSeconds;
    if (mode == bare) shared_->stop = 1;
    while (mode == bare ? shared_->stop != 2 : !end_->drained())
      if (now_s() > limit) fail(std::string(kNames[mode]) + ": the last turn does not end");
    for (uint32_t i = 0; i < n; ++i)
      while (control_.wake(SlotId{i}).word.load(std::memory_order_acquire) != kAsleep)
        if (now_s() > limit) fail(std::string(kNames[mode]) + ": a process does not sleep");
  }
  void check(Mode mode, uint32_t n) const {
    uint64_t least = ~uint64_t{0}, most = 0;
    for (uint32_t i = 0; i < n; ++i) {
      least = std::min<uint64_t>(least, shared_->turns[i].count);
      most = std::max<uint64_t>(most, shared_->turns[i].count);
    }
    if (most - least > 1)
      fail(std::string(kNames[mode]) + ": turns are not even: " + std::to_string(least) + " to " +
           std::to_string(most));
    if (mode == baton && end_->taken() != turns(n))
      fail("the vSwitch's end saw " + std::to_string(end_->taken()) + " turns of " +
           std::to_string(turns(n)));
  }
  uint64_t turns(uint32_t n) const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; ++i) sum += shared_->turns[i].count.load(std::memory_order_relaxed);
    return sum;
  }
  double now_s() const {
    return static_cast<double>(tsc_now().n) / static_cast<double>(rate_.hz());
  }

  const TscRate rate_;
  const ControlView control_;
  Shared* shared_ = nullptr;
  std::unique_ptr<SwitchEnd> end_;
  std::vector<pid_t> pids_;
};

}  // namespace mayfly
