#include "runtime/dataplane/window.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

using nlohmann::json;

// "cpu  user nice system idle iowait irq softirq steal ...", in clock ticks.
double steal_ms_now() {
  std::ifstream stat("/proc/stat");
  std::string cpu;
  uint64_t field = 0;
  stat >> cpu;
  for (int i = 0; i < 8; ++i)
    if (!(stat >> field)) return -1;
  return static_cast<double>(field) * 1000 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// "nanoseconds on a CPU, nanoseconds waiting for one, slices".
double wait_ms_of(pid_t thread) {
  std::ifstream file(absl::StrCat("/proc/self/task/", thread, "/schedstat"));
  uint64_t ran = 0, waited = 0;
  if (!(file >> ran >> waited)) return -1;
  return static_cast<double>(waited) / 1e6;
}

json difference(double end, double begin) {
  return end < 0 || begin < 0 ? json() : json(end - begin);
}

Ledger operator-(Ledger end, const Ledger& begin) {
  end.rx -= begin.rx, end.originated -= begin.originated, end.tx -= begin.tx;
  end.rx_bytes -= begin.rx_bytes, end.tx_bytes -= begin.tx_bytes;
  for (size_t i = 0; i < kDropCount; ++i) end.drops[i] -= begin.drops[i];
  return end;
}

// Counters only: what a snapshot says of its moment stays that of `end`.
Snapshot operator-(Snapshot end, const Snapshot& begin) {
  end.ledger = end.ledger - begin.ledger;
  end.wakes.wakes -= begin.wakes.wakes;
  end.wakes.woken_packets -= begin.wakes.woken_packets;
  end.wakes.ready -= begin.wakes.ready;
  end.wakes.late -= begin.wakes.late;
  end.turns.turns -= begin.turns.turns;
  end.turns.busy_cycles -= begin.turns.busy_cycles;
  end.turns.total_cycles -= begin.turns.total_cycles;
  end.turns.long_turns -= begin.turns.long_turns;
  end.turns.worst_cycles = end.turns.window_worst_cycles;
  end.violations -= begin.violations;
  for (size_t i = 0; i < end.nfs.size() && i < begin.nfs.size(); ++i) {
    end.nfs[i].binds -= begin.nfs[i].binds;
    end.nfs[i].recycles -= begin.nfs[i].recycles;
    end.nfs[i].deaths -= begin.nfs[i].deaths;
  }
  for (size_t i = 0; i < end.ports.size() && i < begin.ports.size(); ++i) {
    PortCounters& to = end.ports[i];
    const PortCounters& from = begin.ports[i];
    to.rx -= from.rx, to.tx -= from.tx, to.rx_bytes -= from.rx_bytes;
    to.tx_bytes -= from.tx_bytes, to.rx_missed -= from.rx_missed, to.late -= from.late;
    to.tx_errors -= from.tx_errors;
  }
  return end;
}

json load_json(const Snapshot& s, const Config& config) {
  uint64_t offered = 0, late = 0;
  for (size_t i = 0; i < s.ports.size(); ++i) {
    if (!config.ports[i].gen) continue;
    offered += s.ports[i].rx;
    late += s.ports[i].late;
  }
  return {{"offered", offered}, {"late", late}};
}

}  // namespace

Disturbance Disturbance::now(pid_t vswitch_thread) {
  return {steal_ms_now(), wait_ms_of(vswitch_thread)};
}

WindowEnd WindowEnd::of(Snapshot snapshot, pid_t vswitch_thread) {
  return {std::move(snapshot), CpuTimes::now(), Disturbance::now(vswitch_thread)};
}

json window_json(const WindowEnd& begin, const WindowEnd& end, const Histogram& latency,
                 RunFacts facts) {
  const Cycles span = end.snapshot.taken - begin.snapshot.taken;
  facts.seconds = static_cast<double>(span.n) / static_cast<double>(facts.rate.hz());
  facts.cpu_begin = begin.cpu;
  const Snapshot within = end.snapshot - begin.snapshot;
  json window = stats_json(within, latency, facts, end.cpu);
  window["packets"]["held"] = end.snapshot.ledger.held();
  window["packets"]["held_before"] = begin.snapshot.ledger.held();
  window["nfs"]["returned"] = end.snapshot.returned;
  window["load"] = load_json(within, *facts.config);
  window["disturbed"] = {
      {"steal_ms", difference(end.disturbance.steal_ms, begin.disturbance.steal_ms)},
      {"vswitch_wait_ms",
       difference(end.disturbance.vswitch_wait_ms, begin.disturbance.vswitch_wait_ms)}};
  return window;
}

json buckets_json(const Histogram& latency, TscRate rate) {
  json buckets = json::array();
  latency.for_each([&](uint64_t top, uint64_t count) {
    buckets.push_back({static_cast<double>(top) * 1e6 / static_cast<double>(rate.hz()), count});
  });
  return buckets;
}

}  // namespace mayfly
