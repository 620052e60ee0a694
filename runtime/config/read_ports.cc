// ports: DPDK devices, the built-in source, capture files.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/limits.h"
#include "runtime/config/files.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

constexpr uint32_t kGenFlowCountMax = 1u << 24;
constexpr uint32_t kVlanMax = 4094;
constexpr uint32_t kFrameBytesMin = 60;
constexpr uint32_t kFrameBytesMax = kJumboBufferBytes - 1 - kHeadroomBytes;

void read_gen_size(const Value& value, GenConfig& gen) {
  if (!value) return;
  const std::string given = value.is(YamlKind::scalar) ? value.node()->text : "";
  if (given == "imix" || given == "web") {
    gen.mix = given == "imix" ? SizeMix::imix : SizeMix::web;
  } else if (!given.empty() && given.find_first_not_of("0123456789") != std::string::npos &&
             given[0] >= '0' && given[0] <= '9') {
    gen.size_bytes = static_cast<uint32_t>(value.size(kFrameBytesMin, kFrameBytesMax));
  } else if (!given.empty() && (given[0] < '0' || given[0] > '9')) {
    value.error(fmt::format("\"{}\" is not known here; use a number of bytes, imix or web", given));
  } else {
    gen.size_bytes = static_cast<uint32_t>(value.integer(kFrameBytesMin, kFrameBytesMax));
  }
}

// constant, poisson, or {on: DURATION, off: DURATION}.
void read_arrival(const Value& value, GenConfig& gen) {
  if (!value) return;
  constexpr Nanos kLeast = micros(1), kMost = seconds(10);
  if (value.is(YamlKind::map)) {
    gen.arrival = Arrival::bursts;
    const Map map(value, {"on", "off"});
    if (const Value v = map.required("on", "1ms")) gen.on = v.duration(kLeast, kMost);
    if (const Value v = map.required("off", "9ms")) gen.off = v.duration(kLeast, kMost);
    return;
  }
  const char* known = "constant, poisson or bursts such as {on: 1ms, off: 9ms}";
  const std::string given = value.text(known);
  if (!value.source().ok()) return;
  if (given == "constant" || given == "poisson")
    gen.arrival = given == "constant" ? Arrival::constant : Arrival::poisson;
  else
    value.error(fmt::format("\"{}\" is not known here; use {}", given, known));
}

void read_order(const Map& map, GenConfig& gen) {
  static constexpr Word<FlowOrder> kOrder[] = {{"round_robin", FlowOrder::round_robin},
                                               {"uniform", FlowOrder::uniform},
                                               {"zipf", FlowOrder::zipf}};
  constexpr double kExponentMin = 0.01, kExponentMax = 10;
  if (const Value v = map["order"]) gen.order = v.word(kOrder);
  if (const Value v = map["zipf"]) {
    gen.zipf = v.number(kExponentMin, kExponentMax);
    if (v.source().ok() && gen.order != FlowOrder::zipf)
      v.error("an exponent counts for Zipf popularity only; write order: zipf with it");
  }
}

GenConfig read_gen(const Value& value) {
  GenConfig gen;
  const Map map(value, {"flows", "size", "rate", "arrival", "order", "zipf", "seed", "first_vlan"});
  if (const Value v = map["flows"])
    gen.flows = static_cast<uint32_t>(v.integer(1, kGenFlowCountMax));
  read_gen_size(map["size"], gen);
  if (const Value v = map["rate"]) gen.rate_pps = v.packet_rate();
  read_arrival(map["arrival"], gen);
  read_order(map, gen);
  if (const Value v = map["seed"]) gen.seed = v.integer(0, UINT64_MAX);
  if (const Value v = map["first_vlan"]) {
    gen.first_vlan = static_cast<uint16_t>(v.integer(1, kVlanMax));
    if (v.source().ok() && gen.first_vlan + gen.flows - 1 > kVlanMax)
      v.error(fmt::format("{} flows from VLAN {} on end above {}; write at most {} flows",
                          gen.flows, gen.first_vlan, kVlanMax, kVlanMax + 1 - gen.first_vlan));
  }
  return gen;
}

void read_pcap(const Value& value, PortConfig& port) {
  const Map map(value, {"in", "out"});
  const std::string& dir = value.source().dir;
  if (const Value v = map["in"]) {
    port.pcap_in = path_from(dir, v.text("a file name"));
    struct stat info {};
    if (!v.source().ok()) return;
    if (stat(port.pcap_in.c_str(), &info) != 0 || access(port.pcap_in.c_str(), R_OK) != 0)
      v.error(fmt::format("{}: {}", port.pcap_in, std::strerror(errno)));
    else if (!S_ISREG(info.st_mode))
      v.error(fmt::format("{}: not a regular file", port.pcap_in));
  }
  if (const Value v = map["out"]) {
    port.pcap_out = path_from(dir, v.text("a file name"));
    if (!v.source().ok()) return;
    const std::string out_dir = dir_of(port.pcap_out);
    struct stat info {};
    if (!out_dir.empty() && (stat(out_dir.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)))
      v.error(fmt::format("there is no directory {}", out_dir));
  }
  if (value.is(YamlKind::map) && port.pcap_in.empty() && port.pcap_out.empty())
    value.error("neither in nor out; write for example pcap: {in: a.pcap, out: b.pcap}");
}

// "net_tap0,iface=x" -> "net_tap0": DPDK tells devices apart by it.
std::string_view device_of(std::string_view dev) { return dev.substr(0, dev.find(',')); }

// Two ports may not share a name, a device or a file that is written.
void refuse_twins(const PortConfig& port, const Value& where, const Config& config) {
  for (const PortConfig& other : config.ports) {
    if (other.name == port.name)
      where.error(
          fmt::format("\"{}\" is already the name of the port on line {}", port.name, other.line));
    if (!port.dev.empty() && device_of(other.dev) == device_of(port.dev))
      where.error(fmt::format("device \"{}\" is already used by port {} on line {}",
                              device_of(port.dev), other.name, other.line));
    if (!port.pcap_out.empty() &&
        (port.pcap_out == other.pcap_out || port.pcap_out == other.pcap_in))
      where.error(fmt::format("file \"{}\" is already used by port {} on line {}", port.pcap_out,
                              other.name, other.line));
  }
  if (!port.pcap_out.empty() && port.pcap_out == port.pcap_in)
    where.error("in and out are the same file");
}

PortConfig read_port(const Value& value) {
  PortConfig port;
  port.line = value.line();
  const Map map(value, {"name", "dev", "gen", "pcap"});
  if (const Value v = map.required("name", "lan")) port.name = v.name();
  const Value dev = map["dev"], gen = map["gen"], pcap = map["pcap"];
  if (static_cast<int>(static_cast<bool>(dev)) + static_cast<bool>(gen) + static_cast<bool>(pcap) !=
      1)
    value.error(fmt::format("port {} needs exactly one of dev, gen and pcap", port.name));
  if (dev) {
    port.dev = dev.text("a DPDK device, for example \"net_tap0,iface=tap0\"");
    if (value.source().ok() && device_of(port.dev).empty())
      dev.error("the device has no name; write for example \"net_tap0,iface=tap0\"");
  }
  if (gen) port.gen = read_gen(gen);
  if (pcap) read_pcap(pcap, port);
  return port;
}

}  // namespace

void read_ports(const Value& value, Config& config) {
  for (const Value& item : value.list("port", 1, kPortCountMax)) {
    PortConfig port = read_port(item);
    if (!item.source().ok()) return;
    refuse_twins(port, item, config);
    config.ports.push_back(std::move(port));
  }
}

}  // namespace mayfly
