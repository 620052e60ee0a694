#include "runtime/keeper/preflight.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace mayfly {
namespace {

// A parked instance's own memory, kernel side included: 109 KiB measured with ordinary pages at
// 2,000 of them; up to 300 KiB once it has touched a large arena of 4 KiB pages.
constexpr uint64_t kInstanceBytes = 128 * 1024;
constexpr uint64_t kDataplaneBytes = 96ull << 20;  // DPDK, tables, stacks
constexpr uint64_t kProcessReserve = 32;           // keeper, dataplane threads, a shell
constexpr uint64_t kDescriptorsBase = 256;
constexpr uint64_t kSlotHeaderBytes = 512;

std::string mib(uint64_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

std::string at(const Config& config, uint32_t line) {
  return line == 0 ? config.file : absl::StrCat(config.file, ":", line);
}

bool starts_with(const std::string& text, const std::string& begin) {
  return text.compare(0, begin.size(), begin) == 0;
}

// A PCI address: [domain:]bus:device.function
bool is_pci(const std::string& dev) {
  const std::string address = dev.substr(0, dev.find(','));
  return !address.empty() && address.find(':') != std::string::npos &&
         address.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos;
}

void check_ports(const Config& config, const HostFacts& host, Preflight& out) {
  for (const PortConfig& port : config.ports) {
    const bool packet =
        starts_with(port.dev, "net_af_packet") || starts_with(port.dev, "net_af_xdp");
    const bool tap = starts_with(port.dev, "net_tap") || starts_with(port.dev, "virtio_user");
    const char* need = packet && !host.can_raw          ? "CAP_NET_RAW"
                       : tap && !host.can_net_admin     ? "CAP_NET_ADMIN"
                       : is_pci(port.dev) && !host.root ? "root"
                                                        : nullptr;
    if (need == nullptr) continue;
    out.errors.push_back(absl::StrCat(at(config, port.line), ": port '", port.name, "' (", port.dev,
                                      ") needs ", need,
                                      "; run as root, or use a gen, pcap, net_ring or net_memif "
                                      "port"));
  }
}

void check_cores(const Config& config, const HostFacts& host, Preflight& out) {
  std::vector<CoreId> wanted = config.nf_cores;
  wanted.insert(wanted.begin(), config.vswitch_core);
  const auto has = [](const std::vector<CoreId>& cores, CoreId c) {
    return std::find(cores.begin(), cores.end(), c) != cores.end();
  };
  std::set<CoreId> told;
  for (const CoreId core : wanted) {
    if (has(host.cores_usable, core) || !told.insert(core).second) continue;
    std::vector<int> usable;
    for (const CoreId c : host.cores_usable) usable.push_back(raw(c));
    out.errors.push_back(absl::StrCat(
        config.file, ": cores: core ", raw(core),
        has(host.cores_online, core) ? " is not in this process's cpuset" : " is not online",
        "; use of ", absl::StrJoin(usable, ", ")));
  }
}

void check_processes(const Config& config, const RunNeeds& needs, const HostFacts& host,
                     Preflight& out) {
  const ProcessRoom room = process_room(host);
  const uint64_t at_start = needs.processes_at_start + kProcessReserve;
  const uint64_t at_most = needs.processes_max + kProcessReserve;
  if (room.count < at_start) {
    out.errors.push_back(absl::StrCat(config.file, ": nfs: ", needs.processes_at_start,
                                      " NF processes at start, but ", room.limit, " leaves ",
                                      room.count, "; ", room.remedy, ", or lower pool.idle"));
  } else if (room.count < at_most) {
    out.notes.push_back(absl::StrCat("pools may grow to ", needs.processes_max, " processes, but ",
                                     room.limit, " leaves ", room.count, "; ", room.remedy));
  }
}

void check_descriptors(const Config& config, const RunNeeds& needs, const HostFacts& host,
                       Preflight& out) {
  if (host.descriptors_max >= needs.descriptors_max) return;
  out.errors.push_back(absl::StrCat(
      config.file, ": ", needs.descriptors_max, " descriptors are needed",
      config.dispatch == Dispatch::eventfd ? " (dispatch eventfd takes one an instance)" : "",
      ", but RLIMIT_NOFILE is ", host.descriptors_max, "; raise nofile in ",
      "/etc/security/limits.conf (systemd: LimitNOFILE=), or lower pool.max"));
}

void check_memory(const Config& config, const RunNeeds& needs, const HostFacts& host,
                  Preflight& out) {
  const uint64_t huge_free = host.huge.free * host.huge.page_bytes;
  const uint64_t shared = needs.arena_bytes + needs.control_bytes;
  if (config.hugepages == Huge::on && huge_free < shared) {
    out.errors.push_back(absl::StrCat(
        config.file, ": memory: hugepages: on needs ", mib(shared), " of huge pages, but ",
        mib(huge_free), " are free; sysctl -w vm.nr_hugepages=",
        host.huge.page_bytes == 0
            ? 0
            : host.huge.total + (shared - huge_free) / host.huge.page_bytes + 8,
        ", or use hugepages: auto"));
  }
  const bool on_huge = config.hugepages != Huge::off && huge_free >= shared;
  if (!on_huge && config.hugepages == Huge::automatic) {
    out.notes.push_back(absl::StrCat("ordinary pages: ", mib(shared), " of huge pages wanted, ",
                                     mib(huge_free), " free (see mayfly doctor)"));
  }
  const uint64_t ordinary = (on_huge ? 0 : shared) + kDataplaneBytes + needs.nf_bytes_at_start;
  if (ordinary > host.memory_available_bytes) {
    out.errors.push_back(absl::StrCat(
        config.file, ": about ", mib(ordinary), " of memory are needed at start, but ",
        mib(host.memory_available_bytes), " are available; lower memory.packets or pool.idle"));
  }
}

}  // namespace

RunNeeds run_needs(const Config& config) {
  RunNeeds needs;
  uint64_t slots = 0;
  for (const NfConfig& nf : config.nfs) {
    needs.processes_at_start += 1 + nf.pool.idle;
    needs.processes_max += 1 + nf.pool.max;
    needs.nf_bytes_at_start += nf.pool.idle * kInstanceBytes;
    slots += nf.pool.max;
  }
  needs.arena_bytes = uint64_t{config.packets} * kSmallBufferBytes +
                      uint64_t{config.jumbo_packets} * kJumboBufferBytes;
  // Slots and wake entries are sized for every pool's maximum, two rings of descriptors each.
  needs.control_bytes = slots * (kSlotHeaderBytes + 2 * 8 * uint64_t{config.ring_entries} + 64);
  if (config.downstream == Downstream::shared)
    needs.control_bytes += sizeof(SharedEntry) *
                           uint64_t{shared_ring_entries(config.packets + config.jumbo_packets,
                                                        static_cast<uint32_t>(slots))};
  needs.descriptors_max =
      kDescriptorsBase + config.nfs.size() * 4 + (config.dispatch == Dispatch::eventfd ? slots : 0);
  return needs;
}

Preflight check_before_start(const Config& config, const HostFacts& host) {
  Preflight out;
  const RunNeeds needs = run_needs(config);
  check_ports(config, host, out);
  check_cores(config, host, out);
  check_processes(config, needs, host, out);
  check_descriptors(config, needs, host, out);
  check_memory(config, needs, host, out);
  if (!host.root) {
    out.notes.push_back("not root: no af_packet, tap or PCI ports, no cgroups");
  }
  return out;
}

}  // namespace mayfly
