// The vSwitch's end of the baton against memory that somebody scribbles over, and NFs that die
// while they wait.
#include "scheduler/baton_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace mayfly {
namespace {

// Whatever lies in shared memory, the vSwitch's own order stands: each NF that was pushed has at
// most one turn for it, in order, and the owner is one of them.
TEST(BatonQueue, ScribblesNeverMisleadTheVSwitch) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    CoreBaton core{};
    BatonQueue queue(core);
    std::deque<uint32_t> pushed;
    const auto on_taken = [&](SlotId slot, Cycles) {
      ASSERT_FALSE(pushed.empty());
      ASSERT_EQ(raw(slot), pushed.front());
      pushed.pop_front();
    };
    for (int i = 0; i < 20'000; ++i) {
      const uint64_t any = random();
      switch (any % 8) {
        case 0:
          core.head.store(random());
          break;
        case 1:
          core.head.fetch_add(any >> 8 & 3);
          break;
        case 2:
          core.head.fetch_xor(uint64_t{1} << 32);
          break;
        case 3:
          core.tail.store(static_cast<uint32_t>(random()));
          break;
        case 4:
          core.entry(static_cast<uint32_t>(random())).store(static_cast<uint32_t>(any));
          break;
        default:
          break;
      }
      const uint32_t slot = static_cast<uint32_t>(any >> 16) % 4096;
      if (!queue.full() && std::find(pushed.begin(), pushed.end(), slot) == pushed.end()) {
        queue.push(SlotId{slot}, {});
        pushed.push_back(slot);
        queue.publish();
      }
      if ((any >> 32) % 16 == 0 && !pushed.empty()) {
        const uint32_t dead = pushed[pushed.size() / 2];
        EXPECT_TRUE(queue.forget(SlotId{dead}));
        std::erase(pushed, dead);
      }
      queue.look(on_taken);
      if ((any >> 36) % 4 == 0) queue.grant(on_taken);
      if ((any >> 40) % 8 == 0) queue.revoke(on_taken);
      ASSERT_EQ(queue.waiting(), pushed.size());
      ASSERT_TRUE(queue.owner() == kNone<SlotId> || raw(queue.owner()) < 4096u);
      if (HasFatalFailure()) return;
    }
  }
}

// Nobody lives who waits: room must come back all the same.
TEST(BatonQueue, AQueueOfTheDeadIsLeftBehind) {
  CoreBaton core{};
  BatonQueue queue(core);
  const auto on_taken = [](SlotId, Cycles) {};
  for (uint32_t round = 0; round < 3; ++round) {
    uint32_t count = 0;
    while (!queue.full()) queue.push(SlotId{count++}, {});
    EXPECT_EQ(count, kReadyEntries - 2);
    queue.publish();
    const bool granted = round == 1;
    if (granted) {
      EXPECT_EQ(queue.grant(on_taken), SlotId{0});
    }
    for (uint32_t s = 0; s < count; ++s) queue.forget(SlotId{s});
    EXPECT_EQ(queue.waiting(), 0u);
    EXPECT_EQ(granted ? queue.revoke(on_taken) : queue.grant(on_taken), kNone<SlotId>);
    EXPECT_TRUE(queue.parked());
    EXPECT_FALSE(queue.full());
  }
}

}  // namespace
}  // namespace mayfly
