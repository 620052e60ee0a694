// What the operator sees of a run: a line a second and the table at the end. Both are made from
// the report's JSON (docs/api.md lists its keys); a key that is missing shows as 0.
#pragma once

#include <cstdint>
#include <string>

#include "nlohmann/json_fwd.hpp"

namespace mayfly {

// The figures of one report or stats object. Rates in it are averages since `ready`.
struct RunFigures {
  double seconds = 0;
  uint64_t rx = 0, originated = 0, tx = 0, held = 0, drops = 0;
  double gbps = 0;
  double p50_us = 0, p90_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
  double recent_p50_us = 0, recent_p99_us = 0;  // since the reading before, if that is given
  uint64_t nf_live = 0, nf_bound = 0;
  uint64_t wakes = 0;
  double packets_per_wake = 0;
  double cpu_vswitch = 0;   // 1: the whole core
  double cpu_nf_cores = 0;  // mean of them
};
RunFigures figures_of(const nlohmann::json& stats);

// Rates of the time between two readings.
std::string progress_line(const RunFigures& before, const RunFigures& now);

// The closing table, several lines.
std::string closing_table(const nlohmann::json& report);

// The same rows for a run that goes on, whose packets are in motion while they are counted.
std::string stats_table(const nlohmann::json& stats);

// What the dataplane could not account for at the end of a run, or, should the figures themselves
// not add up, rx + originated - tx - drops - held.
int64_t unaccounted_packets(const nlohmann::json& report);

}  // namespace mayfly
