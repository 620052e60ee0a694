// `downstream: shared` where it differs from a ring for each NF: whose an entry is, and death.
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class SharedDownstreamTest : public VSwitchTest {
 protected:
  // Two NFs that hold packets 0 .. 2 of their flow each, read and not returned; what they do from
  // here on the test does. `idle` others wait.
  void begin(uint32_t idle = 2) {
    constexpr uint32_t count = 3;
    Config c = two_ports({"x"});
    c.downstream = Downstream::shared;
    start(c);
    give(0, 2 + idle);
    for (uint8_t host = 1; host <= 2; ++host)
      for (uint32_t i = 0; i < count; ++i) port(0).in.push_back(udp(host, 1000, i));
    turn();
    for (SlotId s : bound(0)) {
      const bool is_first =
          vswitch_->key_of(vswitch_->instances()[index(s)].binding).bytes[15] == 1;
      (is_first ? one_ : two_) = s;
      slot(s).from_nf.in_consumed.store(count);
      loops_[index(s)].reset();
    }
  }
  Descriptor packet(SlotId s, uint32_t i) {
    return slot(s).in_entries()[i].with(FromNf::next, 0, kHeadroomBytes, 64);
  }
  SharedRingProducer in(SlotId s) { return {control_.shared_ring(), s}; }
  void die(SlotId s) {
    const DeathReport report{s, false};
    vswitch_->on_deaths({&report, 1}, now_);
  }
  std::vector<uint32_t> sent() {
    std::vector<uint32_t> numbers;
    for (const Frame& f : port(1).out) numbers.push_back(number_of(f));
    return numbers;
  }

  SlotId one_{}, two_{};
};

