// Dispatch `baton`, orders by deadline and by weight, on the moved clock. NFs work for as long as a
// test says; the vSwitch has its turns meanwhile, as it has on a core of its own.
#include <random>

#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class BatonOrderTest : public VSwitchTest {
 protected:
  static constexpr Nanos kTurn = micros(10);

  Config with_order(BatonOrder order) {
    Config c = two_ports({"x", "y"});
    c.dispatch = Dispatch::baton;
    c.baton.order = order;
    c.baton.budget = 4;
    c.packets = 4096;
    // Hosts up to 31 meet x, the others y.
    c.chains[0].nfs = {NfId{0}};
    c.chains.push_back({.name = "other", .nfs = {NfId{1}}, .wake = {}});
    c.flows.insert(c.flows.begin(), c.flows[0]);
    c.flows[1].chain = ChainId{1};
    Prefix low;
    const auto first = key_of_address({10, 0, 0, 0});
    std::copy(first.begin(), first.end(), low.address);
    low.bits = 96 + 27;
    c.flows[0].match.src_ip = low;
    return c;
  }
  static std::array<uint8_t, 16> key_of_address(std::array<uint8_t, 4> ip) {
    return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ip[0], ip[1], ip[2], ip[3]};
  }
  // The NF of `host` is there, and works `per_packet` for each.
  void bind(uint8_t host, Nanos per_packet = kTurn, bool reports = true) {
    const SlotId slot = give(host < 32 ? 0 : 1, 1)[0];
    port(0).in.push_back(udp(host));
    settle();
    slots_[host] = slot;
    nf(slot).on_burst = [=, this](Burst& burst) {
      for (Packet& packet : burst) {
        note_delay(host, packet);
        work(per_packet);
      }
      const auto cycles = static_cast<uint64_t>(per_packet.n) * burst.size();
      if (reports) this->slot(slot).from_nf.held_cycles.fetch_add(cycles);
    };
    nf(slot).packets = 0;
  }
  void work(Nanos time) {
    for (int64_t t = 0; t < time.n; t += kTurn.n) {
      if (now_ < vswitch_back_) {
        now_ = now_ + Cycles{static_cast<uint64_t>(kTurn.n)};
        continue;
      }
      for (uint8_t host : always_) arrive(host);
      if (on_turn_) on_turn_();
      turn(kTurn);
    }
  }
  void arrive(uint8_t host) {
    port(0).in.push_back(udp(host, 1000, static_cast<uint32_t>(now_.n / 1000)));
  }
  void note_delay(uint8_t host, const Packet& packet) {
    uint32_t sent_us;
    std::memcpy(&sent_us, packet.data() + packet.size() - 4, 4);
    delay_us_[host] += static_cast<uint32_t>(now_.n / 1000) - sent_us;
  }
  void run_for(Nanos time) {
    const Cycles end = now_ + Cycles{static_cast<uint64_t>(time.n)};
    while (now_ < end) {
      work(kTurn);
      run_nfs();
    }
    always_.clear();
    on_turn_ = nullptr;
  }
  double packets(uint8_t host) { return static_cast<double>(nf(slots_[host]).packets); }

  std::array<SlotId, 64> slots_{};
  std::array<uint64_t, 64> delay_us_{};
  std::vector<uint8_t> always_;  // packets for these hosts come with every turn
  std::function<void()> on_turn_;
  Cycles vswitch_back_{0};  // until then it has no turns
};

TEST_F(BatonOrderTest, ByDeadlineTheShortOnesGoFirst) {
  Config c = with_order(BatonOrder::deadline);
  c.chains[0].wake = WakeConfig{.batch = 1, .aging = millis(5)};
  c.chains[1].wake = WakeConfig{.batch = 1, .aging = micros(50)};
  start(c);
  std::string order;
  for (uint8_t host = 1; host <= 20; ++host) bind(host);
  for (uint8_t host = 41; host <= 50; ++host) bind(host);
  for (const auto& loop : {1, 41})
    for (uint8_t h = static_cast<uint8_t>(loop); h < loop + (loop == 1 ? 20 : 10); ++h)
      nf(slots_[h]).on_burst = [&order, h](Burst&) { order += h < 32 ? 'l' : 's'; };
  for (uint8_t host = 1; host <= 20; ++host) arrive(host);
  for (uint8_t host = 41; host <= 50; ++host) arrive(host);
  settle();
  EXPECT_EQ(order, std::string(10, 's') + std::string(20, 'l'));
}

