// A measuring window: what happened between two moments, with the keys of the report. Counters are
// differences of two snapshots, each taken between two turns of the vSwitch; latencies are those of
// packets that left in between; gauges (idle, bound, held, flows) are those at the end.
#pragma once

#include <sys/types.h>

#include "runtime/dataplane/observe.h"

namespace mayfly {

// What kept the machine, or the vSwitch's thread, from running. Negative where the kernel does not
// tell.
struct Disturbance {
  double steal_ms = -1;         // all CPUs: time that the hypervisor gave to others
  double vswitch_wait_ms = -1;  // the lcore was runnable and did not run
  static Disturbance now(pid_t vswitch_thread);
};

// One end of a window.
struct WindowEnd {
  Snapshot snapshot;
  CpuTimes cpu;
  Disturbance disturbance;
  static WindowEnd of(Snapshot snapshot, pid_t vswitch_thread);
};

// `facts.seconds` and `facts.cpu_begin` are replaced by those of the window.
nlohmann::json window_json(const WindowEnd& begin, const WindowEnd& end, const Histogram& latency,
                           RunFacts facts);

// [[upper bound in us, packets], ...]: the cells that are not empty.
nlohmann::json buckets_json(const Histogram& latency, TscRate rate);

}  // namespace mayfly
