#include "runtime/dataplane/observe.h"

#include <rte_version.h>
#include <sys/utsname.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "runtime/base/version.h"

namespace mayfly {
namespace {

using nlohmann::json;

json drops_json(const Ledger& ledger) {
  json drops = json::object();
  for (size_t i = 0; i < kDropCount; ++i)
    if (ledger.drops[i] != 0) drops[std::string(drop_name(static_cast<Drop>(i)))] = ledger.drops[i];
  return drops;
}

json ports_json(const Snapshot& s, const Config& config) {
  json ports = json::array();
  for (size_t i = 0; i < s.ports.size(); ++i) {
    const PortCounters& p = s.ports[i];
    ports.push_back({{"name", config.ports[i].name}, {"rx", p.rx}, {"tx", p.tx},
                     {"rx_bytes", p.rx_bytes}, {"tx_bytes", p.tx_bytes},
                     {"rx_missed", p.rx_missed}, {"late", p.late}});
  }
  return ports;
}

json nfs_json(const Snapshot& s, const RunFacts& facts) {
  json kinds = json::object();
  uint64_t bound = 0, idle = 0, deaths = 0, binds = 0, recycles = 0;
  for (size_t i = 0; i < s.nfs.size(); ++i) {
    const Snapshot::PerNf& nf = s.nfs[i];
    kinds[facts.config->nfs[i].name] = {{"idle", nf.idle}, {"bound", nf.bound},
                                        {"waiting", nf.vacancies}, {"binds", nf.binds},
                                        {"recycles", nf.recycles}, {"deaths", nf.deaths}};
    bound += nf.bound, idle += nf.idle, deaths += nf.deaths;
    binds += nf.binds, recycles += nf.recycles;
  }
  return {{"live", facts.live}, {"bound", bound}, {"idle", idle}, {"deaths", deaths},
          {"binds", binds}, {"recycles", recycles}, {"violations", s.violations},
          {"strays", s.strays}, {"kinds", kinds}};
}

std::string first_line_with(const char* path, const std::string& prefix) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.rfind(prefix, 0) == 0) return line.substr(line.find(':') + 2);
  return "";
}

}  // namespace

Snapshot empty_snapshot(const Config& config) {
  Snapshot s;
  s.nfs.resize(config.nfs.size());
  s.ports.resize(config.ports.size());
  if (config.dispatch == Dispatch::baton) s.cores.resize(config.nf_cores.size());
  return s;
}

void take_snapshot(const VSwitch& v, const std::vector<std::unique_ptr<Port>>& ports,
                   Snapshot& s) {
  s.taken = tsc_now();
  s.returned = v.returned();
  s.ledger = v.ledger();
  s.wakes = v.wakes();
  s.turns = v.turns();
  s.violations = v.violations();
  s.strays = v.strays();
  s.overdue_gates = v.overdue_gates();
  s.flows = v.flows().size();
  s.bindings = v.live_bindings();
  for (size_t i = 0; i < s.nfs.size(); ++i) {
    const NfRecord& nf = v.nfs()[i];
    s.nfs[i] = {static_cast<uint32_t>(nf.idle.size()), nf.bound_count, nf.vacancy_count,
                nf.binds, nf.recycles, nf.deaths};
  }
  for (size_t i = 0; i < s.ports.size(); ++i) s.ports[i] = ports[i]->counters();
  for (uint32_t i = 0; i < s.cores.size(); ++i) {
    const CoreRecord& core = v.core(i);
    const CoreBaton& shared = core.queue.core();
    s.cores[i] = {shared.handovers.load(std::memory_order_relaxed),
                  shared.kept.load(std::memory_order_relaxed),
                  shared.parks.load(std::memory_order_relaxed), core.revocations, core.nudges,
                  core.ready.size() + core.queue.waiting(), core.load,
                  v.bound_on(i), core.arrivals};
  }
}

