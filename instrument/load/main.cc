// mayfly-load: offers traffic to something that forwards packets, and measures what comes back.
// `mayfly compare` runs it; it says "ready" (and before that "listening", if it waits for a peer),
// then takes orders, one a line, and answers each with one line of JSON:
//
//   rate PPS | rate max | rate 0     offer so many packets a second from now on
//   window                           a measuring window begins
//   read                             figures since it began
//
// It ends when its standard input does. Exit codes: 1 failed, 2 bad arguments.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "fmt/format.h"
#include "instrument/load/engine.h"
#include "instrument/load/memif_wire.h"
#include "instrument/load/raw_wire.h"
#include "nlohmann/json.hpp"

namespace mayfly::load {
namespace {

using Json = nlohmann::json;

// --name value pairs.
class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) values_[argv[i]] = argv[i + 1];
    if (argc % 2 == 0) bad(argv[argc - 1], "has no value");
  }
  std::string text(const std::string& name, const std::string& otherwise) {
    const auto it = values_.find(name);
    if (it == values_.end()) return otherwise;
    std::string value = it->second;
    values_.erase(it);
    return value;
  }
  int number(const std::string& name, int otherwise, int least, int most) {
    const std::string value = text(name, std::to_string(otherwise));
    int n = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc() || end != value.data() + value.size() || n < least || n > most)
      bad(name, fmt::format("is \"{}\"; it takes {} to {}", value, least, most));
    return n;
  }
  std::string one_of(const std::string& name, const std::string& otherwise,
                     std::initializer_list<const char*> known) {
    std::string value = text(name, otherwise), names;
    for (const char* k : known) {
      if (value == k) return value;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", k);
    }
    bad(name, fmt::format("is \"{}\"; it takes {}", value, names));
  }
  void done() {
    if (!values_.empty()) bad(values_.begin()->first, "is no option of mayfly-load");
  }
  [[noreturn]] static void bad(const std::string& name, const std::string& why) {
    fmt::print(stderr, "mayfly-load: {} {}\n", name, why);
    std::exit(2);
  }

 private:
  std::map<std::string, std::string> values_;
};

GenConfig traffic_of(Arguments& arguments) {
  GenConfig traffic;
  traffic.flows = static_cast<uint32_t>(arguments.number("--tenants", 1, 1, 1 << 20));
  const std::string size = arguments.text("--size", "64");
  traffic.mix = size == "imix" ? SizeMix::imix : size == "web" ? SizeMix::web : SizeMix::fixed;
  if (traffic.mix == SizeMix::fixed) {
    uint32_t bytes = 0;
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
    if (error != std::errc() || end != size.data() + size.size() || bytes < kFrameBytesMin ||
        bytes > kFrameBytesMax) {
      Arguments::bad("--size", fmt::format("is \"{}\"; it takes {} to {}, imix or web", size,
                                           kFrameBytesMin, kFrameBytesMax));
    }
    traffic.size_bytes = bytes;
  }
  traffic.arrival = arguments.one_of("--arrival", "constant", {"constant", "poisson"}) == "poisson"
                        ? Arrival::poisson
                        : Arrival::constant;
  traffic.order =
      arguments.one_of("--order", "round_robin", {"round_robin", "uniform"}) == "uniform"
          ? FlowOrder::uniform
          : FlowOrder::round_robin;
  traffic.seed = static_cast<uint64_t>(arguments.number("--seed", 1, 0, 1 << 30));
  return traffic;
}

Json json_of(const Engine::Figures& f, uint64_t tsc_hz) {
  const double us = 1e6 / static_cast<double>(tsc_hz);
  const auto cycles = static_cast<double>(f.sent.ended_tsc - f.sent.began_tsc);
  const double seconds = cycles / static_cast<double>(tsc_hz);
  const Histogram& h = f.received.latency;
  const auto at = [&](double q) { return static_cast<double>(h.quantile(q)) * us; };
  Json buckets = Json::array();
  h.for_each([&](uint64_t upper, uint64_t count) {
    buckets.push_back({static_cast<double>(upper) * us, count});
  });
  return {{"seconds", seconds},
          {"offered", f.sent.offered},
          {"taken", f.sent.taken},
          {"late", f.sent.late},
          {"received", f.received.packets},
          {"received_bytes", f.received.bytes},
          {"missed", f.missed},
          {"tenants", f.received.tenants},
          {"busy", 1 - static_cast<double>(f.sent.idle_cycles) / cycles},
          {"latency_us",
           {{"count", h.count()},
            {"mean", h.mean() * us},
            {"p50", at(0.5)},
            {"p90", at(0.9)},
            {"p99", at(0.99)},
            {"p999", at(0.999)},
            {"max", static_cast<double>(h.max()) * us}}},
          {"latency_buckets", std::move(buckets)}};
}

Json answer(Engine& engine, const std::string& line, uint64_t tsc_hz) {
  if (line == "window") {
    engine.begin();
    return Json::object();
  }
  if (line == "read") return json_of(engine.read(), tsc_hz);
  if (line == "rate max") {
    engine.set_rate(0);
    return Json::object();
  }
  if (line.starts_with("rate ")) {
    double pps = 0;
    const auto [end, error] = std::from_chars(line.data() + 5, line.data() + line.size(), pps);
    if (error == std::errc() && end == line.data() + line.size() && pps >= 0 && pps <= 1e9) {
      engine.set_rate(pps > 0 ? pps : -1);
      return Json::object();
    }
  }
  return {{"error", "\"" + line + "\": orders are rate PPS, rate max, window, read"}};
}

absl::StatusOr<std::unique_ptr<Wire>> open_wire(Arguments& arguments, uint32_t tenant_count,
                                                int cpu) {
  const std::string source = arguments.text("--source-netns", "");
  const std::string sink = arguments.text("--sink-netns", "");
  const std::string interface = arguments.text("--interface", "t");
  const std::string socket = arguments.text("--memif", "");
  const std::string prefix = arguments.text("--file-prefix", "");
  const bool huge = arguments.one_of("--huge-pages", "no", {"yes", "no"}) == "yes";
  arguments.done();
  if (socket.empty() == (source.empty() || sink.empty()))
    Arguments::bad("--memif", "or --source-netns and --sink-netns must be given, not both");
  if (socket.empty()) return open_raw({source, sink, interface, tenant_count});
  return open_memif({socket, prefix, huge, cpu});
}

int main(int argc, char** argv) {
  Arguments arguments(argc, argv);
  Engine::Plan plan;
  plan.traffic = traffic_of(arguments);
  const int cpu_max = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)) - 1;
  plan.source_cpu = arguments.number("--cpu", 0, 0, cpu_max);
  plan.sink_cpu = arguments.number("--sink-cpu", -1, -1, cpu_max);
  absl::StatusOr<std::unique_ptr<Wire>> wire =
      open_wire(arguments, plan.traffic.flows, plan.source_cpu);
  if (!wire.ok()) {
    fmt::print(stderr, "mayfly-load: {}\n", std::string(wire.status().message()));
    return 1;
  }
  const uint64_t tsc_hz = measure_tsc_hz();
  Engine engine(plan, *std::move(wire), tsc_hz);
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << answer(engine, line, tsc_hz).dump() << std::endl;
  return 0;
}

}  // namespace
}  // namespace mayfly::load

int main(int argc, char** argv) { return mayfly::load::main(argc, argv); }
