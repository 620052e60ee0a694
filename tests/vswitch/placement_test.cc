// Several NF cores: where instances are bound, and how they change cores.
#include <random>

#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class PlacementTest : public VSwitchTest {
 protected:
  void start_two_cores(Dispatch dispatch = Dispatch::baton) {
    Config c = two_ports({"x"});
    c.dispatch = dispatch;
    c.wake.aging = kNever;
    c.nf_cores = {CoreId{1}, CoreId{2}};
    start(c);
  }
  void arrive(uint8_t host, uint32_t number = 0) { port(0).in.push_back(udp(host, 1000, number)); }
  const BatonQueue& queue(uint32_t core) { return vswitch_->core(core).queue; }
  // As holders tell it: they have had work, or have had none, ever since.
  void let_work(uint32_t core) { control_.core(core).idle_since.store(0); }
  void let_idle(uint32_t core) { control_.core(core).idle_since.store(1); }
  std::vector<uint32_t> numbers() {
    std::vector<uint32_t> all;
    for (const Frame& f : port(1).out) all.push_back(number_of(f));
    return all;
  }
};

TEST_F(PlacementTest, EqualCoresGetInstancesInTurn) {
  start_two_cores();
  give(0, 8, 0);
  give(0, 8, 1);
  for (uint8_t host = 1; host <= 10; ++host) arrive(host);
  settle();
  EXPECT_EQ(vswitch_->bound_on(0), 5u);
  EXPECT_EQ(vswitch_->bound_on(1), 5u);
}

TEST_F(PlacementTest, InEveryDispatch) {
  start_two_cores(Dispatch::futex);
  give(0, 8, 0);
  give(0, 8, 1);
  for (uint8_t host = 1; host <= 10; ++host) arrive(host);
  settle();
  EXPECT_EQ(vswitch_->bound_on(0), 5u);
  EXPECT_EQ(vswitch_->bound_on(1), 5u);
}

TEST_F(PlacementTest, ABusyCoreGetsNone) {
  start_two_cores();
  give(0, 8, 0);
  give(0, 8, 1);
  let_work(0);
  pass(millis(200));
  EXPECT_GT(vswitch_->core(0).load, 0.9f);
  EXPECT_LT(vswitch_->core(1).load, 0.1f);
  for (uint8_t host = 1; host <= 6; ++host) arrive(host);
  turn();
  EXPECT_EQ(vswitch_->bound_on(0), 0u);
  EXPECT_EQ(vswitch_->bound_on(1), 6u);
}

TEST_F(PlacementTest, UnlessItAloneHasInstances) {
  start_two_cores();
  give(0, 4, 0);
  let_work(0);
  pass(millis(200));
  arrive(1);
  settle();
  EXPECT_EQ(vswitch_->bound_on(0), 1u);
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(PlacementTest, ALongQueueIsALoad) {
  start_two_cores();
  give(0, 40, 0);
  let_work(1);
  for (int round = 0; round < 20; ++round) {
    for (uint8_t host = 1; host <= 30; ++host) arrive(host);
    for (int i = 0; i < 20; ++i) turn(millis(1));  // nobody comes to his turn
    run_nfs();
  }
  turn();
  EXPECT_GT(vswitch_->core(0).load, vswitch_->core(1).load + 0.25f);
}

TEST_F(PlacementTest, AMovedInstanceGoesOnInOrder) {
  start_two_cores();
  const SlotId slot = give(0, 1, 0)[0];
  uint32_t sent = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 5; ++i) arrive(1, sent++);
    settle();
    vswitch_->move(slot, round % 2 == 0 ? 1 : 0);
    EXPECT_EQ(wake(slot).core.load(), round % 2) << "not before it is ready again";
  }
  const auto seen = numbers();
  ASSERT_EQ(seen.size(), sent);
  for (uint32_t i = 0; i < sent; ++i) EXPECT_EQ(seen[i], i);
  EXPECT_EQ(vswitch_->core(1).arrivals, 5u);
  EXPECT_EQ(vswitch_->core(0).arrivals, 4u);
  EXPECT_EQ(vswitch_->bound_on(1), 1u);
  EXPECT_EQ(vswitch_->bound_on(0), 0u);
  expect_balance();
}