TEST_F(SharedDownstreamTest, OneRingServesThemAllInTheOrderOfEach) {
  begin();
  SharedRingProducer a = in(one_), b = in(two_);
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(a.push(packet(one_, i)));
    ASSERT_TRUE(b.push(packet(two_, i)));
  }
  a.publish();
  b.publish();
  turn();
  EXPECT_EQ(sent(), (std::vector<uint32_t>{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(vswitch_->instances()[index(one_)].held, 0u);
  EXPECT_EQ(vswitch_->instances()[index(two_)].held, 0u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, WhatADeadNfGaveBackIsTakenTheRestIsLost) {
  begin();
  SharedRingProducer a = in(one_);
  ASSERT_TRUE(a.push(packet(one_, 0)));
  ASSERT_TRUE(a.push(packet(one_, 1)));  // killed here, before it raised the hint
  die(one_);
  turn();
  EXPECT_EQ(sent(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(drops(Drop::nf_died), 1u);
  expect_balance();
}

// Far more lies in the ring than a turn takes, the dead NF's last entry behind all of it.
TEST_F(SharedDownstreamTest, ADeathDrainsTheRingWhateverLiesInIt) {
  begin();
  SharedRingProducer a = in(one_), b = in(two_);
  const Descriptor ask =
      Descriptor::make(BufferId{0}, 0, 0, 0, static_cast<uint8_t>(FromNf::ask_blanks), 1);
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(b.push(ask));
  ASSERT_TRUE(a.push(packet(one_, 0)));
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(b.push(ask));
  ASSERT_TRUE(a.push(packet(one_, 1)));
  die(one_);
  turn();
  EXPECT_EQ(sent(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(vswitch_->violations(), 0u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, ASuccessorInTheSlotIsNotBlamedForItsPredecessor) {
  begin(0);
  SharedRingProducer a = in(one_);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(a.push(packet(one_, i)));
  die(one_);
  next_slot_ = raw(one_);
  ASSERT_EQ(give(0, 1)[0], one_);  // the same slot, another process
  for (uint32_t i = 3; i < 10; ++i) port(0).in.push_back(udp(1, 1000, i));
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(in(two_).push(packet(two_, i)));
  settle();
  EXPECT_EQ(vswitch_->violations(), 0u);
  EXPECT_EQ(vswitch_->strays(), 0u);
  EXPECT_EQ(port(1).out.size(), 13u);
  EXPECT_EQ(drops(Drop::nf_died), 0u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, ABindingThatDrainsIsFinishedByTheDeathOfAnother) {
  Config c = two_ports({"x"});
  c.downstream = Downstream::shared;
  c.flows[0].idle = millis(10);
  start(c);
  give(0, 2);
  port(0).in.push_back(udp(1));
  port(0).in.push_back(udp(2));
  turn();
  const std::vector<SlotId> slots = bound(0);
  ASSERT_EQ(slots.size(), 2u);
  for (int i = 0; i < 50; ++i) turn(millis(1));  // both flows expire with their packets inside
  run_nf(slots[1]);
  loops_[index(slots[0])].reset();
  die(slots[0]);  // so the other's packet is taken, the other free, and in the dead one's place
  EXPECT_EQ(vswitch_->nfs()[0].binds, 3u);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
  EXPECT_EQ(vswitch_->live_bindings(), 0u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, AnEntryOfNobodyIsCountedAndIgnored) {
  begin();
  const uint32_t slots = control_.header().slot_count;
  const SlotId nobodies[] = {SlotId{slots}, SlotId{kSlotCountMax - 1}, SlotId{slots - 1}};
  for (SlotId nobody : nobodies) ASSERT_TRUE(in(nobody).push(packet(one_, 0)));
  turn();
  EXPECT_EQ(vswitch_->strays(), 3u);
  EXPECT_EQ(vswitch_->violations(), 0u);
  EXPECT_EQ(vswitch_->instances()[slots - 1].state, InstanceState::free);
  EXPECT_TRUE(port(1).out.empty());
  // All of a turn's and more: the death of another still finds what lies behind them.
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(in(nobodies[0]).push(packet(two_, 0)));
  ASSERT_TRUE(in(one_).push(packet(one_, 0)));
  die(one_);
  turn();
  EXPECT_EQ(vswitch_->strays(), 603u);
  EXPECT_EQ(port(1).out.size(), 1u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, AFullRingOfNonsenseIsTakenAndTheOthersGoOn) {
  begin();
  SharedRingProducer bad = in(one_);
  const Descriptor nonsense = Descriptor::make(BufferId{0x3fffff}, 0, 128, 64, 0, 0);
  uint64_t count = 0;
  while (bad.push(nonsense)) ++count;
  EXPECT_EQ(count, control_.header().shared_entries);
  EXPECT_FALSE(in(two_).push(packet(two_, 0))) << "waits";
  turn();
  EXPECT_EQ(vswitch_->violations(), 1u);  // condemned by the first; the others are ignored
  for (uint64_t i = 0; i < count / 256 + 1; ++i) turn();
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(in(two_).push(packet(two_, i)));
  die(one_);
  settle();
  EXPECT_EQ(sent(), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(drops(Drop::nf_died), 3u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, TheWholeRingScribbledOverCostsPacketsAndNoMore) {
  begin();
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(in(two_).push(packet(two_, i)));
  const SharedRing ring = control_.shared_ring();
  std::memset(static_cast<void*>(ring.entries), 0x5a, ring.size() * sizeof(SharedEntry));
  ring.tail->store(0x5a5a5a5a5a5a5a5a);
  for (uint64_t i = 0; i < ring.size() / 256 + 4096; ++i) turn();
  EXPECT_GT(vswitch_->strays(), ring.size());
  EXPECT_EQ(vswitch_->violations(), 0u);
  port(0).in.push_back(udp(3, 1000, 77));
  settle();
  EXPECT_EQ(sent(), std::vector<uint32_t>{77});
  die(two_);  // what it had given back and was scribbled over is lost with it
  settle();
  EXPECT_EQ(drops(Drop::nf_died), 3u);
  expect_balance();
}

TEST_F(SharedDownstreamTest, BlanksAreAskedForAndBroughtForLong) {
  Config c = two_ports({"x"});
  c.downstream = Downstream::shared;
  c.nfs[0].blank_buffers = 2;
  start(c);
  const SlotId s = give(0, 1)[0];
  nf(s).on_burst = [](Burst& burst) {
    for (Packet& p : burst) p.drop();
    burst.originate(60);
  };
  for (uint32_t i = 0; i < 500; ++i) {
    port(0).in.push_back(udp(1, 1000, i));
    settle();
  }
  EXPECT_EQ(vswitch_->ledger().originated, 500u);
  EXPECT_EQ(vswitch_->violations(), 0u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
