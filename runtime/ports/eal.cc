// DPDK's environment for the dataplane: one lcore, pinned; memory as the host has it.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "fmt/format.h"
#include "runtime/arena/memory.h"
#include "runtime/ports/dpdk_log.h"
#include "runtime/ports/eth_device.h"
#include "runtime/ports/port.h"

namespace mayfly {
namespace {

constexpr uint64_t kMbufBytes = 448;       // mbuf, its shared info, mempool header, ring entry
constexpr uint64_t kEalBytes = 64u << 20;  // device queues, memory zones, tables

uint64_t eal_bytes(const Config& config) {
  return kEalBytes + kMbufBytes * (uint64_t{config.packets} + config.jumbo_packets);
}

uint64_t pages_wanted(const Config& config) {
  const uint64_t arena = uint64_t{config.packets} * kSmallBufferBytes +
                         uint64_t{config.jumbo_packets} * kJumboBufferBytes;
  return (arena + eal_bytes(config)) / kHugePageBytes + 2;
}

absl::StatusOr<bool> decide_huge(const Config& config) {
  if (config.hugepages == Huge::off) return false;
  const uint64_t wanted = pages_wanted(config);
  const uint64_t free = free_huge_pages();
  if (free >= wanted) return true;
  if (config.hugepages == Huge::automatic) return false;
  return absl::FailedPreconditionError(
      fmt::format("{}: hugepages: on, but only {} free pages of 2 MiB of the {} needed; raise "
                  "/proc/sys/vm/nr_hugepages or set hugepages: auto",
                  config.file, free, wanted));
}

absl::Status check_core(const Config& config) {
  const uint32_t core = raw(config.vswitch_core);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  if (core < CPU_SETSIZE && CPU_ISSET(core, &allowed)) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{}: cores.vswitch: CPU {} is not there or not allowed to this process; `nproc` and "
      "`taskset -p $$` show which are",
      config.file, core));
}

}  // namespace

absl::Status start_eal(const Config& config, const std::string& file_prefix) {
  if (absl::Status s = check_core(config); !s.ok()) return s;
  const absl::StatusOr<bool> huge = decide_huge(config);
  if (!huge.ok()) return huge.status();

  std::vector<std::string> args = {
      "mayfly", fmt::format("--lcores=0@{}", raw(config.vswitch_core)),
      "--file-prefix=" + file_prefix, "--log-level=error",
      // The arena is known to devices by its virtual addresses; a NIC needs an IOMMU for that.
      "--iova-mode=va"};
  if (*huge) {
    args.push_back("--in-memory");
  } else {
    // EAL refuses --in-memory together with --no-huge.
    args.insert(args.end(),
                {"--no-huge", "--no-shconf", fmt::format("-m {}", (eal_bytes(config) >> 20) + 1)});
  }
  if (std::none_of(config.ports.begin(), config.ports.end(),
                   [](const PortConfig& p) { return is_pci_address(p.dev); })) {
    args.push_back("--no-pci");
  }
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);

  DpdkLogCapture log;
  if (rte_eal_init(static_cast<int>(args.size()), argv.data()) < 0) {
    return absl::InternalError(
        fmt::format("DPDK does not start: {} ({}); `mayfly doctor` checks "
                    "the host",
                    log.first_line(), rte_strerror(rte_errno)));
  }
  return absl::OkStatus();
}

void stop_eal() {
  // Not rte_eal_cleanup(): it closes devices that are to be left open, and frees nothing that the
  // end of the process does not.
  std::error_code ignored;
  std::filesystem::remove_all(rte_eal_get_runtime_dir(), ignored);
}

}  // namespace mayfly
