// The baton between threads and between processes: seats that hold, hand over, park and pause as
// they please, one vSwitch that pushes, revokes and wakes, without any timer that would hide a lost
// wake-up. (models/baton.pml checks the same exhaustively, in the small.)
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "scheduler/baton_queue.h"
#include "scheduler/baton_seat.h"
#include "scheduler/park.h"

namespace mayfly {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr uint32_t kSeatsMax = 64;

// What lies in memory that all share, beside the region: one ring's indices for each NF.
struct Work {
  std::atomic<uint64_t> produced[kSeatsMax];
  std::atomic<uint64_t> consumed[kSeatsMax];
  std::atomic<uint64_t> claim[kSeatsMax];  // the head by which it holds the baton now, or 0
  std::atomic<uint64_t> two_holders;
  std::atomic<bool> stop;
};

class Shared {
 public:
  Shared() {
    RegionHeader h{};
    h.dispatch = Dispatch::baton;
    h.slot_count = 1;
    h.ring_entries = kRingEntriesMin;
    h.core_count = 1;
    lay_out(h);
    bytes_ = h.control_bytes;
    base_ = mmap(nullptr, bytes_ + sizeof(Work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (base_ == MAP_FAILED) abort();
    view = ControlView(base_, h);
    work = reinterpret_cast<Work*>(static_cast<uint8_t*>(base_) + bytes_);
  }
  ~Shared() { munmap(base_, bytes_ + sizeof(Work)); }

  ControlView view;
  Work* work;

 private:
  void* base_;
  uint64_t bytes_;
};

// An NF: the steps of nfpool/nf_baton.cc, with pauses between them.
class Nf {
 public:
  Nf(Shared& shared, uint32_t id, uint32_t seed)
      : view_(shared.view),
        work_(*shared.work),
        id_(id),
        seat_(view_, 0, SlotId{id}),
        random_(seed) {}

  void run() {
    WakeEntry& entry = view_.wake(SlotId{id_});
    while (!work_.stop.load(std::memory_order_relaxed)) {
      if (!has_baton(entry)) {
        park(Dispatch::baton, entry, -1);
        continue;
      }
      entry.word.store(kAwake, std::memory_order_relaxed);
      pause();
      hold();
      work_.claim[id_].store(0, std::memory_order_seq_cst);
    }
  }

 private:
  bool has_baton(WakeEntry& entry) {
    if (seat_.mine()) return true;
    pause();
    entry.word.store(kAsleep, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (seat_.mine()) return true;
    pause();
    if (waiting()) view_.doorbells().ring(SlotId{id_});
    return false;
  }
  bool waiting() const {
    return work_.produced[id_].load(std::memory_order_acquire) !=
           work_.consumed[id_].load(std::memory_order_relaxed);
  }

  void hold() {
    uint32_t idle = 0;
    while (seat_.still_mine()) {
      claim();
      if (waiting()) {
        // In the midst of its work: whoever has consumed everything goes nowhere any more.
        if (random_() % 16 == 0) wait_elsewhere();
        work_.consumed[id_].fetch_add(1, std::memory_order_release);
        idle = 0;
        if (random_() % 4 != 0 && waiting()) continue;
      }
      pause();
      switch (seat_.pass()) {
        case BatonSeat::Passed::kept:
          break;
        case BatonSeat::Passed::nobody:
          if (waiting() || ++idle < 20) break;
          idle = 0;
          work_.claim[id_].store(0, std::memory_order_seq_cst);
          if (!seat_.park()) return;
          pause();
          if (!(seat_.anybody_waits() || waiting()) || !seat_.unpark()) return;
          break;
        case BatonSeat::Passed::handed:
        case BatonSeat::Passed::lost:
          return;
      }
    }
  }

  void wait_elsewhere() {
    work_.claim[id_].store(0, std::memory_order_seq_cst);
    seat_.leave();
    pause();
    seat_.come_back();
  }

  // A head belongs to one NF alone: nobody else may claim the one by which we hold the baton.
  void claim() {
    const uint64_t head = view_.core(0).head.load(std::memory_order_seq_cst);
    if (!seat_.still_mine()) return;
    work_.claim[id_].store(head, std::memory_order_seq_cst);
    if (!seat_.still_mine()) return;
    for (uint32_t other = 0; other < kSeatsMax; ++other)
      if (other != id_ && work_.claim[other].load(std::memory_order_seq_cst) == head)
        work_.two_holders.fetch_add(1);
  }

  void pause() {
    const uint32_t any = random_();
    if (any % 64 == 0)
      std::this_thread::sleep_for(microseconds(any / 64 % 300));
    else if (any % 8 == 0)
      sched_yield();
  }

  ControlView view_;
  Work& work_;
  uint32_t id_;
  BatonSeat seat_;
  std::mt19937 random_;
};

// The vSwitch's end, as in runtime/vswitch/baton.cc, without its instances.
class Dealer {
 private:
  auto taken() {
    return [this](SlotId slot, Cycles) { in_ready_[raw(slot)] = false; };
  }

 public:
  Dealer(Shared& shared, uint32_t seats, uint32_t seed)
      : view_(shared.view),
        work_(*shared.work),
        seats_(seats),
        queue_(view_.core(0)),
        random_(seed),
        in_ready_(seats),
        lives_(seats, true) {}

  bool turn(bool traffic) {
    hear();
    if (traffic) publish();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    look();
    if (fill()) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
      look();
    }
    notify(queue_.grant(taken()));
    return watch();
  }
  void revoke() {
    look();
    notify(queue_.revoke(taken()));
    ++revocations;
  }
  void bury(uint32_t slot) {
    lives_[slot] = false;
    look();
    if (queue_.forget(SlotId{slot})) in_ready_[slot] = false;
    if (queue_.owner() == SlotId{slot}) notify(queue_.revoke(taken()));
    work_.claim[slot].store(0);
  }
  // A successor has the slot, and what its predecessor had not consumed.
  void revive(uint32_t slot) {
    lives_[slot] = true;
    if (unread(slot)) call_ready(slot);
  }
  bool unread(uint32_t slot) const {
    return work_.produced[slot].load(std::memory_order_relaxed) !=
           work_.consumed[slot].load(std::memory_order_acquire);
  }
  bool at_rest() {
    for (uint32_t s = 0; s < seats_; ++s)
      if (lives_[s] && (unread(s) || absence(s) != Absence::present)) return false;
    return true;
  }
  BatonQueue& queue() { return queue_; }
  void look() {
    SlotId last = kNone<SlotId>;
    const auto on_taken = [&](SlotId slot, Cycles) {
      if (last != kNone<SlotId>) ready_again(raw(last));
      in_ready_[raw(slot)] = false;
      last = slot;
    };
    if (!queue_.look(on_taken)) ++violations;
    if (last != kNone<SlotId> && queue_.owner() != last) ready_again(raw(last));
  }
  void wake_all() {
    for (uint32_t s = 0; s < seats_; ++s) {
      view_.wake(SlotId{s}).word.store(kAwake);
      futex_wake(view_.wake(SlotId{s}).word);
    }
  }

  uint64_t revocations = 0, violations = 0, nudges = 0;

 private:
  void call_ready(uint32_t slot) {
    if (in_ready_[slot]) return;
    in_ready_[slot] = true;
    ready_.push_back(slot);
  }
  void ready_again(uint32_t slot) {
    if (lives_[slot] && (unread(slot) || absence(slot) == Absence::back)) call_ready(slot);
  }
  Absence absence(uint32_t slot) const {
    return view_.slot(SlotId{slot}).from_nf.absence.load(std::memory_order_relaxed);
  }
  void hear() {
    if (view_.doorbells().summary[0].exchange(0, std::memory_order_acquire) == 0) return;
    const uint64_t bits = view_.doorbells().words[0].exchange(0, std::memory_order_acquire);
    for (uint32_t s = 0; s < seats_; ++s)
      if (bits >> s & 1) ready_again(s);
  }
  void publish() {
    for (uint32_t n = random_() % 3; n > 0; --n) {
      const uint32_t slot = random_() % seats_;
      const uint64_t produced = work_.produced[slot].load(std::memory_order_relaxed);
      if (!lives_[slot] || produced - work_.consumed[slot].load(std::memory_order_acquire) > 8)
        continue;
      work_.produced[slot].store(produced + 1, std::memory_order_release);
      call_ready(slot);
    }
  }
  bool fill() {
    bool pushed = false;
    while (!ready_.empty() && !queue_.full()) {
      const uint32_t slot = ready_.front();
      ready_.pop_front();
      if ((SlotId{slot} == queue_.owner() && absence(slot) != Absence::back) || !lives_[slot] ||
          absence(slot) == Absence::away) {
        in_ready_[slot] = false;
        continue;
      }
      queue_.push(SlotId{slot}, {});
      pushed = true;
    }
    if (pushed) queue_.publish();
    return pushed;
  }
  void notify(SlotId slot) {
    if (slot == kNone<SlotId>) return;
    WakeEntry& entry = view_.wake(slot);
    if (entry.word.exchange(kAwake, std::memory_order_seq_cst) == kAsleep) futex_wake(entry.word);
  }
  // False: the head has not moved for long, although others wait.
  bool watch() {
    if (queue_.parked() || queue_.head() != seen_) {
      seen_ = queue_.head();
      since_ = Clock::now();
      nudged_ = false;
      return true;
    }
    if (queue_.owner() == kNone<SlotId> || !lives_[raw(queue_.owner())] ||
        absence(raw(queue_.owner())) == Absence::away) {
      notify(queue_.revoke(taken()));
      return true;
    }
    const auto held = Clock::now() - since_;
    if (mend && !nudged_ && held > microseconds(100)) {
      nudged_ = true;
      WakeEntry& entry = view_.wake(queue_.owner());
      nudges += entry.word.exchange(kAwake) == kAsleep;
      futex_wake(entry.word);
    }
    return queue_.waiting() == 0 || held < milliseconds(5);
  }

  ControlView view_;
  Work& work_;
  uint32_t seats_;
  BatonQueue queue_;
  std::mt19937 random_;
  std::vector<bool> in_ready_, lives_;
  std::deque<uint32_t> ready_;
  BatonHead seen_;
  Clock::time_point since_ = Clock::now();
  bool nudged_ = false;

 public:
  bool mend = false;  // hand-overs that were cut short; not needed unless somebody was killed
};

class BatonThreads : public testing::TestWithParam<uint32_t> {};

TEST_P(BatonThreads, NeverTwoHoldersAndNoLostWake) {
  const uint32_t seats = GetParam();
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Shared shared;
  Dealer dealer(shared, seats, seed);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < seats; ++i)
    threads.emplace_back([&shared, i, seed] { Nf(shared, i, seed + i).run(); });
  std::mt19937 random(seed + 1000);
  const auto end = Clock::now() + milliseconds(1500);
  while (Clock::now() < end) {
    // A wall clock lies on a shared core; a revocation at the wrong time must not harm either.
    if (!dealer.turn(random() % 4 != 0) || random() % 5000 == 0) dealer.revoke();
    if (random() % 256 == 0) std::this_thread::sleep_for(microseconds(random() % 2000));
  }
  const auto patience = Clock::now() + std::chrono::seconds(60);
  while (!dealer.at_rest() && Clock::now() < patience) dealer.turn(false);
  EXPECT_TRUE(dealer.at_rest()) << "somebody sleeps on packets";
  shared.work->stop.store(true);
  // Again and again: one may just be about to sleep.
  std::atomic<bool> ended = false;
  std::thread waker([&] {
    while (!ended) {
      dealer.wake_all();
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  for (auto& thread : threads) thread.join();
  ended = true;
  waker.join();
  EXPECT_EQ(shared.work->two_holders.load(), 0u);
  EXPECT_EQ(dealer.violations, 0u);
  EXPECT_GT(dealer.revocations, 0u);
  EXPECT_GT(shared.view.core(0).handovers.load(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seats, BatonThreads, testing::Values(3, 8, 64));

// Real processes, killed, stopped and continued wherever they are.
class Processes {
 public:
  Processes(Shared& shared, Dealer& dealer, uint32_t count, uint32_t seed)
      : shared_(shared), dealer_(dealer), pids_(count), seed_(seed) {
    for (uint32_t i = 0; i < count; ++i) fork_one(i);
  }
  ~Processes() {
    for (uint32_t i = 0; i < pids_.size(); ++i) end(i);
  }
  void kill_one(uint32_t i) {
    end(i);
    dealer_.bury(i);
    WakeEntry& entry = shared_.view.wake(SlotId{i});
    entry.word.store(kAwake);
    shared_.view.slot(SlotId{i}).from_nf.absence.store(Absence::present);
    fork_one(i);
    dealer_.revive(i);
  }
  void signal(uint32_t i, int what) { kill(pids_[i], what); }

 private:
  void fork_one(uint32_t i) {
    const pid_t parent = getpid();
    pids_[i] = fork();
    if (pids_[i] != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    Nf(shared_, i, seed_ + i + 977 * ++births_).run();
    _exit(0);
  }
  void end(uint32_t i) {
    kill(pids_[i], SIGKILL);
    waitpid(pids_[i], nullptr, 0);
    ++births_;
  }

  Shared& shared_;
  Dealer& dealer_;
  std::vector<pid_t> pids_;
  uint32_t seed_, births_ = 0;
};

TEST(BatonProcesses, KilledStoppedAndContinuedAnywhere) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  constexpr uint32_t kSeats = 16;
  Shared shared;
  Dealer dealer(shared, kSeats, seed);
  dealer.mend = true;
  std::mt19937 random(seed);
  uint64_t kills = 0;
  {
    Processes processes(shared, dealer, kSeats, seed);
    const auto end = Clock::now() + std::chrono::seconds(5);
    auto next = Clock::now();
    while (Clock::now() < end) {
      if (!dealer.turn(random() % 4 != 0)) dealer.revoke();
      if (Clock::now() < next) continue;
      next = Clock::now() + microseconds(random() % 3000);
      const uint32_t whom = random() % kSeats;
      switch (random() % 3) {
        case 0:
          processes.kill_one(whom), ++kills;
          break;
        case 1:
          processes.signal(whom, SIGSTOP);
          break;
        case 2:
          for (uint32_t i = 0; i < kSeats; ++i) processes.signal(i, SIGCONT);
          break;
      }
    }
    for (uint32_t i = 0; i < kSeats; ++i) processes.signal(i, SIGCONT);
    const auto patience = Clock::now() + std::chrono::seconds(60);
    while (!dealer.at_rest() && Clock::now() < patience)
      if (!dealer.turn(false)) dealer.revoke();
    EXPECT_TRUE(dealer.at_rest()) << "somebody sleeps on packets";
  }
  EXPECT_EQ(shared.work->two_holders.load(), 0u);
  EXPECT_EQ(dealer.violations, 0u);
  EXPECT_GT(kills, 100u);
  EXPECT_GT(dealer.revocations, 0u);
}

}  // namespace
}  // namespace mayfly
