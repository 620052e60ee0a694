#include "runtime/ports/gen_port.h"

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "tests/ports/port_env.h"

namespace mayfly {
namespace {

uint32_t be16(const uint8_t* p) { return static_cast<uint32_t>(p[0] << 8 | p[1]); }
uint32_t be32(const uint8_t* p) { return be16(p) << 16 | be16(p + 2); }

bool ip_checksum_valid(const uint8_t* ip) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += be16(ip + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

class GenTest : public PortTest {
 protected:
  std::unique_ptr<Port> gen(GenConfig g) {
    PortConfig config;
    config.name = "load";
    config.gen = g;
    return open(config);
  }
  std::string gen_error(GenConfig g) {
    PortConfig config;
    config.name = "load";
    config.gen = g;
    const auto port = open_port(config, PortId{0}, *arena_, kHz);
    EXPECT_FALSE(port.ok());
    return std::string(port.status().message());
  }
  // Receives all that is due at `now_` and frees it; how many there were.
  uint64_t drain(Port& port) {
    uint64_t total = 0;
    while (true) {
      const auto got = receive(port, 32);
      if (got.empty()) return total;
      total += got.size();
      free(got);
    }
  }
};

TEST_F(GenTest, ConstantRateIsExactlyTheSchedule) {
  auto port = gen({.flows = 10, .rate_pps = 1e6});  // a packet every 1,000 cycles
  EXPECT_EQ(receive(*port, 32).size(), 0u);
  const uint64_t start = now_.n;
  for (int i = 1; i <= 100; ++i) {
    now_ = {start + static_cast<uint64_t>(i) * 1000 - 1};
    EXPECT_EQ(receive(*port, 32).size(), 0u);
    now_ = {start + static_cast<uint64_t>(i) * 1000};
    const auto got = receive(*port, 32);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(arena_->meta(got[0]).due_tsc, now_.n);
    free(got);
  }
  EXPECT_EQ(port->counters().late, 0u);
}

TEST_F(GenTest, ARateThatDividesNothingStillAveragesOut) {
  auto port = gen({.flows = 10, .rate_pps = 3e6});
  receive(*port, 1);
  uint64_t total = 0;
  for (int i = 0; i < 1000; ++i) {
    now_.n += 10'000;
    total += drain(*port);
  }
  EXPECT_NEAR(static_cast<double>(total), 30'000, 1);
}

TEST_F(GenTest, OpenLoopKeepsDueTimesWhenLate) {
  auto port = gen({.flows = 10, .rate_pps = 1e6});
  receive(*port, 1);
  const uint64_t start = now_.n;
  now_.n += 100'000;  // nobody polled for 100 packets
  uint64_t k = 0;
  for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
    for (const BufferId b : got) EXPECT_EQ(arena_->meta(b).due_tsc, start + 1000 * ++k);
    free(got);
  }
  EXPECT_EQ(k, 100u);
  // Later than due by more than a burst of 32: all but the last 32 gaps.
  EXPECT_EQ(port->counters().late, 100u - 33u);
}

TEST_F(GenTest, PoissonHasTheRateAndTheSpreadOfOne) {
  auto port = gen({.flows = 10, .rate_pps = 1e6, .arrival = Arrival::poisson, .seed = 5});
  receive(*port, 1);
  std::vector<double> gaps;
  uint64_t last = now_.n;
  for (int i = 0; i < 2000; ++i) {
    now_.n += 10'000;
    for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
      for (const BufferId b : got) {
        gaps.push_back(static_cast<double>(arena_->meta(b).due_tsc - last));
        last = arena_->meta(b).due_tsc;
      }
      free(got);
    }
  }
  double mean = 0, variance = 0;
  for (const double g : gaps) mean += g / static_cast<double>(gaps.size());
  for (const double g : gaps)
    variance += (g - mean) * (g - mean) / static_cast<double>(gaps.size());
  EXPECT_NEAR(mean, 1000, 30);
  EXPECT_NEAR(std::sqrt(variance) / mean, 1, 0.05);  // exponential: deviation = mean
}

TEST_F(GenTest, BurstsKeepTheMeanAndAreSilentInBetween) {
  // 1 Mpps on the mean: 10 packets every 10 us, in the first 2 us of it.
  auto port = gen({.flows = 10,
                   .rate_pps = 1e6,
                   .arrival = Arrival::bursts,
                   .on = micros(2),
                   .off = micros(8)});
  receive(*port, 1);
  const uint64_t start = now_.n;
  std::map<uint64_t, uint32_t> by_period;
  while (now_.n < start + 999'500) {
    now_.n += 500;
    for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
      for (const BufferId b : got) {
        const uint64_t since = arena_->meta(b).due_tsc - start;
        EXPECT_LE(arena_->meta(b).due_tsc, now_.n);
        ASSERT_LT(since % 10'000, 2'000u);
        ++by_period[since / 10'000];
      }
      free(got);
    }
  }
  EXPECT_EQ(by_period.size(), 100u);
  uint64_t total = 0;
  for (const auto& [period, n] : by_period) {
    EXPECT_NEAR(n, 10, 1) << period;
    total += n;
  }
  EXPECT_NEAR(static_cast<double>(total), 1'000, 2);
}

TEST_F(GenTest, BurstsSlowerThanTheirPeriodSkipSilentOnes) {
  // One packet in 100 us on the mean, 1 us on and 9 off: every tenth burst has one.
  auto port = gen({.flows = 10,
                   .rate_pps = 1e4,
                   .arrival = Arrival::bursts,
                   .on = micros(1),
                   .off = micros(9)});
  receive(*port, 1);
  const uint64_t start = now_.n;
  now_.n += 10'000'000;
  uint64_t n = 0;
  for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
    for (const BufferId b : got) {
      EXPECT_LT((arena_->meta(b).due_tsc - start) % 10'000, 1'000u);
      ++n;
    }
    free(got);
  }
  EXPECT_NEAR(static_cast<double>(n), 100, 1);
}

TEST_F(GenTest, BurstsAtFullRateAreSilentInBetween) {
  auto port = gen({.flows = 10,
                   .rate_pps = 0,
                   .arrival = Arrival::bursts,
                   .on = micros(2),
                   .off = micros(8)});
  const uint64_t start = now_.n;
  for (uint64_t at = 0; at < 100'000; at += 1'000) {
    now_ = {start + at};
    const auto got = receive(*port, 32);
    EXPECT_EQ(got.size(), at % 10'000 < 2'000 ? 32u : 0u) << at;
    free(got);
  }
  port->set_rate(1e6);  // a change of rate begins a burst
  receive(*port, 1);
  now_.n += 2'000;
  EXPECT_EQ(drain(*port), 9u);  // the tenth is due at the end, which is the next beginning
  now_.n += 7'999;
  EXPECT_EQ(drain(*port), 0u);
  now_.n += 1;
  EXPECT_EQ(drain(*port), 1u);
}

TEST_F(GenTest, ZipfIsTheGeneratorsOrder) {
  auto port = gen({.flows = 100, .rate_pps = 0, .order = FlowOrder::zipf, .zipf = 1});
  std::map<uint32_t, double> share;
  constexpr int kBursts = 4000;
  for (int i = 0; i < kBursts; ++i) {
    const auto got = receive(*port, 32);
    for (const BufferId b : got) share[be32(&frame(b)[26]) & 0xffffff] += 1.0 / (32 * kBursts);
    free(got);
  }
  double harmonic = 0;
  for (int k = 1; k <= 100; ++k) harmonic += 1.0 / k;
  EXPECT_EQ(share.size(), 100u);
  EXPECT_NEAR(share[0], 1 / harmonic, 0.01);
  EXPECT_NEAR(share[1], 1 / harmonic / 2, 0.01);
  EXPECT_NEAR(share[9], 1 / harmonic / 10, 0.005);
}

TEST_F(GenTest, TheSeedFixesEverything) {
  std::vector<Frame> first;
  std::vector<uint64_t> first_due;
  for (const uint64_t seed : {3u, 3u, 4u}) {
    now_ = {1'000'000};
    auto port = gen({.flows = 500,
                     .mix = SizeMix::imix,
                     .rate_pps = 1e6,
                     .arrival = Arrival::poisson,
                     .order = FlowOrder::uniform,
                     .seed = seed});
    receive(*port, 1);
    now_.n += 40'000;
    const auto got = receive(*port, 24);
    std::vector<Frame> frames;
    std::vector<uint64_t> due;
    for (const BufferId b : got) {
      frames.push_back(frame(b));
      frames.back().resize(60);
      due.push_back(arena_->meta(b).due_tsc);
    }
    free(got);
    if (first.empty()) {
      first = frames;
      first_due = due;
    } else {
      EXPECT_EQ(frames == first, seed == 3);
      EXPECT_EQ(due == first_due, seed == 3);
    }
  }
}

TEST_F(GenTest, MaxFillsEveryBurst) {
  auto port = gen({.flows = 10, .rate_pps = 0});
  for (int i = 0; i < 10; ++i) {
    const auto got = receive(*port, 32);
    EXPECT_EQ(got.size(), 32u);
    EXPECT_EQ(arena_->meta(got[0]).due_tsc, now_.n);
    free(got);
  }
  EXPECT_EQ(port->counters().late, 0u);
}

TEST_F(GenTest, FlowsFollowTheAddressPlan) {
  auto port = gen({.flows = 70'000, .rate_pps = 0});
  std::set<uint32_t> sources;
  for (uint32_t i = 0; i < 70'000;) {
    const auto got = receive(*port, 32);
    for (const BufferId b : got) {
      const Frame f = frame(b);
      const uint8_t* ip = &f[14];
      ASSERT_EQ(f.size(), 64u);
      ASSERT_EQ(be16(&f[12]), 0x0800u);
      ASSERT_EQ(ip[0], 0x45);
      ASSERT_EQ(be16(ip + 2), 50u);
      ASSERT_EQ(ip[9], 17);
      ASSERT_TRUE(ip_checksum_valid(ip));
      ASSERT_EQ(be32(ip + 12), (10u << 24 | i % 70'000));
      ASSERT_EQ(be32(&f[8]), be32(ip + 12));
      ASSERT_EQ(be32(ip + 16), 0xc0a80001u);
      ASSERT_EQ(be16(ip + 20), 1024 + i % 70'000 % 60'000);
      ASSERT_EQ(be16(ip + 22), 9u);
      ASSERT_EQ(be16(ip + 24), 30u);
      ASSERT_EQ(arena_->meta(b).port_in, 7);
      sources.insert(be32(ip + 12));
      ++i;
    }
    free(got);
  }
  EXPECT_EQ(sources.size(), 70'000u);
}

TEST_F(GenTest, PacketsOfAFlowAreNumbered) {
  for (const FlowOrder order : {FlowOrder::round_robin, FlowOrder::uniform}) {
    auto port = gen({.flows = 7, .rate_pps = 0, .order = order});
    std::map<uint32_t, uint32_t> next;
    for (int i = 0; i < 50; ++i) {
      const auto got = receive(*port, 32);
      for (const BufferId b : got) {
        const Frame f = frame(b);
        EXPECT_EQ(be32(&f[42]), next[be32(&f[26])]++);
        EXPECT_EQ(be32(&f[46]), be32(&f[26]) & 0xffffff);
      }
      free(got);
    }
    EXPECT_EQ(next.size(), 7u);
    for (const auto& [flow, n] : next) {
      EXPECT_NEAR(n, 1600 / 7, order == FlowOrder::round_robin ? 1 : 80);
    }
  }
}

TEST_F(GenTest, TaggedFlows) {
  auto port = gen({.flows = 5, .rate_pps = 0, .first_vlan = 100});
  const auto got = receive(*port, 10);
  for (uint32_t i = 0; i < 10; ++i) {
    const Frame f = frame(got[i]);
    EXPECT_EQ(f.size(), 64u);
    EXPECT_EQ(be16(&f[12]), 0x8100u);
    EXPECT_EQ(be16(&f[14]), 100 + i % 5);
    EXPECT_EQ(be16(&f[16]), 0x0800u);
    EXPECT_EQ(be16(&f[20]), 46u);
    EXPECT_TRUE(ip_checksum_valid(&f[18]));
  }
  free(got);
}

TEST_F(GenTest, SizeMixes) {
  std::map<SizeMix, std::map<uint32_t, uint32_t>> seen;
  for (const SizeMix mix : {SizeMix::imix, SizeMix::web}) {
    auto port = gen({.flows = 5, .mix = mix, .rate_pps = 0});
    for (int i = 0; i < 2000; ++i) {
      const auto got = receive(*port, 32);
      for (const BufferId b : got) {
        const Frame f = frame(b);
        ++seen[mix][static_cast<uint32_t>(f.size())];
        ASSERT_EQ(be16(&f[16]) + 14, f.size());
        ASSERT_TRUE(ip_checksum_valid(&f[14]));
      }
      free(got);
    }
  }
  auto& imix = seen[SizeMix::imix];
  ASSERT_EQ(imix.size(), 3u);
  EXPECT_NEAR(imix[60] / 64'000.0, 7 / 12.0, 0.02);
  EXPECT_NEAR(imix[590] / 64'000.0, 4 / 12.0, 0.02);
  EXPECT_NEAR(imix[1514] / 64'000.0, 1 / 12.0, 0.02);
  uint32_t below_120 = 0, up_to_120 = 0, below_256 = 0;
  for (const auto& [bytes, n] : seen[SizeMix::web]) {
    if (bytes < 120) below_120 += n;
    if (bytes <= 120) up_to_120 += n;
    if (bytes < 256) below_256 += n;
  }
  EXPECT_LT(below_120, 32'000u);
  EXPECT_GT(up_to_120, 32'000u);
  EXPECT_NEAR(below_256 / 64'000.0, 0.85, 0.02);
}

TEST_F(GenTest, JumboFrames) {
  auto port = gen({.flows = 2, .size_bytes = 37'506, .rate_pps = 0});
  const auto got = receive(*port, kJumboPackets + 5);
  EXPECT_EQ(got.size(), kJumboPackets);
  EXPECT_EQ(drops(Drop::rx_no_jumbo), 1u);
  EXPECT_EQ(frame(got[0]).size(), 37'506u);
  EXPECT_EQ(be16(&frame(got[0])[16]), 37'492u);
  free(got);
}

TEST_F(GenTest, WithoutBuffersEveryDuePacketIsCounted) {
  auto port = gen({.flows = 2, .rate_pps = 1e6});
  receive(*port, 1);
  std::vector<BufferId> all;
  for (BufferId b; (b = arena_->alloc()) != kNone<BufferId>;) all.push_back(b);
  ledger_.originated += all.size();
  now_.n += 20'000;
  EXPECT_EQ(receive(*port, 32).size(), 0u);
  EXPECT_EQ(drops(Drop::rx_no_buffer), 20u);
  EXPECT_EQ(port->counters().rx, 20u);
  expect_balance();
  free(all);
  now_.n += 3'000;
  const auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 3u);  // the schedule went on
  free(got);
}

TEST_F(GenTest, SinkCountsTimesAndFrees) {
  auto port = gen({.flows = 2, .size_bytes = 100, .rate_pps = 1e6});
  receive(*port, 1);
  now_.n += 10'000;
  const auto got = receive(*port, 32);
  ASSERT_EQ(got.size(), 10u);
  now_.n += 500;
  for (const BufferId b : got) port->queue(b, ledger_);
  EXPECT_EQ(port->queued(), 10u);
  EXPECT_EQ(ledger_.tx, 0u);
  flush(*port);
  EXPECT_EQ(port->queued(), 0u);
  EXPECT_EQ(ledger_.tx, 10u);
  EXPECT_EQ(ledger_.tx_bytes, 1000u);
  EXPECT_EQ(ledger_.held(), 0);
  EXPECT_EQ(latency_.count(), 10u);
  EXPECT_EQ(latency_.max(), 9'500u);  // the first was due 9,000 before its receive
  EXPECT_EQ(latency_.quantile(0), 500u);
}

TEST_F(GenTest, SinkTakesEveryBufferThereIs) {
  auto port = gen({.flows = 2, .rate_pps = 0});
  std::vector<BufferId> all;
  for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
    all.insert(all.end(), got.begin(), got.end());
  }
  for (const BufferId b : all) port->queue(b, ledger_);
  EXPECT_EQ(port->queued(), kPackets);
  flush(*port);
  EXPECT_EQ(ledger_.tx, kPackets);
}

TEST_F(GenTest, RateCanChangeAndStop) {
  auto port = gen({.flows = 2, .rate_pps = 1e6});
  receive(*port, 1);
  now_.n += 1'000'000;  // 1,000 packets behind ...
  port->set_rate(1e5);  // ... which the change forgets
  EXPECT_EQ(drain(*port), 0u);
  now_.n += 100'000;
  EXPECT_EQ(drain(*port), 10u);
  port->set_rate(0);
  auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 32u);
  free(got);
  EXPECT_FALSE(port->exhausted());
  port->stop();
  EXPECT_TRUE(port->exhausted());
  EXPECT_EQ(receive(*port, 32).size(), 0u);
}

TEST_F(GenTest, ImpossibleSettingsAreRefused) {
  EXPECT_NE(gen_error({.flows = 0}).find("flows: 0"), std::string::npos);
  EXPECT_NE(gen_error({.flows = (1u << 24) + 1}).find("16777216"), std::string::npos);
  EXPECT_NE(gen_error({.size_bytes = 59}).find("size: 59"), std::string::npos);
  EXPECT_NE(gen_error({.size_bytes = 65'408}).find("65407"), std::string::npos);
  EXPECT_NE(gen_error({.flows = 100, .first_vlan = 4000}).find("4094"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
