// cores, memory, sizes and the global wake.
#include <fmt/format.h>
#include <sched.h>

#include <bit>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>

#include "runtime/base/limits.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

constexpr uint32_t kCpuCountMax = 4096;

// The numbers in "0-3,8": /sys/devices/system/cpu/online. Empty if unknown.
std::set<uint32_t> online_cpus() {
  std::ifstream file("/sys/devices/system/cpu/online");
  std::set<uint32_t> cpus;
  std::string range;
  while (std::getline(file, range, ',')) {
    uint32_t first = 0;
    const auto [end, error] = std::from_chars(range.data(), range.data() + range.size(), first);
    if (error != std::errc{}) break;
    uint32_t last = first;
    if (end < range.data() + range.size() && *end == '-')
      std::from_chars(end + 1, range.data() + range.size(), last);
    for (uint32_t cpu = first; cpu <= last && cpu < kCpuCountMax; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

uint32_t read_cpu(const Value& value, const std::set<uint32_t>& online) {
  const auto cpu = static_cast<uint32_t>(value.integer(0, kCpuCountMax - 1));
  if (value.source().ok() && !online.empty() && !online.contains(cpu))
    value.error(fmt::format("CPU {} is not online; this host has {} of them, the last is {}", cpu,
                            online.size(), *online.rbegin()));
  return cpu;
}

// `wished` if this process may run there; else the first CPU that it may use and that is not
// `taken`; else, on a host with one CPU, that one.
CoreId default_cpu(uint32_t wished, std::optional<uint32_t> taken) {
  cpu_set_t usable;
  const auto core = [](uint32_t cpu) { return CoreId{static_cast<uint16_t>(cpu)}; };
  if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return core(wished);
  if (wished != taken && CPU_ISSET(wished, &usable)) return core(wished);
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (cpu != taken && CPU_ISSET(cpu, &usable)) return core(cpu);
  return core(taken.value_or(wished));
}

// Whether this process may use them, and what sharing one costs, is for the keeper to say.
void read_cores(const Value& value, Config& config) {
  const std::set<uint32_t> online = online_cpus();
  const Map map(value, {"vswitch", "nfs"});
  config.vswitch_core = default_cpu(0, std::nullopt);
  if (const Value v = map["vswitch"])
    config.vswitch_core = CoreId{static_cast<uint16_t>(read_cpu(v, online))};
  config.nf_cores = {default_cpu(1, raw(config.vswitch_core))};
  const Value nfs = map["nfs"];
  if (!nfs) return;
  config.nf_cores.clear();
  std::set<uint32_t> seen;
  for (const Value& item : nfs.list("cores.nfs", 1, kCpuCountMax)) {
    const uint32_t cpu = read_cpu(item, online);
    if (!item.source().ok()) return;
    if (!seen.insert(cpu).second) item.error(fmt::format("CPU {} is there twice", cpu));
    config.nf_cores.push_back(CoreId{static_cast<uint16_t>(cpu)});
  }
}

void read_memory(const Value& value, Config& config) {
  static constexpr Word<Huge> kHuge[] = {
      {"auto", Huge::automatic}, {"on", Huge::on}, {"off", Huge::off}};
  constexpr uint32_t kBuffersMax = 1u << kBufferIndexBits;
  constexpr uint32_t kJumboMax = 65536;
  const Map map(value, {"packets", "jumbo", "hugepages", "bind"});
  if (const Value v = map["jumbo"])
    config.jumbo_packets = static_cast<uint32_t>(v.integer(0, kJumboMax));
  if (const Value v = map["packets"])
    config.packets = static_cast<uint32_t>(v.integer(1024, kBuffersMax - config.jumbo_packets));
  if (const Value v = map["hugepages"]) config.hugepages = v.word(kHuge);
  // A bind offset is 32 bits.
  if (const Value v = map["bind"]) config.bind_bytes = v.size(1u << 20, 2u << 30);
}

void read_ring(const Value& value, Config& config) {
  if (!value) return;
  const auto entries = static_cast<uint32_t>(value.integer(kRingEntriesMin, kRingEntriesMax));
  if (value.source().ok() && !std::has_single_bit(entries))
    value.error(fmt::format("{} is not a power of two; write {} or {}", entries,
                            std::bit_floor(entries), std::bit_ceil(entries)));
  config.ring_entries = entries;
}

void read_downstream(const Value& value, Config& config) {
  static constexpr Word<Downstream> kWords[] = {{"per_nf", Downstream::per_nf},
                                                {"shared", Downstream::shared}};
  if (value) config.downstream = value.word(kWords);
}

void read_vswitch(const Value& value, Config& config) {
  static constexpr Word<VSwitchIdle> kWords[] = {{"poll", VSwitchIdle::poll},
                                                 {"sleep", VSwitchIdle::sleep}};
  const Map map(value, {"idle"});
  if (const Value v = map["idle"]) config.vswitch_idle = v.word(kWords);
}

void read_baton(const Value& value, BatonConfig& baton) {
  static constexpr Word<BatonOrder> kOrders[] = {{"fifo", BatonOrder::fifo},
                                                 {"deadline", BatonOrder::deadline},
                                                 {"weighted", BatonOrder::weighted}};
  const Map map(value, {"budget", "idle", "slice", "eager", "order", "balance",
                         "restart_after"});
  if (const Value v = map["order"]) baton.order = v.word(kOrders);
  if (const Value v = map["budget"]) baton.budget = static_cast<uint32_t>(v.integer(1, 65536));
  if (const Value v = map["idle"]) baton.idle = v.duration(Nanos{0}, seconds(10));
  if (const Value v = map["slice"]) baton.slice = v.duration(micros(100), seconds(10));
  if (const Value v = map["eager"]) baton.eager = v.boolean();
  if (const Value v = map["restart_after"])
    baton.restart_after = static_cast<uint32_t>(v.integer(0, 1'000'000));
  if (const Value v = map["balance"]) baton.balance = v.boolean();
}

}  // namespace

uint32_t read_weight(const Value& value, bool weighted) {
  if (!weighted)
    value.error(
        "a weight counts in one order only; write wake: {dispatch: baton, baton: {order: weighted}}, "
        "or leave it out");
  return static_cast<uint32_t>(value.integer(1, kWeightMax));
}

WakeConfig read_wake(const Value& value, const WakeConfig& inherited, uint32_t ring_entries,
                     Dispatch* dispatch, BatonConfig* baton, bool weighted) {
  WakeConfig wake = inherited;
  const Map map(value, {"dispatch", "batch", "aging", "weight", "baton"});
  if (const Value v = map["baton"]) {
    if (baton == nullptr)
      v.error("the baton is one for all; move it to the wake: at the top");
    else
      read_baton(v, *baton);
  }
  if (const Value v = map["dispatch"]) {
    static constexpr Word<Dispatch> kWords[] = {{"futex", Dispatch::futex},
                                                {"eventfd", Dispatch::eventfd},
                                                {"semaphore", Dispatch::semaphore},
                                                {"poll", Dispatch::poll},
                                                {"uring", Dispatch::uring},
                                                {"baton", Dispatch::baton}};
    if (dispatch == nullptr)
      v.error("the dispatch is one for all; move it to the wake: at the top");
    else
      *dispatch = v.word(kWords);
  }
  if (const Value v = map["weight"]) {
    if (dispatch != nullptr)
      v.error("one weight for all orders nobody; give it to an NF, a chain or a tenant");
    else
      wake.weight = read_weight(v, weighted);
  }
  if (const Value v = map["batch"]) {
    wake.adaptive = v.is(YamlKind::scalar) && v.node()->text == "adaptive";
    // An instance holds at most a ring less one, less its blank buffers: a larger batch would
    // never be complete.
    if (!wake.adaptive)
      wake.batch = static_cast<uint32_t>(v.integer(1, ring_entries - 1 - kLoanCountMax));
  }
  if (const Value v = map["aging"])
    wake.aging = v.duration(micros(1), seconds(10), /*may_be_off=*/true);
  return wake;
}

void read_host(const Map& root, Config& config) {
  read_vswitch(root["vswitch"], config);
  if (const Value v = root["name"]) config.name = v.name();
  read_cores(root["cores"], config);
  read_memory(root["memory"], config);
  read_ring(root["ring"], config);
  read_downstream(root["downstream"], config);
  if (const Value v = root["flow_table"])
    config.flow_count_max = static_cast<uint32_t>(v.integer(1024, kFlowCountMax));
  config.tenant_packets = config.packets / 4;
  const Map tenant(root["tenant"], {"packets"});
  if (const Value v = tenant["packets"])
    config.tenant_packets = static_cast<uint32_t>(v.integer(1, config.packets));
  config.wake = read_wake(root["wake"], WakeConfig{}, config.ring_entries, &config.dispatch,
                          &config.baton, false);
}

}  // namespace mayfly
