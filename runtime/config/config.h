// The validated configuration: what config.yaml becomes, with every default filled in, every
// reference resolved to an index and every unit converted. docs/config.md lists every key.
//
// parse_config() reports the first error as one line: "FILE:LINE: what is wrong with VALUE; what
// would be right". The struct crosses from keeper to dataplane as CBOR (to_cbor / from_cbor).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "flowdir/rules.h"
#include "runtime/abi/region.h"
#include "runtime/base/types.h"

namespace mayfly {

inline constexpr Nanos kNever{INT64_MAX};  // `aging: off`

enum class SizeMix : uint8_t { fixed, imix, web };  // web: BESS/ClickOS paper, median about 120 B
enum class Arrival : uint8_t { constant, poisson, bursts };
enum class FlowOrder : uint8_t { round_robin, uniform, zipf };
enum class EmptyPool : uint8_t { queue, share, bypass, drop };
enum class Huge : uint8_t { automatic, on, off };

struct GenConfig {
  uint32_t flows = 1000;
  SizeMix mix = SizeMix::fixed;
  uint32_t size_bytes = 64;  // fixed: frame bytes without FCS, 60..65535
  double rate_pps = 1e6;     // 0: as fast as the vSwitch takes them ("max")
  Arrival arrival = Arrival::constant;
  Nanos on = millis(1), off = millis(9);  // bursts; rate_pps is the mean over both
  FlowOrder order = FlowOrder::round_robin;
  double zipf = 1.0;  // exponent: flow k is drawn with a weight of 1 / (k + 1)^zipf
  uint64_t seed = 1;
  uint16_t first_vlan = 0;  // nonzero: flow i carries VLAN tag first_vlan + i
};

struct PortConfig {
  std::string name;
  std::string dev;  // DPDK device string or PCI address; empty: gen or pcap
  std::optional<GenConfig> gen;
  std::string pcap_in, pcap_out;  // built-in capture reader and writer (`pcap: {in, out}`)
  uint32_t line = 0;              // where in the file, for later errors
};

struct WakeConfig {
  uint32_t batch = 8;  // packets; ignored when adaptive
  bool adaptive = false;
  Nanos aging = micros(200);  // kNever: off
  uint32_t weight = 100;      // wake.baton.order: weighted
  bool operator==(const WakeConfig&) const = default;
};

struct PoolConfig {
  uint32_t idle = 64;   // low-water mark of idle instances
  uint32_t max = 1024;  // instances at most
  EmptyPool empty = EmptyPool::queue;
};

// One argument after validation: a number, or text (a file's content for file arguments).
struct ArgValue {
  std::string name;
  bool is_number = false;
  uint64_t number = 0;
  std::string text;
  std::string file;  // where a file argument was read, for errors
};

struct NfConfig {
  std::string name;
  std::string image;       // as given
  std::string image_path;  // resolved shared object
  PoolConfig pool;
  std::optional<WakeConfig> wake;
  std::vector<ArgValue> args;   // every argument of the image, defaults included
  std::vector<uint8_t> blob;    // args compiled
  uint64_t tick_period_ns = 0;  // from the image
  uint32_t blank_buffers = 0;   // from the image
  uint32_t line = 0;
};

struct ChainConfig {
  std::string name;
  std::vector<NfId> nfs;  // 1..16
  std::optional<WakeConfig> wake;
};

struct FlowConfig {  // one entry of `flows:`
  Match match;
  KeyBy instance_per = KeyBy::rule;
  std::optional<KeyBy> tenant_by;  // default: instance_per where that names one side
  ChainId chain{};
  std::optional<PortId> out;  // none: the chain must send packets out itself
  Nanos idle = seconds(30);   // after the last packet
  Nanos linger = seconds(2);  // after FIN or RST
  bool tenants_only = false;  // `tenants: required`: others are dropped as `no_tenant`
  uint32_t line = 0;
};

struct TenantNfArgs {
  NfId nf{};
  std::vector<ArgValue> args;  // merged over the NF's own: complete
  std::vector<uint8_t> blob;
};

struct TenantConfig {
  std::string name;
  InstanceKey key;                // kind mac, vlan or address
  std::optional<ChainId> chain;   // instead of the rule's
  uint32_t weight = 100;          // of its instances, on top of the NF's
  std::vector<TenantNfArgs> nfs;  // only the NFs it gives arguments for
  uint32_t line = 0;
};

// What the vSwitch lcore does when there is nothing to do.
enum class VSwitchIdle : uint8_t { poll, sleep };

// wake.baton
enum class BatonOrder : uint8_t { fifo, deadline, weighted };
struct BatonConfig {
  uint32_t budget = 256;         // packets an NF may process in a row while others wait
  Nanos idle = micros(200);      // a holder without work polls that long, then parks
  Nanos slice = millis(2);       // own CPU time while others wait: then it is revoked
  bool eager = true;             // no waiting for a batch while the core is nearly idle
  uint32_t restart_after = 50;   // overruns without a pause: then the NF is restarted; 0: never
  bool balance = true;           // instances move from busy NF cores to idle ones
  BatonOrder order = BatonOrder::fifo;
};

struct Config {
  std::string file;              // for messages
  std::string name = "default";  // of the run: socket and run directory
  CoreId vswitch_core{0};
  VSwitchIdle vswitch_idle = VSwitchIdle::poll;
  std::vector<CoreId> nf_cores{CoreId{1}};
  uint32_t packets = 65536;  // small buffers
  uint32_t jumbo_packets = 64;
  uint64_t bind_bytes = 16u << 20;  // `memory.bind`
  Huge hugepages = Huge::automatic;
  uint32_t ring_entries = kRingEntriesDefault;
  uint32_t flow_count_max = 1u << 20;  // `flow_table`
  uint32_t tenant_packets = 0;         // `tenant.packets`; 0 in the file's absence: packets / 4
  Dispatch dispatch = Dispatch::futex;
  Downstream downstream = Downstream::per_nf;
  WakeConfig wake;
  BatonConfig baton;
  std::vector<PortConfig> ports;
  std::vector<NfConfig> nfs;
  std::vector<ChainConfig> chains;
  std::vector<FlowConfig> flows;
  std::vector<TenantConfig> tenants;
};

// When NFs are woken: for all, for a chain, for an NF. A run begins with what the file says, and
// may change it.
struct WakeSettings {
  WakeConfig all;
  std::vector<std::optional<WakeConfig>> chains, nfs;  // by ChainId, by NfId
};
WakeSettings wake_settings_of(const Config& config);
// What an NF at this place of this chain is woken by: the NF's own `wake`, else the chain's, else
// the global one.
WakeConfig wake_of(const Config& config, const WakeSettings& settings, ChainId chain,
                   uint32_t position);
WakeConfig wake_of(const Config& config, ChainId chain, uint32_t position);

std::vector<uint8_t> to_cbor(const Config& config);
absl::StatusOr<Config> from_cbor(const std::vector<uint8_t>& bytes);

}  // namespace mayfly