CpuTimes CpuTimes::now() {
  CpuTimes times;
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line) && line.rfind("cpu", 0) == 0;) {
    if (line[3] == ' ') continue;
    std::istringstream in(line.substr(3));
    size_t cpu;
    uint64_t value, total = 0, idle = 0;
    in >> cpu;
    for (int field = 0; field < 8 && in >> value; ++field) {
      total += value;
      if (field == 3 || field == 4) idle += value;  // idle, iowait
    }
    times.busy.resize(std::max(times.busy.size(), cpu + 1));
    times.total.resize(times.busy.size());
    times.busy[cpu] = total - idle;
    times.total[cpu] = total;
  }
  return times;
}

double CpuTimes::busy_share(const CpuTimes& earlier, CoreId cpu) const {
  const size_t i = index(cpu);
  if (i >= total.size() || i >= earlier.total.size() || total[i] == earlier.total[i]) return 0;
  return static_cast<double>(busy[i] - earlier.busy[i]) /
         static_cast<double>(total[i] - earlier.total[i]);
}

uint64_t available_memory_kib() {
  const std::string line = first_line_with("/proc/meminfo", "MemAvailable:");
  return line.empty() ? 0 : std::strtoull(line.c_str(), nullptr, 10);
}

json latency_json(const Histogram& h, TscRate rate) {
  const auto us = [&](uint64_t cycles) {
    return static_cast<double>(rate.nanos({cycles}).n) / 1000.0;
  };
  return {{"count", h.count()},
          {"mean", us(static_cast<uint64_t>(h.mean()))},
          {"p50", us(h.quantile(0.5))},
          {"p90", us(h.quantile(0.9))},
          {"p99", us(h.quantile(0.99))},
          {"p999", us(h.quantile(0.999))},
          {"max", us(h.max())}};
}

json baton_json(const Snapshot& s, const std::vector<Histogram>& delays, const RunFacts& facts) {
  json cores = json::array();
  for (size_t i = 0; i < s.cores.size(); ++i) {
    const Snapshot::PerCore& c = s.cores[i];
    const double seconds = std::max(facts.seconds, 1e-9);
    cores.push_back({{"core", raw(facts.config->nf_cores[i])},
                     {"handovers", c.handovers},
                     {"handovers_per_s", static_cast<double>(c.handovers) / seconds},
                     {"kept", c.kept}, {"parks", c.parks}, {"revocations", c.revocations},
                     {"nudges", c.nudges}, {"queue", c.queue}, {"load", c.load},
                     {"bound", c.bound}, {"arrivals", c.arrivals},
                     {"queue_delay_us", latency_json(delays[i], facts.rate)}});
  }
  return cores;
}

json stats_json(const Snapshot& s, const Histogram& latency, const RunFacts& facts,
                const CpuTimes& cpu) {
  const Ledger& l = s.ledger;
  const double seconds = std::max(facts.seconds, 1e-9);
  json nf_cores = json::array();
  for (CoreId core : facts.config->nf_cores)
    nf_cores.push_back(cpu.busy_share(facts.cpu_begin, core));
  const double cycles = static_cast<double>(s.turns.busy_cycles);
  return {
      {"schema", 1},
      {"seconds", facts.seconds},
      {"packets",
       {{"rx", l.rx}, {"originated", l.originated}, {"tx", l.tx}, {"held", l.held()},
        {"drops", drops_json(l)}}},
      {"mpps", static_cast<double>(l.tx) / seconds / 1e6},
      {"gbps", static_cast<double>(l.tx_bytes) * 8 / seconds / 1e9},
      {"latency_us", latency_json(latency, facts.rate)},
      {"nfs", nfs_json(s, facts)},
      {"flows", {{"live", s.flows}, {"bindings", s.bindings}, {"overdue_gates", s.overdue_gates}}},
      {"wakes",
       {{"total", s.wakes.wakes}, {"per_s", static_cast<double>(s.wakes.wakes) / seconds},
        {"packets_per_wake", s.wakes.wakes == 0 ? 0.0
                                                : static_cast<double>(s.wakes.woken_packets) /
                                                      static_cast<double>(s.wakes.wakes)},
        {"ready", s.wakes.ready}, {"remote", s.wakes.remote}, {"late", s.wakes.late}}},
      {"cpu",
       {{"vswitch", s.turns.total_cycles == 0
                        ? 0.0
                        : cycles / static_cast<double>(s.turns.total_cycles)},
        {"nf_cores", nf_cores}}},
      {"memory",
       {{"per_nf_kib", facts.memory_per_nf_kib},
        {"arena_mib", static_cast<double>(facts.arena_bytes) / (1 << 20)},
        {"huge_pages", facts.huge_pages}}},
      {"vswitch",
       {{"cycles_per_packet", l.rx == 0 ? 0.0 : cycles / static_cast<double>(l.rx)},
        {"worst_turn_us",
         static_cast<double>(facts.rate.nanos({s.turns.worst_cycles}).n) / 1000.0},
        {"long_turns", s.turns.long_turns}, {"turns", s.turns.turns}}},
      {"ports", ports_json(s, *facts.config)},
  };
}