TEST_F(BatonOrderTest, ByDeadlineTheShortOnesWaitLess) {
  Config c = with_order(BatonOrder::deadline);
  c.chains[0].wake = WakeConfig{.batch = 1, .aging = millis(5)};
  c.chains[1].wake = WakeConfig{.batch = 1, .aging = micros(50)};
  start(c);
  for (uint8_t host = 1; host <= 10; ++host) bind(host, micros(100));
  for (uint8_t host = 41; host <= 50; ++host) bind(host, micros(100));
  delay_us_ = {};
  std::mt19937 random(5);
  on_turn_ = [&] {  // the core is busy for nine tenths of the time
    if (random() % 100 < 9)
      arrive(static_cast<uint8_t>((random() % 2 == 0 ? 1 : 41) + random() % 10));
  };
  run_for(millis(400));
  settle();
  double short_us = 0, long_us = 0, short_count = 0, long_count = 0;
  for (uint8_t host = 1; host <= 10; ++host)
    long_us += static_cast<double>(delay_us_[host]), long_count += packets(host);
  for (uint8_t host = 41; host <= 50; ++host)
    short_us += static_cast<double>(delay_us_[host]), short_count += packets(host);
  EXPECT_LT(short_us / short_count, 0.5 * long_us / long_count);
}

TEST_F(BatonOrderTest, ByDeadlineNobodyStarves) {
  Config c = with_order(BatonOrder::deadline);
  c.chains[0].wake = WakeConfig{.batch = 1, .aging = millis(5)};
  c.chains[1].wake = WakeConfig{.batch = 1, .aging = micros(50)};
  start(c);
  bind(1);
  for (uint8_t host = 41; host <= 50; ++host) bind(host);
  delay_us_ = {};
  for (uint8_t host = 41; host <= 50; ++host) always_.push_back(host);  // ten times too much
  arrive(1);
  run_for(millis(20));
  EXPECT_EQ(packets(1), 1);
  EXPECT_GT(delay_us_[1], 4000u);
  EXPECT_LT(delay_us_[1], 8000u) << "a turn of each other after its deadline";
}

TEST_F(BatonOrderTest, ByDeadlineWithoutAgeingTheyComeInTurn) {
  Config c = with_order(BatonOrder::deadline);
  c.wake.aging = kNever;
  start(c);
  for (uint8_t host : {1, 2, 3}) bind(host);
  always_ = {1, 2, 3};
  run_for(millis(30));
  EXPECT_NEAR(packets(1), packets(2), 8);
  EXPECT_NEAR(packets(2), packets(3), 8);
}

