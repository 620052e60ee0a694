// What a packet costs in the ports alone: received 32 at a time, sent out of the same port at once.
//
//   gen/FLOWS        the built-in generator and sink, `rate: max`, 64-byte packets
//   gen_paced/FLOWS  the same on a schedule, always behind (constant rate beyond reach)
//   net_null         DPDK's null device through EthPort: what mbufs and a driver cost on top
//
// `cold` frees in another order than it allocates, over 32,768 buffers: no buffer, record or mbuf
// is in the cache when its turn comes. Figures are per packet. Every run checks that nothing was
// lost.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "runtime/ports/port.h"

namespace mayfly {
namespace {

constexpr uint32_t kPackets = 65536;
constexpr uint32_t kColdPackets = 32768;

std::unique_ptr<Arena> make_arena() {
  auto made = Arena::create({kPackets, 8, true, false});
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", std::string(made.status().message()).c_str());
    std::exit(1);
  }
  return *std::move(made);
}

void pass(benchmark::State& state, Arena& arena, const PortConfig& config, bool cold) {
  auto opened = open_port(config, PortId{0}, arena, 2'600'000'000);
  if (!opened.ok()) {
    state.SkipWithError(std::string(opened.status().message()).c_str());
    return;
  }
  Port& port = **opened;
  Ledger ledger;
  Histogram latency;
  Cycles now{1'000'000'000};
  // A queue between in and out; when cold, long enough to be out of every cache.
  std::vector<BufferId> fifo(kPackets);
  uint32_t in = 0, out = 0;
  BufferId burst[kRxBurst];
  const uint32_t keep = cold ? kColdPackets : 0;
  for (auto _ : state) {
    now.n += 1'000'000;
    const uint32_t n = port.receive(now, ledger, burst);
    for (uint32_t i = 0; i < n; ++i) fifo[in++ % kPackets] = burst[i];
    while (in - out > keep) port.queue(fifo[out++ % kPackets], ledger);
    port.flush(now, ledger, latency);
  }
  state.SetItemsProcessed(static_cast<int64_t>(ledger.rx));
  while (out != in) arena.free(fifo[out++ % kPackets]), ledger.drop(Drop::shutdown);
  if (ledger.held() != 0 || ledger.dropped() > keep) state.SkipWithError("packets were lost");
}

PortConfig gen(uint32_t flows, double pps) {
  PortConfig config;
  config.name = "load";
  config.gen = GenConfig{.flows = flows, .rate_pps = pps};
  return config;
}

void add(const std::string& name, Arena& arena, const PortConfig& config) {
  for (const bool cold : {false, true}) {
    benchmark::RegisterBenchmark(
        (name + (cold ? "/cold" : "/warm")).c_str(),
        [&arena, config, cold](benchmark::State& state) { pass(state, arena, config, cold); });
  }
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  using namespace mayfly;
  std::vector<std::string> words = {argv[0], "--benchmark_repetitions=3",
                                    "--benchmark_enable_random_interleaving=true",
                                    "--benchmark_report_aggregates_only=true"};
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;

  Config config;
  config.packets = 2 * kPackets;
  if (const absl::Status s = start_eal(config, "mayfly-bench-ports"); !s.ok()) {
    std::fprintf(stderr, "%s\n", std::string(s.message()).c_str());
    return 1;
  }
  // Two arenas: once a device is open, an arena keeps its buffers in the mempool.
  const std::unique_ptr<Arena> for_gen = make_arena(), for_devices = make_arena();
  std::printf("%u buffers, %s pages\n", kPackets, for_gen->huge() ? "2 MiB" : "4 KiB");
  for (const uint32_t flows : {1u, 1000u, 100'000u}) {
    add("gen/" + std::to_string(flows), *for_gen, gen(flows, 0));
    add("gen_paced/" + std::to_string(flows), *for_gen, gen(flows, 1e9));
  }
  PortConfig null;
  null.name = "null";
  null.dev = "net_null0,size=64";
  add("net_null", *for_devices, null);
  benchmark::RunSpecifiedBenchmarks();
  stop_eal();
  return 0;
}
