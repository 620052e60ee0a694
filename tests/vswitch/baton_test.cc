// Dispatch `baton` on the moved clock: who is ready, in which order, who has the core, and what
// becomes of it when somebody dies, sleeps or lies.
#include <random>
#include <thread>

#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class BatonTest : public VSwitchTest {
 protected:
  Config with_baton(KeyBy by = KeyBy::src_ip) {
    Config c = two_ports({"x"}, by);
    c.dispatch = Dispatch::baton;
    c.wake.aging = kNever;
    return c;
  }
  // NFs for hosts 1 to `count`, bound in this order, at rest; `order` says who works from then on.
  void bind_hosts(uint8_t count) {
    const auto slots = give(0, count);
    for (uint8_t host = 1; host <= count; ++host) {
      port(0).in.push_back(udp(host));
      settle();
      slot_of_[host] = slots[slots.size() - host];
      nf(slot_of_[host]).on_burst = [this, host](Burst&) {
        order_ += static_cast<char>('0' + host);
      };
    }
    port(1).out.clear();
    waker_.woken.clear();
    ASSERT_TRUE(queue().parked());
  }
  void arrive(uint8_t host, uint32_t number = 0) { port(0).in.push_back(udp(host, 1000, number)); }
  SlotId of(uint8_t host) const { return slot_of_[host]; }
  BatonSeat& seat(uint8_t host) { return *seats_[index(of(host))]; }
  const CoreRecord& core(uint32_t i = 0) { return vswitch_->core(i); }
  const BatonQueue& queue() { return core().queue; }
  CoreBaton& shared() { return control_.core(0); }
  void die(SlotId slot) {
    loops_[index(slot)].reset();
    const DeathReport report{slot, false};
    vswitch_->on_deaths({&report, 1}, now_);
  }
  // Turns in which no NF does anything.
  void wait(Nanos time, Nanos step = micros(10)) {
    for (int64_t t = 0; t < time.n; t += step.n) turn(step);
  }
  static std::array<SlotId, 64> no_slots() {
    std::array<SlotId, 64> none;
    none.fill(kNone<SlotId>);
    return none;
  }
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
  // The holder hands over, and is killed before it wakes the next.
  void hand_over_without_wake() {
    BatonHead head{shared().head.load()};
    shared().head.store(BatonHead::make(head.epoch(), false, head.index() + 1).word);
  }

  std::array<SlotId, 64> slot_of_ = no_slots();
  std::string order_;
};

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

TEST_F(BatonTest, TheOwnerDies) {
  start(with_baton());
  bind_hosts(3);
  for (uint8_t host : {1, 2, 3}) arrive(host, host);
  turn();
  ASSERT_EQ(queue().owner(), of(1));
  die(of(1));
  EXPECT_EQ(queue().owner(), of(2));
  EXPECT_EQ(waker_.woken.back(), of(2));
  give(0, 1);
  settle();
  EXPECT_EQ(port(1).out.size(), 3u);
  EXPECT_EQ(drops(Drop::nf_died), 0u);
  expect_balance();
}

TEST_F(BatonTest, TheOwnerDiesAndNobodyWaits) {
  start(with_baton());
  bind_hosts(2);
  arrive(1);
  turn();
  die(of(1));
  EXPECT_TRUE(queue().parked());
  arrive(2);
  give(0, 1);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
}

TEST_F(BatonTest, OneWhoWaitsDiesAndIsPassedOver) {
  start(with_baton());
  bind_hosts(3);
  for (uint8_t host : {1, 2, 3}) arrive(host);
  turn();
  die(of(2));
  EXPECT_EQ(queue().waiting(), 1u);
  give(0, 1);
  settle();
  EXPECT_EQ(order_.substr(0, 2), "13");
  EXPECT_EQ(port(1).out.size(), 3u);
  expect_balance();
}

// The holder had read the entry before it was crossed out.
TEST_F(BatonTest, TheBatonIsHandedToOneWhoHasJustDied) {
  start(with_baton());
  bind_hosts(3);
  for (uint8_t host : {1, 2, 3}) arrive(host);
  turn();
  die(of(2));
  hand_over_without_wake();
  EXPECT_FALSE(seat(1).mine());
  turn();
  EXPECT_EQ(queue().owner(), kNone<SlotId>);
  turn();
  EXPECT_EQ(queue().owner(), of(3));
  give(0, 1);
  settle();
  EXPECT_EQ(port(1).out.size(), 3u);
  expect_balance();
}

