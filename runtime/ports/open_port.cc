#include "fmt/format.h"
#include "runtime/ports/eth_port.h"
#include "runtime/ports/gen_port.h"
#include "runtime/ports/pcap_port.h"
#include "runtime/ports/port.h"

namespace mayfly {
namespace {

absl::StatusOr<std::unique_ptr<Port>> open_any(const PortConfig& config, PortId id, Arena& arena,
                                               uint64_t tsc_hz) {
  if (config.gen) return GenPort::open(config, id, arena, tsc_hz);
  if (!config.pcap_in.empty() || !config.pcap_out.empty()) {
    return PcapPort::open(config, id, arena, tsc_hz);
  }
  return EthPort::open(config, id, arena);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> open_port(const PortConfig& config, PortId id, Arena& arena,
                                                uint64_t tsc_hz) {
  absl::StatusOr<std::unique_ptr<Port>> port = open_any(config, id, arena, tsc_hz);
  if (port.ok()) return port;
  const std::string what = config.gen ? "gen" : config.dev.empty() ? "pcap" : config.dev;
  const absl::Status& s = port.status();
  return absl::Status(s.code(),
                      fmt::format("port {} ({}): {}", config.name, what, std::string(s.message())));
}

}  // namespace mayfly
