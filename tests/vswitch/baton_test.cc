// Dispatch `baton` on the moved clock: who is ready, in which order, and who has the core.
#include <random>

#include "tests/vswitch/baton_env.h"

namespace mayfly {
namespace {

TEST_F(BatonTest, OneWakeServesAllInOrder) {
  start(with_baton());
  bind_hosts(5);
  for (uint8_t host : {3, 1, 5, 2, 4}) arrive(host);
  turn();
  EXPECT_EQ(queue().owner(), of(3));
  EXPECT_EQ(queue().waiting(), 4u);
  const auto before = vswitch_->wakes();
  settle();
  EXPECT_EQ(order_, "31524");
  EXPECT_EQ(waker_.woken, std::vector<SlotId>{of(3)});
  EXPECT_EQ(vswitch_->wakes().wakes - before.wakes, 4u);
  EXPECT_EQ(vswitch_->wakes().remote, before.remote);
  EXPECT_EQ(shared().handovers.load(), 4u);
  EXPECT_TRUE(queue().parked());
  EXPECT_EQ(port(1).out.size(), 5u);
  expect_balance();
}

TEST_F(BatonTest, AloneOnTheCoreNobodyWaitsForABatch) {
  Config c = with_baton();
  c.wake.batch = 8;
  start(c);
  bind_hosts(1);
  arrive(1);
  turn();
  EXPECT_EQ(queue().owner(), of(1));
}

TEST_F(BatonTest, NotEagerEverybodyWaitsForBatchOrAge) {
  Config c = with_baton();
  c.baton.eager = false;
  c.wake.batch = 4;
  c.wake.aging = micros(100);
  start(c);
  give(0, 2);
  for (int i = 0; i < 3; ++i) arrive(1);
  turn();
  EXPECT_TRUE(queue().parked());
  arrive(1);
  turn();
  EXPECT_FALSE(queue().parked()) << "a batch";
  settle();
  arrive(2);
  turn(micros(90));
  turn();
  EXPECT_TRUE(queue().parked());
  wait(micros(20));
  EXPECT_FALSE(queue().parked()) << "old enough";
  settle();
  EXPECT_EQ(port(1).out.size(), 5u);
}

TEST_F(BatonTest, EagerOnlyWhileFewWait) {
  Config c = with_baton();
  c.wake.batch = 4;
  c.wake.aging = micros(100);
  start(c);
  give(0, 30);
  for (uint8_t host = 1; host <= 30; ++host) arrive(host);
  turn();
  EXPECT_EQ(queue().waiting(), 15u);
  settle(micros(5));
  EXPECT_EQ(port(1).out.size(), 30u);
}

TEST_F(BatonTest, BeyondItsBudgetAnNfQueuesBehindTheOthers) {
  Config c = with_baton();
  c.baton.budget = 2;
  start(c);
  bind_hosts(2);
  uint32_t more = 4;
  nf(of(1)).on_burst = [&](Burst&) {  // each burst finds that another packet has come
    order_ += '1';
    if (more == 4) arrive(2);
    if (more-- > 0) arrive(1);
    turn();
  };
  arrive(1);
  settle();
  EXPECT_EQ(order_, "112111");
  EXPECT_EQ(port(1).out.size(), 6u);
}

TEST_F(BatonTest, ABurstEndsWithTheBudgetIfOthersWait) {
  Config c = with_baton();
  c.baton.budget = 10;
  start(c);
  bind_hosts(3);
  std::string bursts;
  for (uint8_t host : {1, 2, 3})
    nf(of(host)).on_burst = [&bursts, host](Burst& burst) {
      bursts += std::to_string(host) + ":" + std::to_string(burst.size()) + " ";
    };
  for (int i = 0; i < 25; ++i) arrive(1);
  for (uint8_t host : {2, 3}) arrive(host);
  turn();
  settle();
  EXPECT_EQ(bursts, "1:10 2:1 3:1 1:15 ");
  EXPECT_EQ(port(1).out.size(), 27u);
}

TEST_F(BatonTest, WithNobodyWaitingThereIsNoBudget) {
  Config c = with_baton();
  c.baton.budget = 1;
  start(c);
  bind_hosts(2);
  uint32_t more = 20;
  nf(of(1)).on_burst = [&](Burst&) {
    if (more-- > 0) arrive(1);
    turn();
    EXPECT_EQ(queue().waiting(), 0u) << "the owner is not queued";
  };
  arrive(1);
  settle();
  EXPECT_EQ(nf(of(1)).packets, 22u);  // one of them bound it
  EXPECT_EQ(waker_.woken.size(), 1u);
  EXPECT_EQ(shared().kept.load(), 20u) << "nobody else was there to hand over to";
}

// It has slept again before the vSwitch looks at the head; meanwhile packets came, and it still
// passed for queued.
TEST_F(BatonTest, WhoeverSleptBeforeItsTurnWasNoticedIsCalledAgain) {
  start(with_baton());
  bind_hosts(2);
  arrive(1);
  arrive(2);
  turn();
  run_nf(of(1));
  run_nf(of(2));
  arrive(2);
  settle();
  EXPECT_EQ(port(1).out.size(), 3u);
  EXPECT_EQ(order_, "122");
}

// The same, and its bell is heard before its turn is noticed.
TEST_F(BatonTest, ABellRungBeforeTheTurnWasNoticedIsNotForgotten) {
  Config c = with_baton();
  c.baton.budget = 1;
  start(c);
  bind_hosts(3);
  nf(of(2)).on_burst = [&](Burst&) {
    order_ += '2';
    if (nf(of(2)).packets > 2) return;
    arrive(2);
    turn();
    nf(of(2)).on_burst = [&](Burst&) { order_ += '2'; };
  };
  for (uint8_t host : {1, 2, 3}) arrive(host);
  turn();
  run_nf(of(1));
  run_nf(of(2));  // leaves a packet
  settle();
  EXPECT_EQ(order_, "1232");
  EXPECT_EQ(port(1).out.size(), 4u);
}

TEST_F(BatonTest, ATickThatComesWhileTheOwnerLetsGoWaitsForItsNextTurn) {
  Config c = with_baton();
  c.nfs[0].tick_period_ns = 1'000'000;
  start(c);
  bind_hosts(1);
  arrive(1);
  turn();
  const int ticks = nf(of(1)).ticks;
  loops_[index(of(1))]->turn();  // its last look at everything
  wait(millis(2), micros(100));  // due, and it is the owner
  ASSERT_NE(wake(of(1)).tick_due.load(), 0u);
  ASSERT_TRUE(seat(1).mine());
  ASSERT_EQ(seat(1).pass(), BatonSeat::Passed::kept) << "queued once more, for its tick";
  settle();
  EXPECT_GT(nf(of(1)).ticks, ticks);
}

// Random traffic, NFs that run when they please, no ageing: nobody is ever found to have slept on
// packets, and nothing stays behind.
TEST_F(BatonTest, WithTheProtocolKeptNothingIsLate) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    if (seed != 1) {
      TearDown();
      ports_.clear();
      wires_.clear();
      next_slot_ = 0;
    }
    Config c = with_baton();
    c.baton.budget = 1 + seed % 3;
    c.baton.eager = seed % 2 == 0;
    start(c);
    give(0, 8);
    for (uint32_t s = 0; s < 8; ++s)
      nf(SlotId{s}).on_burst = [&](Burst&) {
        if (random() % 4 != 0) return;
        arrive(static_cast<uint8_t>(1 + random() % 8));
        turn();
      };
    for (uint32_t i = 0; i < 1000; ++i) {
      if (random() % 2 != 0) arrive(static_cast<uint8_t>(1 + random() % 8));
      turn();
      const SlotId one{static_cast<uint32_t>(random() % 8)};
      if (random() % 3 != 0 && wake(one).word.load() == kAwake) run_nf(one);
    }
    for (uint32_t s = 0; s < 8; ++s) nf(SlotId{s}).on_burst = nullptr;
    for (int i = 0; i < 20; ++i) settle();
    EXPECT_EQ(static_cast<int64_t>(port(1).out.size() + drops(Drop::nf_ring_full)),
              vswitch_->ledger().rx);
    EXPECT_EQ(vswitch_->ledger().held(), 0);
    pass(seconds(3));
    EXPECT_EQ(vswitch_->wakes().late, 0u);
    EXPECT_TRUE(queue().parked());
  }
}

}  // namespace
}  // namespace mayfly
