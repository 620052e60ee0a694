// Dispatch `baton` on the moved clock: what becomes of it when somebody dies, keeps it or lies.
#include <random>

#include "tests/vswitch/baton_env.h"

namespace mayfly {
namespace {

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

}  // namespace
}  // namespace mayfly
