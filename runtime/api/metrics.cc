#include "runtime/api/metrics.h"

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "runtime/base/version.h"

namespace mayfly {
namespace {

using nlohmann::json;

struct Metric {
  const char* path;  // JSON pointer into the stats object
  const char* name;
  const char* type;
  double scale;  // to Prometheus's base units
  const char* help;
};

constexpr Metric kMetrics[] = {
    {"/seconds", "mayfly_uptime_seconds", "gauge", 1, "Time since traffic began."},
    {"/packets/rx", "mayfly_packets_received_total", "counter", 1, "Packets received by ports."},
    {"/packets/originated", "mayfly_packets_originated_total", "counter", 1,
     "Packets originated by NFs."},
    {"/packets/tx", "mayfly_packets_sent_total", "counter", 1, "Packets sent by ports."},
    {"/packets/held", "mayfly_packets_held", "gauge", 1, "Packets inside now."},
    {"/nfs/live", "mayfly_nfs_live", "gauge", 1, "NF instances that exist."},
    {"/nfs/bound", "mayfly_nfs_bound", "gauge", 1, "NF instances serving a flow or tenant."},
    {"/nfs/idle", "mayfly_nfs_idle", "gauge", 1, "NF instances waiting in the pool."},
    {"/nfs/deaths", "mayfly_nf_deaths_total", "counter", 1, "NF instances that died."},
    {"/nfs/binds", "mayfly_nf_binds_total", "counter", 1, "Bindings of an instance."},
    {"/nfs/recycles", "mayfly_nf_recycles_total", "counter", 1,
     "Instances given back to the pool."},
    {"/wakes/total", "mayfly_wakes_total", "counter", 1, "Wake-ups of NF processes."},
    {"/wakes/remote", "mayfly_remote_wakes_total", "counter", 1,
     "Wake-ups that had to reach another core."},
    {"/memory/per_nf_kib", "mayfly_nf_memory_bytes", "gauge", 1024,
     "Memory of one NF instance, mean."},
    {"/memory/arena_mib", "mayfly_arena_bytes", "gauge", 1048576, "Packet arena."},
    {"/cpu/vswitch", "mayfly_vswitch_cpu_ratio", "gauge", 1, "Share of its core the vSwitch uses."},
    {"/vswitch/cycles_per_packet", "mayfly_vswitch_cycles_per_packet", "gauge", 1,
     "TSC cycles the vSwitch spends on a packet."},
    {"/vswitch/worst_turn_us", "mayfly_vswitch_worst_turn_seconds", "gauge", 1e-6,
     "Longest turn of the vSwitch loop."},
};

const json* number_at(const json& stats, const std::string& path) {
  const json::json_pointer pointer(path);
  if (!stats.contains(pointer)) return nullptr;
  const json& value = stats.at(pointer);
  return value.is_number() ? &value : nullptr;
}

std::string number_text(const json& value, double scale) {
  if (value.is_number_unsigned() && scale == 1) return fmt::format("{}", value.get<uint64_t>());
  return fmt::format("{:.12g}", value.get<double>() * scale);
}

// Backslash, quote and line end, as the format wants them in label values.
std::string label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

void header(std::string& out, const char* name, const char* type, const char* help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void drops(std::string& out, const json& stats) {
  const json::json_pointer path("/packets/drops");
  if (!stats.contains(path) || !stats.at(path).is_object()) return;
  const char* name = "mayfly_packets_dropped_total";
  header(out, name, "counter", "Packets dropped, by reason.");
  for (const auto& [reason, packets] : stats.at(path).items()) {
    if (!packets.is_number()) continue;
    out += fmt::format("{}{{reason=\"{}\"}} {}\n", name, label(reason), number_text(packets, 1));
  }
}

void latency(std::string& out, const json& stats) {
  const json* count = number_at(stats, "/latency_us/count");
  const json* mean = number_at(stats, "/latency_us/mean");
  if (count == nullptr || mean == nullptr) return;
  const char* name = "mayfly_latency_seconds";
  header(out, name, "summary", "Time from ingress to egress of sent packets.");
  constexpr std::pair<const char*, const char*> kQuantiles[] = {{"0.5", "/latency_us/p50"},
                                                                {"0.9", "/latency_us/p90"},
                                                                {"0.99", "/latency_us/p99"},
                                                                {"0.999", "/latency_us/p999"},
                                                                {"1", "/latency_us/max"}};
  for (const auto& [quantile, path] : kQuantiles) {
    if (const json* value = number_at(stats, path); value != nullptr) {
      out += fmt::format("{}{{quantile=\"{}\"}} {}\n", name, quantile, number_text(*value, 1e-6));
    }
  }
  out +=
      fmt::format("{}_sum {:.12g}\n{}_count {}\n", name,
                  mean->get<double>() * count->get<double>() * 1e-6, name, number_text(*count, 1));
}

void nf_cores(std::string& out, const json& stats) {
  const json::json_pointer path("/cpu/nf_cores");
  if (!stats.contains(path) || !stats.at(path).is_array()) return;
  const char* name = "mayfly_nf_core_cpu_ratio";
  header(out, name, "gauge", "Share of an NF core in use.");
  size_t i = 0;
  for (const json& share : stats.at(path)) {
    if (share.is_number())
      out += fmt::format("{}{{index=\"{}\"}} {}\n", name, i, number_text(share, 1));
    ++i;
  }
}

// One family with a sample for each row of a list; rows without the number are left out.
struct RowMetric {
  const char* key;
  const char* name;
  const char* type;
  const char* help;
};

void rows(std::string& out, const json& list, const char* label_name, const RowMetric& metric) {
  std::string samples;
  for (const json& row : list) {
    if (!row.is_object() || !row.contains("name") || !row["name"].is_string()) continue;
    const auto value = row.find(metric.key);
    if (value == row.end() || !value->is_number()) continue;
    samples += fmt::format("{}{{{}=\"{}\"}} {}\n", metric.name, label_name,
                           label(row["name"].get<std::string>()), number_text(*value, 1));
  }
  if (samples.empty()) return;
  header(out, metric.name, metric.type, metric.help);
  out += samples;
}

void ports(std::string& out, const json& stats) {
  if (!stats.contains("ports")) return;
  constexpr RowMetric kPorts[] = {
      {"rx", "mayfly_port_received_packets_total", "counter", "Packets received by this port."},
      {"tx", "mayfly_port_sent_packets_total", "counter", "Packets sent by this port."},
      {"rx_bytes", "mayfly_port_received_bytes_total", "counter", "Bytes received by this port."},
      {"tx_bytes", "mayfly_port_sent_bytes_total", "counter", "Bytes sent by this port."},
      {"rx_missed", "mayfly_port_missed_packets_total", "counter",
       "Packets this port's driver lost."}};
  for (const RowMetric& metric : kPorts) rows(out, stats["ports"], "port", metric);
}

void tenants_of(std::string& out, const json& tenants) {
  constexpr RowMetric kTenants[] = {
      {"packets", "mayfly_tenant_packets_total", "counter", "Packets of this tenant."},
      {"bytes", "mayfly_tenant_bytes_total", "counter", "Bytes of this tenant's packets."},
      {"held", "mayfly_tenant_packets_held", "gauge", "Packets this tenant has inside now."},
      {"limit_drops", "mayfly_tenant_limit_drops_total", "counter",
       "Packets dropped because this tenant had too many inside."}};
  for (const RowMetric& metric : kTenants) rows(out, tenants, "tenant", metric);
}

void build_info(std::string& out) {
  header(out, "mayfly_build_info", "gauge", "Version of the running dataplane.");
  out += fmt::format("mayfly_build_info{{version=\"{}\"}} 1\n", kVersion);
}

}  // namespace

std::string metrics_text(const json& stats, const json& tenants) {
  std::string out;
  if (!stats.is_object()) return out;
  build_info(out);
  for (const Metric& metric : kMetrics) {
    const json* value = number_at(stats, metric.path);
    if (value == nullptr) continue;
    header(out, metric.name, metric.type, metric.help);
    out += fmt::format("{} {}\n", metric.name, number_text(*value, metric.scale));
  }
  drops(out, stats);
  latency(out, stats);
  nf_cores(out, stats);
  ports(out, stats);
  tenants_of(out, tenants);
  return out;
}

}  // namespace mayfly
