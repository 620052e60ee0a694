// What can be seen of a running dataplane, as JSON: the --report keys and the API's listings.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

// A copy of the vSwitch's counters, taken between two of its turns.
struct Snapshot {
  Ledger ledger;
  WakeCounters wakes;
  TurnCounters turns;
  uint64_t held_buffers = 0;  // counted from the buffers themselves; only in the last one
  uint64_t violations = 0;
  uint64_t strays = 0;
  uint64_t overdue_gates = 0;
  uint32_t flows = 0, bindings = 0;
  uint32_t returned = 0;  // live NFs that gave back a packet since the measuring window began
  Cycles taken{0};
  struct PerNf {
    uint32_t idle = 0, bound = 0, vacancies = 0;
    uint64_t binds = 0, recycles = 0, deaths = 0;
  };
  std::vector<PerNf> nfs;
  struct PerCore {  // dispatch `baton`
    uint64_t handovers = 0, kept = 0, parks = 0, revocations = 0, nudges = 0;
    uint32_t queue = 0;
    float load = 0;
    uint32_t bound = 0;
    uint64_t arrivals = 0;
  };
  std::vector<PerCore> cores;
  std::vector<PortCounters> ports;
};
// On the lcore: `to` has its vectors already, so that nothing is allocated there.
Snapshot empty_snapshot(const Config& config);
void take_snapshot(const VSwitch& vswitch, const std::vector<std::unique_ptr<Port>>& ports,
                   Snapshot& to);

// Busy time of CPUs from /proc/stat, in clock ticks, since boot.
struct CpuTimes {
  std::vector<uint64_t> busy, total;  // by CPU number
  static CpuTimes now();
  // Busy share (0..1) of `cpu` since `earlier`.
  double busy_share(const CpuTimes& earlier, CoreId cpu) const;
};
uint64_t available_memory_kib();

// What the JSON needs beside a snapshot.
struct RunFacts {
  const Config* config;
  TscRate rate{1};
  uint64_t arena_bytes = 0;
  bool huge_pages = false;
  uint32_t live = 0;               // NF processes
  double seconds = 0;              // since traffic was opened
  double memory_per_nf_kib = 0;
  CpuTimes cpu_begin;
};

nlohmann::json stats_json(const Snapshot& snapshot, const Histogram& latency,
                          const RunFacts& facts, const CpuTimes& cpu);
// Dispatch `baton`: one entry for each NF core; `delays` are those of its ready queue.
nlohmann::json baton_json(const Snapshot& snapshot, const std::vector<Histogram>& delays,
                          const RunFacts& facts);
nlohmann::json latency_json(const Histogram& latency, TscRate rate);
// The host, for a report: kernel, CPU model, cores, memory, DPDK and Mayfly versions.
nlohmann::json host_json();
// The configuration, for a report and GET /v1/config: what was decided, not the blobs.
nlohmann::json config_json(const Config& config);

}  // namespace mayfly
