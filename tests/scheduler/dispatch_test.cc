// Each dispatch for real: a thread that sleeps by the NF's protocol, and wakes by the vSwitch's,
// a hundred thousand times, with no ageing timer to hide a lost wake-up.
#include "scheduler/dispatch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace mayfly {
namespace {

class DispatchTest : public testing::TestWithParam<Dispatch> {};

TEST_P(DispatchTest, NoWakeIsEverLost) {
  const Dispatch dispatch = GetParam();
  auto* entry = static_cast<WakeEntry*>(mmap(nullptr, sizeof(WakeEntry), PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(entry, MAP_FAILED);
  const auto waker = make_waker(dispatch, 1);
  const auto wake_fd = waker->prepare(SlotId{0}, *entry);
  ASSERT_TRUE(wake_fd.ok()) << wake_fd.status();

  constexpr uint32_t kRounds = 100'000;
  std::atomic<uint32_t> produced{0}, consumed{0};
  std::thread nf([&] {
    uint32_t seen = 0;
    while (seen < kRounds) {
      if (const uint32_t now = produced.load(std::memory_order_acquire); now != seen) {
        seen = now;
        consumed.store(seen, std::memory_order_release);
        continue;
      }
      entry->word.store(kAsleep, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (produced.load(std::memory_order_acquire) != seen) {
        entry->word.store(kAwake, std::memory_order_relaxed);
        continue;
      }
      park(dispatch, *entry, *wake_fd);
    }
  });
  uint64_t wakes = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (uint32_t i = 1; i <= kRounds; ++i) {
    produced.store(i, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (entry->word.load(std::memory_order_relaxed) == kAsleep &&
        entry->word.exchange(kAwake, std::memory_order_acq_rel) == kAsleep) {
      waker->wake(SlotId{0}, *entry);
      waker->submit();
      ++wakes;
    }
    if (i % 3 != 0) continue;  // sometimes wait for the sleeper, sometimes run ahead
    while (consumed.load(std::memory_order_acquire) != i)
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "asleep on packet " << i;
  }
  while (consumed.load(std::memory_order_acquire) != kRounds)
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "asleep on the last packet";
  nf.join();
  EXPECT_GT(wakes, 0u);
  munmap(entry, sizeof(WakeEntry));
}

INSTANTIATE_TEST_SUITE_P(All, DispatchTest,
                         testing::Values(Dispatch::semaphore, Dispatch::eventfd, Dispatch::futex,
                                         Dispatch::uring),
                         [](const auto& info) { return std::string(dispatch_name(info.param)); });

TEST(Dispatch, NamesAreParsedAndUnknownOnesListTheKnown) {
  for (Dispatch d : {Dispatch::poll, Dispatch::semaphore, Dispatch::eventfd, Dispatch::futex,
                     Dispatch::uring, Dispatch::baton})
    EXPECT_EQ(parse_dispatch(dispatch_name(d)).value(), d);
  const auto wrong = parse_dispatch("signal");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().message(),
            "unknown dispatch 'signal'; there are poll, semaphore, eventfd, futex, uring, baton");
}

}  // namespace
}  // namespace mayfly