TEST_F(PlacementTest, NotWhileItHasTheBaton) {
  start_two_cores();
  const SlotId slot = give(0, 1, 0)[0];
  arrive(1, 0);
  turn();
  ASSERT_EQ(queue(0).owner(), slot);
  vswitch_->move(slot, 1);
  arrive(1, 1);
  turn();
  EXPECT_EQ(queue(0).owner(), slot);
  EXPECT_EQ(wake(slot).core.load(), 0u);
  EXPECT_TRUE(queue(1).parked());
  settle();
  arrive(1, 2);
  turn();
  EXPECT_EQ(queue(1).owner(), slot);
  EXPECT_TRUE(queue(0).parked());
  settle();
  EXPECT_EQ(numbers(), (std::vector<uint32_t>{0, 1, 2}));
}

TEST_F(PlacementTest, NorWhileItWaitsForIt) {
  start_two_cores();
  const auto slots = give(0, 2, 0);
  arrive(1);
  arrive(2);
  turn();
  ASSERT_EQ(queue(0).waiting(), 1u);
  const SlotId waits = queue(0).owner() == slots[0] ? slots[1] : slots[0];
  vswitch_->move(waits, 1);
  turn();
  EXPECT_EQ(queue(0).waiting(), 1u);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
  EXPECT_EQ(wake(waits).core.load(), 0u);
}

TEST_F(PlacementTest, TheDeadDoNotMove) {
  start_two_cores();
  const SlotId slot = give(0, 1, 0)[0];
  arrive(1, 0);
  settle();
  vswitch_->move(slot, 1);
  loops_[index(slot)].reset();
  const DeathReport report{slot, false};
  vswitch_->on_deaths({&report, 1}, now_);
  next_slot_ = raw(slot);
  give(0, 1, 0);  // another process in its place
  arrive(1, 1);
  settle();
  EXPECT_EQ(wake(slot).core.load(), 0u);
  EXPECT_EQ(vswitch_->core(1).arrivals, 0u);
  EXPECT_EQ(numbers(), (std::vector<uint32_t>{0, 1}));
}

TEST_F(PlacementTest, WhoIsAtWork) {
  start_two_cores();
  const auto slots = give(0, 4, 0);
  for (uint8_t host = 1; host <= 3; ++host) arrive(host);
  settle();
  SlotId active[64];
  EXPECT_EQ(vswitch_->active_on(0, active), 3u);
  EXPECT_EQ(vswitch_->active_on(1, active), 0u);
  EXPECT_EQ(vswitch_->active_on(0, {active, 2}), 2u);
  vswitch_->move(active[0], 1);
  EXPECT_EQ(vswitch_->active_on(0, active), 2u) << "it is about to leave";
}

// One seed is one run.
TEST_F(PlacementTest, AnythingInAnyOrder) {
  start_two_cores();
  give(0, 6, 0);
  give(0, 6, 1);
  std::mt19937 random(7);
  std::array<uint32_t, 13> sent{};
  for (int step = 0; step < 20'000; ++step) {
    const uint32_t any = random();
    const auto host = static_cast<uint8_t>(1 + any % 12);
    switch (any >> 16 & 3) {
      case 0: arrive(host, uint32_t{host} << 24 | sent[host]++); break;
      case 1: turn(); break;
      case 2: vswitch_->move(SlotId{(any >> 20) % 12}, any >> 30 & 1); break;
      case 3:
        if (wake(SlotId{(any >> 20) % 12}).word.load() == kAwake) run_nf(SlotId{(any >> 20) % 12});
        break;
    }
  }
  for (int i = 0; i < 10; ++i) settle();
  std::array<uint32_t, 13> seen{};
  for (const uint32_t n : numbers()) EXPECT_EQ(n & 0xffffff, seen[n >> 24]++);
  EXPECT_EQ(seen, sent);
  EXPECT_GT(vswitch_->core(0).arrivals, 100u);
  EXPECT_EQ(vswitch_->violations(), 0u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