TEST_F(BatonOrderTest, ByWeightTheCoreIsShared) {
  start(with_order(BatonOrder::weighted));
  bind(1);
  bind(2);
  vswitch_->set_weight(slots_[2], 300);
  always_ = {1, 2};
  run_for(millis(400));
  EXPECT_NEAR(packets(2) / packets(1), 3, 0.3);
  EXPECT_GT(packets(1) + packets(2), 36'000) << "of 40,000 that the core could do";
}

TEST_F(BatonOrderTest, FourTimesTheCostAQuarterOfThePackets) {
  start(with_order(BatonOrder::weighted));
  bind(1, micros(10));
  bind(2, micros(40));
  always_ = {1, 2};
  run_for(millis(400));
  EXPECT_NEAR(packets(1) / packets(2), 4, 0.4);
}

TEST_F(BatonOrderTest, WhatNobodySaysIsSeen) {
  start(with_order(BatonOrder::weighted));
  bind(1, micros(10), false);
  bind(2, micros(40), false);
  bind(3, micros(10), true);
  vswitch_->set_weight(slots_[3], 200);
  always_ = {1, 2, 3};
  run_for(millis(2000));
  EXPECT_NEAR(packets(1) / packets(2), 4, 1);
  EXPECT_NEAR(packets(3) / packets(1), 2, 0.5);
}

// Whoever has the core meanwhile goes on alone, and others are owed for it.
TEST_F(BatonOrderTest, SharesHoldIfTheVSwitchIsInterrupted) {
  std::mt19937 random(11);
  start(with_order(BatonOrder::weighted));
  bind(1);
  bind(2);
  vswitch_->set_weight(slots_[2], 300);
  always_ = {1, 2};
  on_turn_ = [&] {
    if (random() % 500 == 0) vswitch_back_ = now_ + Cycles{random() % 3'000'000};
  };
  run_for(millis(3000));
  EXPECT_NEAR(packets(2) / packets(1), 3, 0.3);
}

TEST_F(BatonOrderTest, ManyOfDifferentWeights) {
  start(with_order(BatonOrder::weighted));
  for (uint8_t host = 1; host <= 20; ++host) {
    bind(host);
    vswitch_->set_weight(slots_[host], host % 2 == 0 ? 200 : 100);
    always_.push_back(host);
  }
  run_for(millis(800));
  for (uint8_t host = 1; host < 20; host += 2)
    EXPECT_NEAR(packets(host + 1) / packets(host), 2, 0.3) << int{host};
}

TEST_F(BatonOrderTest, TheLightestIsServedToo) {
  start(with_order(BatonOrder::weighted));
  bind(1);
  bind(2);
  vswitch_->set_weight(slots_[1], 1);
  vswitch_->set_weight(slots_[2], 1000);
  always_ = {1, 2};
  run_for(millis(400));
  EXPECT_GT(packets(1), 4);
  EXPECT_LT(packets(1), 200);
}

TEST_F(BatonOrderTest, WeightsOfNfAndTenantMultiply) {
  Config c = with_order(BatonOrder::weighted);
  c.chains[1].wake = WakeConfig{.batch = 1, .weight = 50};
  start(c);
  std::vector<VSwitch::TenantChange> changes;
  for (const uint8_t host : {1, 41}) {
    InstanceKey key;
    key.kind = KeyKind::address;
    const auto address = key_of_address({10, 0, 0, host});
    std::copy(address.begin(), address.end(), key.bytes);
    VSwitch::TenantChange change{TenantId{host}, true, {}, {}, false};
    change.new_key = key;
    change.weight = host == 1 ? 100 : 600;
    changes.push_back(change);
  }
  size_t done = 0;
  while (done < changes.size()) vswitch_->change_tenants(changes, done, now_);
  bind(1);
  bind(41);  // 50 * 600 / 100
  always_ = {1, 41};
  run_for(millis(400));
  EXPECT_NEAR(packets(41) / packets(1), 3, 0.3);
  // Changed while it runs.
  changes = {{TenantId{41}, true, {}, {}, false}};
  changes[0].weight = 200;
  done = 0;
  while (done < changes.size()) vswitch_->change_tenants(changes, done, now_);
  nf(slots_[1]).packets = nf(slots_[41]).packets = 0;
  always_ = {1, 41};
  run_for(millis(400));
  EXPECT_NEAR(packets(41) / packets(1), 1, 0.1);
}

// One who has more to do and does not get on with it is not waited for, whatever its weight.
TEST_F(BatonOrderTest, AHungOwnerIsSuspectedInEveryOrder) {
  for (const BatonOrder order : {BatonOrder::fifo, BatonOrder::deadline, BatonOrder::weighted}) {
    SCOPED_TRACE(static_cast<int>(order));
    if (!ports_.empty()) {
      TearDown();
      ports_.clear();
      wires_.clear();
      next_slot_ = 0;
    }
    start(with_order(order));
    bind(1);
    bind(2);
    vswitch_->set_weight(slots_[1], 0.01);
    vswitch_->set_weight(slots_[2], 1e6);
    arrive(1);
    settle();
    for (int i = 0; i < 10; ++i) arrive(2);
    turn();
    ASSERT_EQ(vswitch_->core(0).queue.owner(), slots_[2]);
    arrive(1);
    for (int i = 0; i < 500; ++i) turn(kTurn);
    const auto suspect = vswitch_->suspect(0);
    ASSERT_TRUE(suspect);
    EXPECT_EQ(suspect->owner, slots_[2]);
    ASSERT_TRUE(vswitch_->revoke_baton(*suspect, now_));
    EXPECT_EQ(vswitch_->core(0).queue.owner(), slots_[1]);
    settle(kTurn);
    expect_balance();
  }
}

// Random traffic, deaths, every order: nothing is lost, late or left behind.
TEST_F(BatonOrderTest, NothingIsLateInAnyOrder) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    if (seed != 1) {
      TearDown();
      ports_.clear();
      wires_.clear();
      next_slot_ = 0;
    }
    Config c = with_order(static_cast<BatonOrder>(seed % 3));
    c.wake.aging = kNever;
    c.baton.budget = 1 + seed % 5;
    start(c);
    give(0, 16);
    give(1, 16);
    const auto any_host = [&] {
      return static_cast<uint8_t>((random() % 2 == 0 ? 1 : 41) + random() % 8);
    };
    for (uint32_t s = 0; s < 32; ++s)
      nf(SlotId{s}).on_burst = [&](Burst&) {
        if (random() % 4 != 0) return;
        arrive(any_host());
        turn();
      };
    for (uint32_t i = 0; i < 2000; ++i) {
      if (random() % 2 != 0) arrive(any_host());
      turn();
      const SlotId one{static_cast<uint32_t>(random() % 32)};
      if (random() % 3 != 0 && wake(one).word.load() == kAwake) run_nf(one);
    }
    for (uint32_t s = 0; s < 32; ++s) nf(SlotId{s}).on_burst = nullptr;
    for (int i = 0; i < 20; ++i) settle();
    EXPECT_EQ(static_cast<int64_t>(port(1).out.size() + drops(Drop::nf_ring_full)),
              vswitch_->ledger().rx);
    EXPECT_EQ(vswitch_->ledger().held(), 0);
    pass(seconds(3));
    EXPECT_EQ(vswitch_->wakes().late, 0u);
    EXPECT_TRUE(vswitch_->core(0).queue.parked());
  }
}

}  // namespace
}  // namespace mayfly
