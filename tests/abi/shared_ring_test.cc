// The shared ring: by hand, scribbled over, from threads, and from processes that are killed at any
// instruction while they give descriptors back.
#include "runtime/abi/shared_ring.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

namespace mayfly {
namespace {

constexpr uint64_t kEntries = 8;

// Memory that a fork shares; a ring's own alignment.
class SharedRingTest : public testing::Test {
 protected:
  void make(uint64_t entries = kEntries) {
    bytes_ = 4096 + entries * sizeof(SharedEntry);
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
    auto* base = static_cast<uint8_t*>(memory_);
    ring_ = {reinterpret_cast<SharedEntry*>(base + 4096), entries - 1,
             reinterpret_cast<std::atomic<uint64_t>*>(base)};
    out_ = SharedRingConsumer(ring_);
  }
  void TearDown() override {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  SharedRingProducer producer(uint32_t slot) const { return {ring_, SlotId{slot}}; }
  // All that is there, at most 64 at a time.
  std::vector<SharedRingConsumer::Entry> all() {
    std::vector<SharedRingConsumer::Entry> entries, batch(64);
    while (const uint32_t n = out_.take(batch))
      entries.insert(entries.end(), batch.begin(), batch.begin() + n);
    return entries;
  }
  static std::vector<uint64_t> bits(const std::vector<SharedRingConsumer::Entry>& entries) {
    std::vector<uint64_t> b;
    for (const auto& e : entries) b.push_back(e.descriptor.bits);
    return b;
  }
  // As many empty looks as the consumer lets pass before it checks the hint.
  void look_long() {
    std::vector<SharedRingConsumer::Entry> batch(64);
    for (int i = 0; i < 2048; ++i) EXPECT_EQ(out_.take(batch), 0u);
  }

  SharedRing ring_;
  SharedRingConsumer out_;

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

TEST_F(SharedRingTest, HoldsAsManyAsItHasEntriesInOrder) {
  make();
  SharedRingProducer in = producer(5);
  EXPECT_TRUE(all().empty());
  for (uint64_t i = 0; i < kEntries; ++i) EXPECT_TRUE(in.push({i}));
  EXPECT_FALSE(in.push({99}));
  in.publish();
  const auto entries = all();
  EXPECT_EQ(bits(entries), (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  for (const auto& e : entries) EXPECT_EQ(e.slot, SlotId{5});
  EXPECT_TRUE(in.push({100}));
  EXPECT_EQ(bits(all()), std::vector<uint64_t>{100});
  EXPECT_EQ(out_.scribbled(), 0u);
}

TEST_F(SharedRingTest, ADescriptorOfAllZerosIsADescriptor) {
  make();
  SharedRingProducer in = producer(0);
  for (int lap = 0; lap < 5; ++lap) {
    for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(in.push({0}));
    in.publish();
    EXPECT_EQ(all().size(), kEntries);
  }
}

TEST_F(SharedRingTest, OneThatDiedBeforeItRaisedTheHintHoldsUpNobody) {
  make();
  for (uint64_t lap = 0; lap < 4; ++lap) {
    SharedRingProducer dead = producer(1), next = producer(2);
    ASSERT_TRUE(dead.push({10}));
    ASSERT_TRUE(dead.push({11}));  // no publish(): it is gone
    ASSERT_TRUE(next.push({20}));
    next.publish();
    EXPECT_EQ(bits(all()), (std::vector<uint64_t>{10, 11, 20}));
  }
  EXPECT_EQ(out_.scribbled(), 0u);
}

TEST_F(SharedRingTest, AHintThatLagsBehindTheConsumerIsSteppedOver) {
  make();
  // Three laps whose producers die before they raise the hint, each found by the next.
  for (uint64_t i = 0; i < 3 * kEntries; ++i) {
    SharedRingProducer dead = producer(1);
    ASSERT_TRUE(dead.push({i})) << i;
    EXPECT_EQ(ring_.tail->load(), 0u);
    EXPECT_EQ(bits(all()), std::vector<uint64_t>{i});
  }
  SharedRingProducer next = producer(2);
  ASSERT_TRUE(next.push({99}));
  next.publish();
  EXPECT_EQ(ring_.tail->load(), 3 * kEntries + 1);
  EXPECT_EQ(bits(all()), std::vector<uint64_t>{99});
}

TEST_F(SharedRingTest, OneThatSleptForLapsFillsNothingButTheTail) {
  make();
  SharedRingProducer slow = producer(1), fast = producer(2);
  ASSERT_TRUE(slow.push({1}));  // in a burst: it believes it stands at position 1
  for (uint64_t i = 0; i < 5 * kEntries + 3; ++i) {
    ASSERT_TRUE(fast.push({100 + i}));
    fast.publish();
    all();
  }
  ASSERT_TRUE(fast.push({7}));
  ASSERT_TRUE(slow.push({2}));
  ASSERT_TRUE(fast.push({8}));
  slow.publish();
  fast.publish();
  EXPECT_EQ(bits(all()), (std::vector<uint64_t>{7, 2, 8}));
  EXPECT_EQ(ring_.tail->load(), out_.taken());
}

// Preempted in a burst for 10 ms, say: it does not walk past all that the others did meanwhile.
TEST_F(SharedRingTest, OneThatSleptInABurstGoesToTheHintAtOnce) {
  make(1 << 14);
  SharedRingProducer slow = producer(1), fast = producer(2);
  ASSERT_TRUE(slow.push({1}));
  for (uint64_t i = 0; i < 10'000; ++i) ASSERT_TRUE(fast.push({100 + i}));
  fast.publish();
  EXPECT_EQ(all().size(), 10'001u);
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(slow.push({i}));
  slow.publish();
  EXPECT_LE(slow.steps(), 2u);
  EXPECT_EQ(all().size(), 10u);
}

TEST_F(SharedRingTest, AFullRingIsRefusedAndWholeAfterwards) {
  make();
  SharedRingProducer a = producer(1), b = producer(2);
  for (uint64_t lap = 0; lap < 3; ++lap) {
    for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE((i % 2 ? a : b).push({i}));
    EXPECT_FALSE(a.push({99}));
    EXPECT_FALSE(b.push({99}));
    EXPECT_EQ(bits(all()), (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
}

TEST_F(SharedRingTest, TheRingOfADomainHoldsAllBuffersAndARequestOfEverySlot) {
  EXPECT_EQ(shared_ring_entries(1024, 4096), 8192u);
  EXPECT_EQ(shared_ring_entries(65536 + 64, 4096), 131072u);
  EXPECT_GE(shared_ring_entries(1u << kBufferIndexBits, kSlotCountMax), (1u << 22) + (1u << 18));
  for (const uint64_t lap : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 45) - 1}) {
    const uint64_t state = shared_full(lap, SlotId{kSlotCountMax - 1});
    EXPECT_EQ(shared_lap(state), lap);
    EXPECT_EQ(shared_slot(state), SlotId{kSlotCountMax - 1});
    EXPECT_NE(state, shared_empty(lap));
  }
}

// Scribbling: it costs what was there, and the ring goes on.

TEST_F(SharedRingTest, AStateThatIsNoneIsSkipped) {
  make();
  SharedRingProducer in = producer(1);
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(in.push({i}));
  in.publish();
  ring_.at(1).state.store(0x5a5a5a5a5a5a5a5a);
  EXPECT_EQ(bits(all()), (std::vector<uint64_t>{0, 2, 3}));
  EXPECT_EQ(out_.scribbled(), 1u);
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(in.push({i}));
    in.publish();
    EXPECT_EQ(bits(all()), std::vector<uint64_t>{i});
  }
}

TEST_F(SharedRingTest, AFullEntryMadeEmptyIsSkipped) {
  make();
  SharedRingProducer in = producer(1);
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(in.push({i}));
  in.publish();
  ring_.at(1).state.store(shared_empty(0));
  std::vector<SharedRingConsumer::Entry> entries(8);
  EXPECT_EQ(out_.take(entries), 1u);
  std::vector<uint64_t> rest;
  for (int i = 0; i < 2048 && rest.empty(); ++i) rest = bits(all());
  EXPECT_EQ(rest, (std::vector<uint64_t>{2, 3}));
}

TEST_F(SharedRingTest, ADescriptorScribbledIntoAnEmptyEntryIsOverwritten) {
  make();
  ring_.at(0).descriptor.store(77);
  SharedRingProducer in = producer(1);
  ASSERT_TRUE(in.push({1}));
  EXPECT_EQ(bits(all()), std::vector<uint64_t>{1});
}

TEST_F(SharedRingTest, AHintAheadOfItselfIsSetBack) {
  for (const uint64_t lie : {uint64_t{3}, kEntries, kEntries + 1, uint64_t{1} << 40, UINT64_MAX}) {
    SCOPED_TRACE(lie);
    make();
    ring_.tail->store(lie);
    SharedRingProducer in = producer(1);
    const bool fits = in.push({1});  // beyond a hole, or nowhere
    in.publish();
    std::vector<uint64_t> got;
    for (int i = 0; i < 4096 && got.empty(); ++i) got = bits(all());
    if (fits) {
      EXPECT_EQ(got, std::vector<uint64_t>{1});
    }
    EXPECT_GT(out_.scribbled(), 0u);
    for (uint64_t i = 0; i < 20; ++i) {
      ASSERT_TRUE(in.push({i}));
      in.publish();
      ASSERT_EQ(bits(all()), std::vector<uint64_t>{i});
    }
    TearDown();
  }
}

TEST_F(SharedRingTest, AHintSetBackIsMadeGood) {
  make();
  SharedRingProducer in = producer(1);
  for (uint64_t i = 0; i < 1000; ++i) {
    if (i % 37 == 0) ring_.tail->store(0);
    ASSERT_TRUE(in.push({i}));
    in.publish();
    ASSERT_EQ(bits(all()), std::vector<uint64_t>{i});
  }
  EXPECT_EQ(out_.scribbled(), 0u);
}

TEST_F(SharedRingTest, NoiseNeverLeadsOutsideTheEntriesNorIntoALoopWithoutEnd) {
  make();
  std::mt19937_64 noise(1);
  SharedRingProducer a = producer(1), b = producer(2);
  std::vector<SharedRingConsumer::Entry> entries(16);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t what = noise();
    if (what % 7 == 0) ring_.tail->store(noise() >> (noise() % 64));
    if (what % 7 == 1) ring_.at(what >> 8).state.store(noise() >> (noise() % 64));
    if (what % 7 == 2) ring_.at(what >> 8).descriptor.store(noise());
    a.push({noise()});
    if (what & 1) a.publish();
    b.push({noise()});
    if (what & 2) b.publish();
    ASSERT_LE(out_.take(entries), entries.size());
  }
  // Left alone it works again: what is taken is what was pushed.
  for (int i = 0; i < 64 * 2048; ++i) out_.take(entries);
  uint64_t next = 0, good = 0;
  for (; next < 1000; ++next) {
    if (!a.push({next})) {
      for (int i = 0; i < 4096; ++i) out_.take(entries);
      continue;
    }
    a.publish();
    const auto got = bits(all());
    good += got == std::vector<uint64_t>{next};
  }
  EXPECT_GT(good, 980u);
}

TEST_F(SharedRingTest, NothingThereIsNothingScribbled) {
  make();
  look_long();
  SharedRingProducer in = producer(1);
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(in.push({i}));
  in.publish();
  EXPECT_EQ(all().size(), 3u);
  look_long();
  EXPECT_EQ(out_.scribbled(), 0u);
}

// A descriptor of the stress tests: which incarnation of the producer, and its running number.
uint64_t stamp(uint64_t life, uint64_t number) { return life << 40 | number; }

TEST_F(SharedRingTest, ThreadsLoseDuplicateAndReorderNothing) {
  constexpr uint32_t kProducers = 4;
  constexpr uint64_t kCount = 100'000;
  make(64);
  std::vector<std::thread> threads;
  for (uint32_t p = 0; p < kProducers; ++p)
    threads.emplace_back([this, p] {
      SharedRingProducer in = producer(p);
      for (uint64_t i = 0; i < kCount;) {
        if (in.push({stamp(p, i)})) {
          if (++i % (1 + p * 5) == 0) in.publish();
        } else {
          std::this_thread::yield();
        }
      }
    });
  uint64_t next[kProducers] = {}, total = 0;
  bool in_order = true;
  std::vector<SharedRingConsumer::Entry> batch(32);
  while (total < kProducers * kCount) {
    const uint32_t count = out_.take(batch);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t p = raw(batch[i].slot);
      ASSERT_LT(p, kProducers);
      in_order &= batch[i].descriptor.bits == stamp(p, next[p]++);
    }
    total += count;
    if (count == 0) std::this_thread::yield();
  }
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(in_order);
  EXPECT_TRUE(all().empty());
  EXPECT_EQ(out_.scribbled(), 0u);
}

#if !defined(__SANITIZE_THREAD__)  // which does not follow processes

// Six processes on fewer CPUs push without a pause and are killed at random instructions, over and
// over; each successor has the slot of its predecessor. What arrives from each life of a slot is a
// sequence without gap, and never comes after its slot was drained; those that live are never held
// up.
TEST_F(SharedRingTest, ProcessesKilledAtAnyInstructionLoseAndBlockNothing) {
  constexpr uint32_t kProducers = 6;
  constexpr int kKills = 300;
  make(1024);
  struct Producer {
    pid_t pid = -1;
    uint64_t life = 0, next = 0;
  } producers[kProducers];
  uint64_t lives = 0, deaths_seen = 0, total = 0;
  const auto start = [&](uint32_t p) {
    producers[p] = {-1, ++lives, 0};
    const pid_t pid = fork();
    if (pid == 0) {
      SharedRingProducer in = producer(p);
      for (uint64_t i = 0;;) {
        if (!in.push({stamp(lives, i)})) {
          sched_yield();
        } else if (++i % (1 + lives % 9) == 0) {
          in.publish();
        }
      }
    }
    ASSERT_GT(pid, 0);
    producers[p].pid = pid;
  };
  std::vector<SharedRingConsumer::Entry> batch(64);
  bool right = true;
  const auto take = [&] {
    const uint32_t count = out_.take(batch);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t p = raw(batch[i].slot);
      // A descriptor of a slot's former life would show here: its life differs.
      right &=
          p < kProducers && batch[i].descriptor.bits == stamp(producers[p].life, producers[p].next);
      if (p < kProducers) ++producers[p].next;
    }
    total += count;
    return count;
  };
  for (uint32_t p = 0; p < kProducers; ++p) start(p);
  std::mt19937 random(7);
  for (int kill_count = 0; kill_count < kKills && right; ++kill_count) {
    timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const int64_t patience_ns = random() % 3'000'000;
    do {
      if (take() == 0) sched_yield();
      clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1'000'000'000 + now.tv_nsec - begin.tv_nsec <
             patience_ns);
    const uint32_t p = random() % kProducers;
    ::kill(producers[p].pid, SIGKILL);
    ASSERT_EQ(waitpid(producers[p].pid, nullptr, 0), producers[p].pid);
    ++deaths_seen;
    // Drained up to one ring's length, as the vSwitch does; the others go on pushing meanwhile.
    const uint64_t end = out_.taken() + ring_.size();
    while (out_.taken() < end && take() != 0) {
    }
    start(p);
  }
  // Those that live get through, every one of them, whatever the dead left.
  uint64_t before[kProducers];
  for (uint32_t p = 0; p < kProducers; ++p) before[p] = producers[p].next;
  const time_t deadline = time(nullptr) + 60;
  const auto all_moved = [&] {
    for (uint32_t p = 0; p < kProducers; ++p)
      if (producers[p].next <= before[p]) return false;
    return true;
  };
  while (right && !all_moved() && time(nullptr) < deadline)
    if (take() == 0) sched_yield();
  EXPECT_TRUE(all_moved());
  for (Producer& p : producers) {
    ::kill(p.pid, SIGKILL);
    waitpid(p.pid, nullptr, 0);
  }
  while (take() != 0) {
  }
  EXPECT_TRUE(right);
  EXPECT_EQ(out_.scribbled(), 0u);
  EXPECT_GT(total, 10'000u);
  EXPECT_EQ(deaths_seen, uint64_t{kKills});
  // And an entry is whole or not there: the ring is empty now, and works.
  SharedRingProducer in = producer(0);
  ASSERT_TRUE(in.push({1}));
  EXPECT_EQ(bits(all()), std::vector<uint64_t>{1});
}

#endif

}  // namespace
}  // namespace mayfly