// As when their zygote is killed: more of them than the queue has room for.
TEST_F(BatonTest, AllDieWhoWait) {
  Config c = with_baton(KeyBy::five_tuple);
  c.nfs[0].pool.max = 1000;
  c.packets = 4096;
  start(c);
  const auto slots = give(0, 600);
  for (uint16_t i = 0; i < 600; ++i) port(0).in.push_back(udp(1, 1000 + i));
  for (int i = 0; i < 40; ++i) turn();
  std::vector<DeathReport> all;
  for (SlotId s : slots) all.push_back({s, false});
  vswitch_->on_deaths(all, now_);
  for (SlotId s : slots) loops_[index(s)].reset();
  turn();
  EXPECT_EQ(queue().waiting(), 0u);
  give(0, 600);
  for (int i = 0; i < 100; ++i) settle();
  EXPECT_EQ(port(1).out.size(), 600u);
  expect_balance();
}

TEST_F(BatonTest, AHandOverCutShortIsMended) {
  start(with_baton());
  bind_hosts(2);
  for (uint8_t host : {1, 2}) arrive(host);
  turn();
  loops_[index(of(1))]->turn();
  hand_over_without_wake();
  die(of(1));
  waker_.woken.clear();
  wait(micros(90));
  EXPECT_TRUE(waker_.woken.empty());
  wait(micros(30));
  EXPECT_EQ(waker_.woken, std::vector<SlotId>{of(2)}) << "although nobody else waits";
  EXPECT_EQ(core().nudges, 1u);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
}

// Killed between the word and the futex call: the word says awake.
TEST_F(BatonTest, AlsoBetweenTheWordAndTheCall) {
  start(with_baton());
  bind_hosts(2);
  for (uint8_t host : {1, 2}) arrive(host);
  turn();
  hand_over_without_wake();
  wake(of(2)).word.store(kAwake);
  die(of(1));
  waker_.woken.clear();
  wait(micros(120));
  EXPECT_EQ(waker_.woken, std::vector<SlotId>{of(2)});
  wait(millis(1));
  EXPECT_EQ(waker_.woken.size(), 1u) << "once is enough";
}

TEST_F(BatonTest, AnOwnerThatKeepsOthersWaitingIsSuspected) {
  start(with_baton());
  bind_hosts(2);
  arrive(1);
  turn();
  wait(millis(5));
  EXPECT_FALSE(vswitch_->suspect(0)) << "nobody waits";
  arrive(2);
  wait(micros(1900));
  EXPECT_FALSE(vswitch_->suspect(0)) << "not yet";
  wait(micros(200));
  const auto suspect = vswitch_->suspect(0);
  ASSERT_TRUE(suspect);
  EXPECT_EQ(suspect->owner, of(1));
  EXPECT_TRUE(vswitch_->revoke_baton(*suspect, now_));
  EXPECT_EQ(core().revocations, 1u);
  EXPECT_EQ(queue().owner(), of(2));
  EXPECT_EQ(waker_.woken.back(), of(2));
  EXPECT_FALSE(vswitch_->suspect(0));
  EXPECT_FALSE(vswitch_->revoke_baton(*suspect, now_)) << "it is somebody else's now";
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
  EXPECT_EQ(core().revocations, 1u);
}

// While it works on a burst. What came for it meanwhile is not forgotten, and it hands nothing
// over.
TEST_F(BatonTest, RevokedInTheMidstOfItsWork) {
  start(with_baton());
  bind_hosts(3);
  nf(of(1)).on_burst = [&](Burst&) {
    order_ += '1';
    nf(of(1)).on_burst = [&](Burst&) { order_ += '1'; };
    for (uint8_t host : {1, 2, 3}) arrive(host);
    wait(millis(3));
    const auto suspect = vswitch_->suspect(0);
    ASSERT_TRUE(suspect);
    ASSERT_TRUE(vswitch_->revoke_baton(*suspect, now_));
  };
  arrive(1);
  turn();
  run_nf(of(1));
  turn();
  EXPECT_EQ(queue().owner(), of(2));
  EXPECT_EQ(shared().handovers.load(), 0u);
  settle();
  EXPECT_EQ(order_, "1231");
  EXPECT_EQ(port(1).out.size(), 4u);
}

