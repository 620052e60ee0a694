// mayfly doctor, mayfly version
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "runtime/base/limits.h"
#include "runtime/base/version.h"
#include "runtime/cli/commands.h"
#include "runtime/config/config.h"
#include "runtime/config/image.h"
#include "runtime/keeper/host.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/run_directory.h"
#include "runtime/keeper/spawn.h"
#include "scheduler/dispatch.h"

namespace mayfly {
namespace {

enum class Finding { ok, note, problem };

constexpr uint64_t kProcessesWanted = 4096;     // the density the project promises, with room
constexpr uint64_t kArenaBytes = 192ull << 20;  // of the default configuration

class Doctor {
 public:
  void say(Finding finding, const std::string& topic, const std::string& text) {
    static constexpr const char* kWords[] = {"OK", "note", "PROBLEM"};
    fmt::print("{:<8} {:<16} {}\n", kWords[static_cast<int>(finding)], topic, text);
    problems_ += finding == Finding::problem;
  }
  int problems() const { return problems_; }

 private:
  int problems_ = 0;
};

void check_system(Doctor& doctor, const HostFacts& host) {
  utsname name{};
  ::uname(&name);
  doctor.say(Finding::ok, "kernel", absl::StrCat(name.sysname, " ", name.release));
  doctor.say(Finding::ok, "DPDK", "built with " MAYFLY_DPDK_VERSION);
  for (const char* program : {"mayfly-dataplane", "mayfly-zygote", "mayfly-image"}) {
    auto path = sibling_executable(program);
    doctor.say(path.ok() ? Finding::ok : Finding::problem, program,
               path.ok() ? *path : std::string(path.status().message()));
  }
  auto image = find_image("counter", ".");
  doctor.say(
      image.ok() ? Finding::ok : Finding::problem, "NF images",
      image.ok() ? image->substr(0, image->rfind('/')) : std::string(image.status().message()));
  doctor.say(host.root ? Finding::ok : Finding::note, "user",
             host.root ? "root" : "not root: no af_packet, tap or PCI ports, no cgroups");
}

std::string core_list(const std::vector<CoreId>& cores) {
  std::vector<int> numbers;
  for (const CoreId core : cores) numbers.push_back(raw(core));
  return absl::StrJoin(numbers, ",");
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void check_cores(Doctor& doctor, const HostFacts& host) {
  const std::string usable = core_list(host.cores_usable);
  if (host.cores_usable.size() >= 2) {
    doctor.say(Finding::ok, "cores", absl::StrCat("usable: ", usable));
  } else {
    doctor.say(Finding::problem, "cores",
               absl::StrCat("only ", usable, ": the vSwitch never sleeps and needs a core of its ",
                            "own beside the NFs': give this machine or container another"));
  }
  if (host.cores_usable.size() < host.cores_online.size()) {
    doctor.say(Finding::note, "cpuset",
               absl::StrCat("online ", core_list(host.cores_online), ", but only ", usable,
                            " may be used here"));
  }
  const std::string isolated = first_line("/sys/devices/system/cpu/isolated");
  doctor.say(isolated.empty() ? Finding::note : Finding::ok, "isolated cores",
             isolated.empty() ? "none: for the steadiest latency boot with isolcpus= for the "
                                "vSwitch's core"
                              : isolated);
}

void check_huge_pages(Doctor& doctor, const HostFacts& host) {
  const uint64_t free = host.huge.free * host.huge.page_bytes;
  const std::string state = fmt::format("{} of {} free, {} KiB each", host.huge.free,
                                        host.huge.total, host.huge.page_bytes >> 10);
  if (host.huge.page_bytes == 0) {
    doctor.say(Finding::note, "huge pages", "this kernel has none; ordinary pages will do");
  } else if (free >= kArenaBytes) {
    doctor.say(Finding::ok, "huge pages", state);
  } else {
    doctor.say(Finding::note, "huge pages",
               fmt::format("{}; without them each NF that touches the packet arena costs up to "
                           "three times the memory: sysctl -w vm.nr_hugepages={}",
                           state, kArenaBytes / host.huge.page_bytes + host.huge.total));
  }
  doctor.say(Finding::ok, "THP",
             fmt::format("enabled={}, shmem_enabled={} (Mayfly asks for huge pages itself)",
                         host.thp_enabled.empty() ? "no" : host.thp_enabled,
                         host.shmem_enabled.empty() ? "no" : host.shmem_enabled));
}

void check_limits(Doctor& doctor, const HostFacts& host) {
  const ProcessRoom room = process_room(host);
  const bool enough = room.count >= kProcessesWanted;
  doctor.say(enough ? Finding::ok : Finding::note, "processes",
             absl::StrCat("room for ", room.count, " more (", room.limit, ")",
                          enough ? "" : "; for thousands of NFs: ", enough ? "" : room.remedy));
  const bool descriptors = host.descriptors_max >= kProcessesWanted + 1024;
  doctor.say(descriptors ? Finding::ok : Finding::note, "descriptors",
             absl::StrCat("RLIMIT_NOFILE ", host.descriptors_max,
                          descriptors ? ""
                                      : "; dispatch eventfd takes one for each NF: raise "
                                        "nofile in /etc/security/limits.conf"));
  doctor.say(
      host.pid_max > 65536 ? Finding::ok : Finding::note, "kernel.pid_max",
      absl::StrCat(host.pid_max, host.pid_max > 65536 ? ""
                                                      : "; beyond about 30,000 NFs: sysctl -w "
                                                        "kernel.pid_max=4194304"));
  doctor.say(Finding::ok, "threads-max", absl::StrCat(host.threads_max));
  doctor.say(host.max_map_count >= 65530 ? Finding::ok : Finding::note, "max_map_count",
             absl::StrCat(host.max_map_count));
}

void check_memory(Doctor& doctor, const HostFacts& host) {
  constexpr uint64_t kWanted = 1ull << 30;
  const bool enough = host.memory_available_bytes >= kWanted;
  doctor.say(enough ? Finding::ok : Finding::problem, "memory",
             fmt::format("{} MiB available of {} MiB{}", host.memory_available_bytes >> 20,
                         host.memory_total_bytes >> 20,
                         enough ? "" : "; lower memory.packets and pool.idle, or free some"));
}

void check_cgroups(Doctor& doctor, const HostFacts& host) {
  const auto has_cpu = [](const std::vector<std::string>& controllers) {
    return std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end();
  };
  if (host.cgroup_v1.empty() && !host.cgroup_v2_mounted) {
    doctor.say(Finding::note, "cgroups", "none mounted: no CPU shares");
    return;
  }
  std::string text;
  if (!host.cgroup_v1.empty()) absl::StrAppend(&text, "v1: ", absl::StrJoin(host.cgroup_v1, " "));
  if (host.cgroup_v2_mounted) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", "v2: ",
                    host.cgroup_v2.empty() ? "no controllers" : absl::StrJoin(host.cgroup_v2, " "));
  }
  const bool cpu = has_cpu(host.cgroup_v1) || has_cpu(host.cgroup_v2);
  doctor.say(cpu ? Finding::ok : Finding::note, "cgroups",
             absl::StrCat(text, cpu ? "" : "; no cpu controller: no CPU shares"));
}

void check_runs(Doctor& doctor) {
  const std::vector<std::string> runs = live_run_names();
  doctor.say(Finding::ok, "active runs", runs.empty() ? "none" : absl::StrJoin(runs, ", "));
}

// For programs: what `mayfly sweep` must know to plan, and what it writes beside its figures.
void print_facts(const HostFacts& host) {
  const auto numbers = [](const std::vector<CoreId>& cores) {
    nlohmann::json list = nlohmann::json::array();
    for (const CoreId core : cores) list.push_back(raw(core));
    return list;
  };
  const ProcessRoom room = process_room(host);
  nlohmann::json dispatches = nlohmann::json::array();
  for (const Dispatch d : {Dispatch::poll, Dispatch::semaphore, Dispatch::eventfd, Dispatch::futex,
                           Dispatch::uring, Dispatch::baton})
    if (parse_dispatch(dispatch_name(d)).ok()) dispatches.push_back(std::string(dispatch_name(d)));
  utsname name{};
  ::uname(&name);
  const nlohmann::json facts = {
      {"version", kVersion},
      {"dpdk", MAYFLY_DPDK_VERSION},
      {"kernel", name.release},
      {"root", host.root},
      {"cores", {{"online", numbers(host.cores_online)}, {"usable", numbers(host.cores_usable)}}},
      {"processes", {{"room", room.count}, {"limit", room.limit}, {"remedy", room.remedy}}},
      {"instances_max", kSlotCountMax},
      {"descriptors_max", host.descriptors_max},
      {"memory",
       {{"available_bytes", host.memory_available_bytes},
        {"total_bytes", host.memory_total_bytes}}},
      {"huge_pages",
       {{"page_bytes", host.huge.page_bytes},
        {"total", host.huge.total},
        {"free", host.huge.free}}},
      {"dispatches", dispatches},
      {"dispatch_default", std::string(dispatch_name(Config{}.dispatch))},
  };
  fmt::print("{}\n", facts.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int doctor_command(bool json) {
  raise_soft_limits();
  const HostFacts host = read_host_facts();
  if (json) {
    print_facts(host);
    return kExitOk;
  }
  Doctor doctor;
  check_system(doctor, host);
  check_cores(doctor, host);
  check_memory(doctor, host);
  check_huge_pages(doctor, host);
  check_limits(doctor, host);
  check_cgroups(doctor, host);
  check_runs(doctor);
  return doctor.problems() == 0 ? kExitOk : kExitFailure;
}

std::string version_line() {
  return fmt::format("mayfly {} (DPDK {})", kVersion, MAYFLY_DPDK_VERSION);
}

int version_command() {
  fmt::print("{}\n", version_line());
  return kExitOk;
}

}  // namespace mayfly
