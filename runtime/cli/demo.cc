#include "runtime/cli/demo.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "runtime/base/limits.h"

namespace mayfly {
namespace {

constexpr uint64_t kProcessReserve = 64;
constexpr uint64_t kDescriptorReserve = 320;
constexpr uint64_t kInstanceBytes = 300 * 1024;          // with ordinary pages, the arena touched
constexpr uint64_t kEverythingElseBytes = 320ull << 20;  // arena, DPDK, tables
constexpr uint32_t kTenantsMax = 100'000;

// signature, counter, signature, ...: the workload of the tiny-NF paper, then a cheap one.
struct DemoNf {
  const char* name;
  const char* image;
};
constexpr DemoNf kDemoNfs[2] = {{"sig", "signature"}, {"cnt", "counter"}};

uint32_t occurrences(uint32_t chain, uint32_t which) { return (chain + 1 - which) / 2; }

}  // namespace

absl::StatusOr<DemoPlan> plan_demo(DemoPlan plan, const HostFacts& host) {
  if (plan.chain < 1 || plan.chain > kChainNfCountMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--chain ", plan.chain, ": a chain has 1 to ", kChainNfCountMax, " NFs"));
  }
  if (plan.tenants < 1 || plan.tenants > kTenantsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tenants ", plan.tenants, ": give 1 to ", kTenantsMax));
  }
  if (host.cores_usable.size() < 2) {
    return absl::ResourceExhaustedError(
        "one usable core is too few: the vSwitch never sleeps and needs one of its own beside the "
        "NFs' (see mayfly doctor)");
  }
  plan.vswitch_core = raw(host.cores_usable[0]);
  plan.nf_core = raw(host.cores_usable[1]);

  const auto reduce = [&](uint64_t instances, const std::string& why) -> absl::Status {
    const uint64_t tenants = instances / plan.chain;
    if (tenants >= plan.tenants) return absl::OkStatus();
    if (tenants == 0) {
      return absl::ResourceExhaustedError(absl::StrCat("not even one tenant fits: ", why));
    }
    plan.notes.push_back(fmt::format("{} tenants instead of {}: {}", tenants, plan.tenants, why));
    plan.tenants = static_cast<uint32_t>(tenants);
    return absl::OkStatus();
  };
  const ProcessRoom room = process_room(host);
  const uint64_t processes = room.count > kProcessReserve ? room.count - kProcessReserve : 0;
  if (auto status = reduce(
          std::min<uint64_t>(processes, kSlotCountMax),
          absl::StrCat(room.limit, " leaves ", room.count, " processes (", room.remedy, ")"));
      !status.ok()) {
    return status;
  }
  const uint64_t memory = host.memory_available_bytes > kEverythingElseBytes
                              ? host.memory_available_bytes - kEverythingElseBytes
                              : 0;
  if (auto status = reduce(memory / kInstanceBytes,
                           absl::StrCat(host.memory_available_bytes >> 20, " MiB available"));
      !status.ok()) {
    return status;
  }
  if (plan.dispatch == "eventfd" && host.descriptors_max != kUnlimited) {
    const uint64_t fds =
        host.descriptors_max > kDescriptorReserve ? host.descriptors_max - kDescriptorReserve : 0;
    if (auto status = reduce(fds, absl::StrCat("dispatch eventfd takes a descriptor an NF, and "
                                               "RLIMIT_NOFILE is ",
                                               host.descriptors_max,
                                               " (raise nofile in /etc/security/limits.conf)"));
        !status.ok()) {
      return status;
    }
  }
  return plan;
}

std::string demo_config(const DemoPlan& plan) {
  std::string nfs, chain;
  for (uint32_t i = 0; i < std::min(plan.chain, 2u); ++i) {
    const uint32_t instances = plan.tenants * occurrences(plan.chain, i);
    nfs += fmt::format("  {}: {{ image: {}, pool: {{ idle: {}, max: {} }} }}\n", kDemoNfs[i].name,
                       kDemoNfs[i].image, instances, instances);
  }
  for (uint32_t i = 0; i < plan.chain; ++i) {
    chain += fmt::format("{}{}", i == 0 ? "" : ", ", kDemoNfs[i % 2].name);
  }
  return fmt::format(
      "# mayfly demo: {} tenants, each with a chain of {} NF processes of its own\n"
      "cores: {{ vswitch: {}, nfs: [{}] }}\n"
      "ports:\n"
      "  - {{ name: load, gen: {{ flows: {}, size: 64, rate: {} }} }}\n"
      "nfs:\n{}"
      "chains:\n"
      "  demo: {{ nfs: [{}] }}\n"
      "flows:\n"
      "  - {{ match: {{ port: load }}, instance_per: src_ip, chain: demo, out: load }}\n"
      "wake: {{ dispatch: {}, batch: 32, aging: 200us }}\n",
      plan.tenants, plan.chain, plan.vswitch_core, plan.nf_core, plan.tenants, plan.rate, nfs,
      chain, plan.dispatch);
}

}  // namespace mayfly
