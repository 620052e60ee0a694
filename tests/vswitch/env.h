// A vSwitch on a clock that the test moves, with NFs that the test runs by hand: the shipped
// NfLoop over the shipped regions, in the test's own process. Ports are queues in memory.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "nfpool/nf_loop.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

using Frame = std::vector<uint8_t>;

// How NFs give packets back: every test runs with each (downstream_*.cc).
extern const Downstream kDownstream;

// What the test's NFs do; one object per slot, so that state can be looked at.
class TestNf : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    ++binds;
    tenant = binding.tenant;
    config.assign(reinterpret_cast<const char*>(binding.config.data()), binding.config.size());
  }
  void process(Burst& burst) override {
    packets += burst.size();
    if (on_burst) on_burst(burst);
  }
  void tick(uint64_t) override { ++ticks; }
  void reset() override { ++resets; }

  std::function<void(Burst&)> on_burst;
  uint64_t packets = 0;
  int binds = 0, resets = 0, ticks = 0;
  uint32_t tenant = 0;
  std::string config;
};

// A port whose wire is the test.
class WirePort : public Port {
 public:
  WirePort(std::string name, PortId id, Arena& arena) : Port(std::move(name), id), arena_(arena) {}

  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override;
  void queue(BufferId b, Ledger& ledger) override;
  void flush(Cycles now, Ledger& ledger, Histogram& latency) override;
  void discard_queued(Ledger& ledger, Drop reason) override;
  uint32_t queued() const override { return static_cast<uint32_t>(tx_.size()); }
  PortCounters counters() const override { return {}; }
  uint32_t frame_bytes_max() const override { return 65535; }

  std::deque<Frame> in;
  std::vector<Frame> out;

 private:
  Arena& arena_;
  std::vector<BufferId> tx_;
};

// Counts; the sleeper is the test itself.
class CountingWaker : public Waker {
 public:
  void wake(SlotId slot, WakeEntry&) override { woken.push_back(slot); }
  absl::StatusOr<int> prepare(SlotId, WakeEntry&) override { return -1; }
  std::vector<SlotId> woken;
};

class VSwitchTest : public testing::Test {
 protected:
  static constexpr uint64_t kHz = 1'000'000'000;  // a cycle is a nanosecond
  static constexpr uint32_t kSlots = 64;          // processes the test gives to each NF at most

  // A configuration of ports "a" and "b", NFs of these names, one chain of them all, one rule per
  // port that sends a -> b and b -> a. Tests change it before start().
  Config two_ports(std::vector<std::string> nfs, KeyBy by = KeyBy::src_ip);
  void start(Config config);
  void TearDown() override;

  // `count` idle processes for NF number `nf`.
  std::vector<SlotId> give(uint32_t nf, uint32_t count);
  // One turn of the vSwitch, then the clock moves by `step`.
  void turn(Nanos step = micros(1));
  // Every NF process that is awake runs until it has nothing to do (under the baton: until it has
  // let go of it), then sleeps.
  void run_nfs();
  void run_nf(SlotId slot);
  // Turns and NFs until nothing moves any more.
  void settle(Nanos step = micros(1));
  void pass(Nanos time);  // the clock moves, in turns of 100 us or ten to the hour

  TestNf& nf(SlotId slot) { return *nfs_[index(slot)]; }
  std::vector<SlotId> bound(uint32_t nf);
  SlotId only_bound(uint32_t nf);
  WirePort& port(uint32_t i) { return *wires_[i]; }
  uint64_t drops(Drop reason) const {
    return vswitch_->ledger().drops[static_cast<size_t>(reason)];
  }
  void expect_balance();
  WakeEntry& wake(SlotId s) { return control_.wake(s); }
  Slot& slot(SlotId s) { return control_.slot(s); }
  // What an NF gives back, written by the test.
  void give_back(SlotId slot, const std::vector<Descriptor>& descriptors);

  Config config_;
  std::unique_ptr<Arena> arena_;
  std::vector<uint64_t> region_;
  std::vector<std::byte> bind_region_ = std::vector<std::byte>(1 << 16);
  ControlView control_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<WirePort*> wires_;
  CountingWaker waker_;
  int attention_fd_ = -1;
  std::unique_ptr<VSwitch> vswitch_;
  std::vector<std::unique_ptr<TestNf>> nfs_;
  std::vector<std::unique_ptr<NfLoop>> loops_;
  std::vector<std::unique_ptr<BatonSeat>> seats_;
  std::vector<NfImage> images_;
  uint32_t next_slot_ = 0;
  static Cycles now_;
};

// UDP over IPv4 from 10.0.0.`host` port `src_port`; `number` lies in the last four bytes.
Frame udp(uint8_t host, uint16_t src_port = 1000, uint32_t number = 0, uint16_t bytes = 64);
Frame tcp(uint8_t host, uint16_t src_port, uint8_t flags, bool reversed = false);
Frame vlan_udp(uint16_t vlan, uint32_t number = 0);
uint32_t number_of(const Frame& frame);

}  // namespace mayfly
