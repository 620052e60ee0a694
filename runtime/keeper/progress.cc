#include "runtime/keeper/progress.h"

#include <algorithm>
#include <vector>

#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

using nlohmann::json;

const json* find(const json& object, std::initializer_list<const char*> path) {
  const json* at = &object;
  for (const char* key : path) {
    if (!at->is_object()) return nullptr;
    const auto it = at->find(key);
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

double real(const json& object, std::initializer_list<const char*> path) {
  const json* value = find(object, path);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

uint64_t count(const json& object, std::initializer_list<const char*> path) {
  const json* value = find(object, path);
  if (value == nullptr || !value->is_number()) return 0;
  if (value->is_number_float()) return static_cast<uint64_t>(std::max(0.0, value->get<double>()));
  return value->get<uint64_t>();
}

struct DropReason {
  std::string name;
  uint64_t packets;
};

// Largest first.
std::vector<DropReason> drop_reasons(const json& stats) {
  std::vector<DropReason> reasons;
  const json* drops = find(stats, {"packets", "drops"});
  if (drops == nullptr || !drops->is_object()) return reasons;
  for (const auto& [name, packets] : drops->items()) {
    const uint64_t n = count(packets, {});
    if (n > 0) reasons.push_back({name, n});
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.packets > b.packets; });
  return reasons;
}

std::vector<double> nf_core_shares(const json& stats) {
  std::vector<double> shares;
  const json* cores = find(stats, {"cpu", "nf_cores"});
  if (cores == nullptr || !cores->is_array()) return shares;
  for (const json& core : *cores) {
    if (core.is_number()) shares.push_back(core.get<double>());
  }
  return shares;
}

std::string grouped(uint64_t n) {
  std::string digits = std::to_string(n);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

// Microseconds in the unit that reads best.
std::string duration(double us) {
  if (us < 10'000) return fmt::format("{:.{}f} us", us, us < 100 ? 1 : 0);
  if (us < 10'000'000) return fmt::format("{:.1f} ms", us / 1e3);
  return fmt::format("{:.1f} s", us / 1e6);
}

std::string thousands(double per_second) {
  if (per_second < 10'000) return fmt::format("{:.0f}", per_second);
  if (per_second < 10e6) return fmt::format("{:.1f}k", per_second / 1e3);
  return fmt::format("{:.1f}M", per_second / 1e6);
}

void row(std::string& table, const char* name, const std::string& value) {
  table += fmt::format("  {:<22}{}\n", name, value);
}

void packet_rows(std::string& table, const json& report, const RunFigures& f) {
  row(table, "packets in", fmt::format("{:>16}", grouped(f.rx)));
  if (f.originated > 0)
    row(table, "originated by NFs", fmt::format("{:>16}", grouped(f.originated)));
  row(table, "packets out", fmt::format("{:>16}", grouped(f.tx)));
  if (f.held > 0) row(table, "still held", fmt::format("{:>16}", grouped(f.held)));
  row(table, "dropped", fmt::format("{:>16}", grouped(f.drops)));
  for (const DropReason& reason : drop_reasons(report)) {
    row(table, ("  " + reason.name).c_str(), fmt::format("{:>16}", grouped(reason.packets)));
  }
}

void rate_rows(std::string& table, const json& report, const RunFigures& f) {
  row(table, "rate", fmt::format("{:.3f} Mpps, {:.3f} Gb/s", real(report, {"mpps"}), f.gbps));
  row(table, "latency",
      fmt::format("p50 {}, p90 {}, p99 {}, p99.9 {}, max {}", duration(f.p50_us),
                  duration(f.p90_us), duration(f.p99_us), duration(f.p999_us), duration(f.max_us)));
  row(table, "wakes",
      fmt::format("{}/s, {:.1f} packets per wake", thousands(real(report, {"wakes", "per_s"})),
                  f.packets_per_wake));
  if (!report.contains("baton")) return;
  for (const json& core : report["baton"]) {
    row(table, "baton",
        fmt::format("core {}: {}/s handed over, {} remote wakes, {} parks, {} revoked, queue delay "
                    "p50 {}, p99 {}",
                    count(core, {"core"}), thousands(real(core, {"handovers_per_s"})),
                    grouped(count(report, {"wakes", "remote"})), grouped(count(core, {"parks"})),
                    grouped(count(core, {"revocations"})),
                    duration(real(core, {"queue_delay_us", "p50"})),
                    duration(real(core, {"queue_delay_us", "p99"}))));
  }
}

void resource_rows(std::string& table, const json& report, const RunFigures& f) {
  std::string cores;
  for (const double share : nf_core_shares(report)) {
    cores += fmt::format("{}{:.0f} %", cores.empty() ? "" : ", ", share * 100);
  }
  row(table, "CPU",
      fmt::format("vSwitch {:.0f} %, NF cores {}", f.cpu_vswitch * 100,
                  cores.empty() ? "-" : cores));
  row(table, "NFs",
      fmt::format("{} live, {} bound, {} binds, {} recycled, {} died", grouped(f.nf_live),
                  grouped(f.nf_bound), grouped(count(report, {"nfs", "binds"})),
                  grouped(count(report, {"nfs", "recycles"})),
                  grouped(count(report, {"nfs", "deaths"}))));
  row(table, "memory",
      fmt::format("{:.0f} KiB per NF, arena {:.0f} MiB", real(report, {"memory", "per_nf_kib"}),
                  real(report, {"memory", "arena_mib"})));
  row(table, "vSwitch",
      fmt::format("{:.0f} cycles per packet, worst turn {}",
                  real(report, {"vswitch", "cycles_per_packet"}),
                  duration(real(report, {"vswitch", "worst_turn_us"}))));
}

}  // namespace

RunFigures figures_of(const json& stats) {
  RunFigures f;
  f.seconds = real(stats, {"seconds"});
  f.rx = count(stats, {"packets", "rx"});
  f.originated = count(stats, {"packets", "originated"});
  f.tx = count(stats, {"packets", "tx"});
  f.held = count(stats, {"packets", "held"});
  for (const DropReason& reason : drop_reasons(stats)) f.drops += reason.packets;
  f.gbps = real(stats, {"gbps"});
  f.p50_us = real(stats, {"latency_us", "p50"});
  f.p90_us = real(stats, {"latency_us", "p90"});
  f.p99_us = real(stats, {"latency_us", "p99"});
  f.p999_us = real(stats, {"latency_us", "p999"});
  f.max_us = real(stats, {"latency_us", "max"});
  const bool recent = find(stats, {"interval", "latency_us"}) != nullptr;
  f.recent_p50_us = recent ? real(stats, {"interval", "latency_us", "p50"}) : f.p50_us;
  f.recent_p99_us = recent ? real(stats, {"interval", "latency_us", "p99"}) : f.p99_us;
  f.nf_live = count(stats, {"nfs", "live"});
  f.nf_bound = count(stats, {"nfs", "bound"});
  f.wakes = count(stats, {"wakes", "total"});
  f.packets_per_wake = real(stats, {"wakes", "packets_per_wake"});
  f.cpu_vswitch = real(stats, {"cpu", "vswitch"});
  const std::vector<double> shares = nf_core_shares(stats);
  for (const double share : shares) f.cpu_nf_cores += share / static_cast<double>(shares.size());
  return f;
}

std::string progress_line(const RunFigures& before, const RunFigures& now) {
  const double span = std::max(now.seconds - before.seconds, 1e-3);
  const auto per_second = [&](uint64_t a, uint64_t b) {
    return b > a ? static_cast<double>(b - a) / span : 0.0;
  };
  // The report's rates are averages since the start: their difference, weighted by time, is the
  // average since the last line.
  const auto recent = [&](double a, double b) {
    return std::max(0.0, (b * now.seconds - a * before.seconds) / span);
  };
  return fmt::format(
      "{:>5.1f}s  in {:6.3f}  out {:6.3f} Mpps {:6.3f} Gb/s  drop {}/s  p50 {} p99 {}  "
      "wakes {}/s  NFs {}/{}  CPU {:.0f}/{:.0f} %",
      now.seconds, per_second(before.rx, now.rx) / 1e6, per_second(before.tx, now.tx) / 1e6,
      recent(before.gbps, now.gbps), thousands(per_second(before.drops, now.drops)),
      duration(now.recent_p50_us), duration(now.recent_p99_us),
      thousands(per_second(before.wakes, now.wakes)), now.nf_bound, now.nf_live,
      recent(before.cpu_vswitch, now.cpu_vswitch) * 100,
      recent(before.cpu_nf_cores, now.cpu_nf_cores) * 100);
}

int64_t unaccounted_packets(const json& report) {
  const json* told = find(report, {"accounting", "unaccounted"});
  if (told != nullptr && told->is_number_integer() && *told != 0) return told->get<int64_t>();
  const RunFigures f = figures_of(report);
  return static_cast<int64_t>(f.rx + f.originated - f.tx - f.drops - f.held);
}

std::string stats_table(const json& stats) {
  const RunFigures f = figures_of(stats);
  std::string table = fmt::format("\n  {:.1f} seconds\n", f.seconds);
  packet_rows(table, stats, f);
  rate_rows(table, stats, f);
  resource_rows(table, stats, f);
  return table;
}

std::string closing_table(const json& report) {
  std::string table = stats_table(report);
  const int64_t missing = unaccounted_packets(report);
  row(table, "accounting",
      missing == 0 ? "every packet: in + originated = out + dropped + held"
                   : fmt::format("{} packets unaccounted for (a bug: please report it)", missing));
  return table;
}

}  // namespace mayfly