json gen_json(const GenConfig& gen) {
  static constexpr const char* kMix[] = {"fixed", "imix", "web"};
  static constexpr const char* kArrival[] = {"constant", "poisson", "bursts"};
  static constexpr const char* kOrder[] = {"round_robin", "uniform", "zipf"};
  json j = {{"flows", gen.flows},
            {"size", gen.size_bytes},
            {"mix", kMix[static_cast<int>(gen.mix)]},
            {"rate_pps", gen.rate_pps},
            {"arrival", kArrival[static_cast<int>(gen.arrival)]},
            {"order", kOrder[static_cast<int>(gen.order)]},
            {"seed", gen.seed}};
  if (gen.arrival == Arrival::bursts) j["on_ns"] = gen.on.n, j["off_ns"] = gen.off.n;
  if (gen.order == FlowOrder::zipf) j["zipf"] = gen.zipf;
  return j;
}

json host_json() {
  utsname name{};
  uname(&name);
  return {{"kernel", name.release},
          {"cpu", first_line_with("/proc/cpuinfo", "model name")},
          {"cpus", std::thread::hardware_concurrency()},
          {"memory", first_line_with("/proc/meminfo", "MemTotal:")},
          {"dpdk", rte_version()}};
}

json config_json(const Config& c) {
  static constexpr const char* kOrders[] = {"fifo", "deadline", "weighted"};
  json nfs = json::object(), chains = json::object(), flows = json::array(), ports = json::array();
  for (const NfConfig& nf : c.nfs)
    nfs[nf.name] = {{"image", nf.image}, {"idle", nf.pool.idle}, {"max", nf.pool.max}};
  for (const ChainConfig& chain : c.chains) {
    json names = json::array();
    for (NfId nf : chain.nfs) names.push_back(c.nfs[index(nf)].name);
    chains[chain.name] = names;
  }
  static constexpr const char* kBy[] = {"mac",     "vlan",       "src_ip", "dst_ip",
                                        "ip_pair", "five_tuple", "rule"};
  for (const FlowConfig& f : c.flows)
    flows.push_back({{"instance_per", kBy[static_cast<int>(f.instance_per)]},
                     {"chain", c.chains[index(f.chain)].name},
                     {"out", f.out ? json(c.ports[index(*f.out)].name) : json(nullptr)},
                     {"idle_ns", f.idle.n}});
  for (const PortConfig& p : c.ports) {
    json port = {{"name", p.name}};
    if (p.gen)
      port["gen"] = gen_json(*p.gen);
    else
      port["dev"] = p.dev.empty() ? p.pcap_in + ">" + p.pcap_out : p.dev;
    ports.push_back(port);
  }
  json cores = json::array();
  for (CoreId core : c.nf_cores) cores.push_back(raw(core));
  return {{"file", c.file}, {"name", c.name},
          {"cores", {{"vswitch", raw(c.vswitch_core)}, {"nfs", cores}}},
          {"packets", c.packets}, {"ring", c.ring_entries},
          {"wake",
           {{"dispatch", std::string(dispatch_name(c.dispatch))}, {"batch", c.wake.batch},
            {"adaptive", c.wake.adaptive},
            {"aging_ns", c.wake.aging == kNever ? json(nullptr) : json(c.wake.aging.n)},
            {"order", kOrders[static_cast<size_t>(c.baton.order)]}}},
          {"ports", ports}, {"nfs", nfs}, {"chains", chains}, {"flows", flows},
          {"tenants", c.tenants.size()}};
}

}  // namespace mayfly
