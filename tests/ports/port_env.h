// One DPDK environment per test process (no huge pages, no shared configuration, so that it runs
// anywhere and many at once), and a small vSwitch stand-in: an arena, a ledger, a clock.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/ports/port.h"

namespace mayfly {

using Frame = std::vector<uint8_t>;

// An IPv4 UDP frame of `bytes` whose payload follows from `seed`.
Frame udp_frame(uint32_t bytes, uint32_t seed);
// The same with tags (TPID, TCI) in front of its EtherType.
Frame tagged(const Frame& frame, std::vector<std::pair<uint16_t, uint16_t>> tags);

class PortTest : public testing::Test {
 protected:
  static constexpr uint32_t kPackets = 2048;
  static constexpr uint32_t kJumboPackets = 16;
  static constexpr uint64_t kHz = 1'000'000'000;  // a cycle is a nanosecond

  void SetUp() override;
  void TearDown() override;

  std::unique_ptr<Port> open(const PortConfig& config);
  std::unique_ptr<Port> open(const std::string& dev);
  std::string error_of(const std::string& dev);

  // Receives up to `n` packets; they stay held until sent or freed.
  std::vector<BufferId> receive(Port& port, uint32_t n);
  Frame frame(BufferId b);
  BufferId make(const Frame& frame);  // counted as originated
  void send(Port& port, const Frame& frame);
  void flush(Port& port) { port.flush(now_, ledger_, latency_); }
  void free(const std::vector<BufferId>& buffers, Drop reason = Drop::nf_drop);
  uint64_t drops(Drop reason) const { return ledger_.drops[static_cast<size_t>(reason)]; }
  // Polls until `done` or the deadline: for devices with a kernel or another process behind them.
  static bool within(std::chrono::milliseconds limit, const std::function<bool()>& done);
  // rx + originated = tx + drops + held, counted both ways.
  void expect_balance();

  std::unique_ptr<Arena> arena_;
  Ledger ledger_;
  Histogram latency_;
  Cycles now_{1'000'000};
};

}  // namespace mayfly
