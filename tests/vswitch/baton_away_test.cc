// Dispatch `baton` on the moved clock: NFs that give the core up while they wait for something else.
#include <thread>

#include "tests/vswitch/baton_env.h"

namespace mayfly {
namespace {

class BatonAwayTest : public BatonTest {
 protected:
  void settle_others(uint8_t host) {
    for (int i = 0; i < 20; ++i) {
      turn();
      for (uint8_t other = 1; other < 64; ++other)
        if (other != host && of(other) != kNone<SlotId> && wake(of(other)).word.load() == kAwake)
          run_nf(of(other));
    }
  }
  // It sleeps until it has the core; the vSwitch has its turns meanwhile.
  void come_back(uint8_t host) {
    std::atomic<bool> there = false;
    std::thread lcore([&] {
      while (!there) {
        turn();
        futex_wake(wake(of(host)).word);
      }
    });
    loops_[index(of(host))]->regain_core();
    there = true;
    lcore.join();
  }
};

// In the midst of a burst. Others have the core meanwhile, what comes for it waits in its ring, and
// nobody blames it.
TEST_F(BatonAwayTest, OneThatWaitsElsewhereIsAwayUntilItComesBack) {
  start(with_baton());
  bind_hosts(3);
  nf(of(1)).on_burst = [&](Burst&) {
    nf(of(1)).on_burst = [&](Burst&) { order_ += '1'; };
    order_ += '(';
    loops_[index(of(1))]->release_core();
    loops_[index(of(1))]->release_core();
    turn();
    EXPECT_EQ(queue().owner(), of(2));
    run_nf(of(2));
    for (uint8_t host : {1, 3, 1}) arrive(host);
    settle_others(1);
    EXPECT_TRUE(queue().parked());
    wait(millis(10));
    EXPECT_FALSE(vswitch_->suspect(0));
    loops_[index(of(1))]->regain_core();  // the inner one
    turn();
    EXPECT_TRUE(queue().parked());
    come_back(1);
    order_ += ')';
    EXPECT_EQ(queue().owner(), of(1));
  };
  arrive(1);
  arrive(2);
  turn();
  run_nf(of(1));
  settle();
  EXPECT_EQ(order_, "(23)1");
  EXPECT_EQ(port(1).out.size(), 5u);
  EXPECT_EQ(core().revocations, 0u);
  expect_balance();
}

// It stood in the queue already.
TEST_F(BatonAwayTest, AnOwnerThatIsAwayIsRelievedAndNotBlamed) {
  start(with_baton());
  bind_hosts(3);
  for (uint8_t host : {1, 2, 3}) arrive(host);
  turn();
  shared().absences.store(1);
  slot(of(2)).from_nf.absence.store(Absence::away);
  run_nf(of(1));
  turn();
  EXPECT_EQ(queue().owner(), of(3));
  EXPECT_EQ(core().revocations, 0u);
  EXPECT_FALSE(seat(2).mine());
  slot(of(2)).from_nf.absence.store(Absence::back);
  control_.doorbells().ring(of(2));
  settle();
  EXPECT_EQ(order_, "132");
}

TEST_F(BatonAwayTest, RevokedBeforeItGoesAwayAndKilledWhileAway) {
  start(with_baton());
  bind_hosts(3);
  nf(of(1)).on_burst = [&](Burst&) {
    arrive(2);
    wait(millis(5));
    ASSERT_TRUE(vswitch_->revoke_baton(*vswitch_->suspect(0), now_));
    const BatonHead before{shared().head.load()};
    loops_[index(of(1))]->release_core();
    EXPECT_EQ(shared().head.load(), before.word) << "it was not its own to give";
    arrive(1);
    settle_others(1);
    EXPECT_TRUE(queue().parked());
  };
  arrive(1);
  turn();
  run_nf(of(1));
  die(of(1));
  give(0, 1);
  settle();
  EXPECT_EQ(order_, "2");
  EXPECT_EQ(drops(Drop::nf_died), 0u) << "the burst was given back";
  EXPECT_EQ(port(1).out.size(), 3u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