TEST_F(BatonTest, ItLetGoAtTheLastMoment) {
  start(with_baton());
  bind_hosts(2);
  for (uint8_t host : {1, 2}) arrive(host);
  wait(millis(3));
  const auto suspect = vswitch_->suspect(0);
  ASSERT_TRUE(suspect);
  run_nf(of(1));
  EXPECT_FALSE(vswitch_->revoke_baton(*suspect, now_));
  EXPECT_EQ(core().revocations, 0u);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
}

// In the midst of a burst. Others have the core meanwhile, what comes for it waits in its ring, and
// nobody blames it.
TEST_F(BatonTest, OneThatWaitsElsewhereIsAwayUntilItComesBack) {
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
TEST_F(BatonTest, AnOwnerThatIsAwayIsRelievedAndNotBlamed) {
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

TEST_F(BatonTest, RevokedBeforeItGoesAwayAndKilledWhileAway) {
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

// The slot of one who died in the private queue (the one that holders see is full) goes to a
// process of another core: when its predecessor's place in line has come, it joins that core's.
TEST_F(BatonTest, ASuccessorOnAnotherCore) {
  Config c = with_baton(KeyBy::five_tuple);
  c.nfs[0].pool.max = 1000;
  c.packets = 4096;
  c.nf_cores = {CoreId{1}, CoreId{2}};
  start(c);
  const auto slots = give(0, 600);
  for (uint16_t i = 0; i < 600; ++i) port(0).in.push_back(udp(1, 1000 + i));
  for (int i = 0; i < 40; ++i) turn();
  const SlotId last = slots[0];  // bound last
  die(last);
  next_slot_ = raw(last);
  give(0, 1, 1);
  next_slot_ = 600;
  for (int i = 0; i < 100; ++i) settle();
  EXPECT_EQ(core(1).queue.head().index(), 1u) << "one turn, on its own core";
  EXPECT_EQ(nf(last).packets, 1u);
  EXPECT_EQ(port(1).out.size(), 600u);
  EXPECT_TRUE(core(0).queue.parked());
  EXPECT_TRUE(core(1).queue.parked());
}

TEST_F(BatonTest, ALyingHeadIsAViolationAndMended) {
  start(with_baton());
  bind_hosts(2);
  arrive(1);
  arrive(2);
  turn();
  shared().head.store(0xdeadbeefdeadbeef);
  turn();
  EXPECT_EQ(vswitch_->violations(), 1u);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
}

// Every word that an NF can reach, at any time. Nothing is lost, and when it ends all go on.
TEST_F(BatonTest, ScribblesHarmNobodyForLong) {
  std::mt19937 random(7);
  start(with_baton());
  give(0, 8);
  uint32_t sent = 0;
  const auto judge = [&] {
    if (const auto suspect = vswitch_->suspect(0)) vswitch_->revoke_baton(*suspect, now_);
  };
  for (uint32_t i = 0; i < 4000; ++i) {
    const uint32_t any = random();
    switch (any % 16) {
      case 0:
        shared().head.store(uint64_t{any} << 32 | random());
        break;
      case 1:
        shared().head.fetch_add(1 + any / 16 % 3);
        break;
      case 2:
        shared().head.fetch_xor(uint64_t{1} << 32);
        break;
      case 3:
        shared().tail.store(random());
        break;
      case 4:
        shared().tail.fetch_add(any / 16 % 5);
        break;
      case 5:
        shared().entries[any / 16 % kReadyEntries].store(any / 4096 % 10);
        break;
      case 6:
        shared().entry(BatonHead{shared().head.load()}.index()).store(any / 4096 % 10);
        break;
      case 7:
        wake(SlotId{any / 16 % 8}).word.store(any / 4096 % 2);
        break;
      default:
        break;
    }
    if (any / 65536 % 2 != 0) {
      arrive(static_cast<uint8_t>(1 + random() % 8));
      ++sent;
    }
    turn(micros(20));
    if (any / 131072 % 4 != 0) run_nfs();
    judge();
  }
  for (uint32_t s = 0; s < 8; ++s) run_nf(SlotId{s});
  for (int i = 0; i < 1000; ++i) {
    turn(micros(100));
    run_nfs();
    judge();
  }
  EXPECT_GT(vswitch_->violations(), 0u);
  EXPECT_EQ(port(1).out.size() + drops(Drop::nf_ring_full), sent);
  for (uint8_t host = 1; host <= 8; ++host) arrive(host);
  const size_t before = port(1).out.size();
  settle();
  EXPECT_EQ(port(1).out.size(), before + 8) << "all is well again";
  expect_balance();
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
