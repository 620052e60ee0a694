#include "runtime/keeper/host.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace mayfly {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

uint64_t read_number(const std::string& path, uint64_t otherwise) {
  std::ifstream file(path);
  uint64_t value;
  return file >> value ? value : otherwise;
}

// "max" and the huge number of v1 both mean no limit.
std::optional<uint64_t> read_cgroup_limit(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  uint64_t value = 0;
  if (!(file >> word) || !absl::SimpleAtoi(word, &value)) return std::nullopt;
  if (value >= (uint64_t{1} << 62)) return std::nullopt;
  return value;
}

// "always [madvise] never" -> "madvise"
std::string chosen_word(const std::string& path) {
  const std::string text = read_text(path);
  const size_t open = text.find('['), close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) return "";
  return text.substr(open + 1, close - open - 1);
}

struct Mount {
  std::string directory, type, options;
};

std::vector<Mount> read_mounts() {
  std::vector<Mount> mounts;
  std::ifstream file("/proc/self/mounts");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string device;
    Mount m;
    if (fields >> device >> m.directory >> m.type >> m.options) mounts.push_back(m);
  }
  return mounts;
}

// This process's directory in the hierarchy that has `controller`; "" is the unified one.
std::string own_cgroup(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> names = absl::StrSplit(parts[1], ',');
    if (std::find(names.begin(), names.end(), controller) != names.end()) return parts[2];
  }
  return "";
}

// Where the limits of a controller live for us: the mount point, and our path below it.
struct CgroupPlace {
  std::string mount, path;
};

std::optional<CgroupPlace> cgroup_place(const std::vector<Mount>& mounts,
                                        const std::string& controller) {
  for (const Mount& m : mounts) {
    const std::vector<std::string> options = absl::StrSplit(m.options, ',');
    if (m.type == "cgroup" &&
        std::find(options.begin(), options.end(), controller) != options.end()) {
      return CgroupPlace{m.directory, own_cgroup(controller)};
    }
  }
  for (const Mount& m : mounts) {
    if (m.type != "cgroup2") continue;
    const std::string has = read_text(m.directory + "/cgroup.controllers");
    const std::vector<std::string> names = absl::StrSplit(has, absl::ByAnyChar(" \n"));
    if (std::find(names.begin(), names.end(), controller) != names.end()) {
      return CgroupPlace{m.directory, own_cgroup("")};
    }
  }
  return std::nullopt;
}

// Calls visit(directory) for our cgroup and each of its parents.
template <class Visit>
void each_parent(const CgroupPlace& place, Visit visit) {
  std::string path = place.path;
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    visit(place.mount + path);
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

void read_cgroup_pids(const std::vector<Mount>& mounts, HostFacts& host) {
  const auto place = cgroup_place(mounts, "pids");
  if (!place) return;
  uint64_t least_room = kUnlimited;
  each_parent(*place, [&](const std::string& directory) {
    const auto limit = read_cgroup_limit(directory + "/pids.max");
    if (!limit) return;
    const uint64_t now = read_number(directory + "/pids.current", 0);
    const uint64_t room = *limit > now ? *limit - now : 0;
    if (room >= least_room) return;
    least_room = room;
    host.cgroup_pids_max = *limit;
    host.cgroup_pids_now = now;
    host.cgroup_pids_file = directory + "/pids.max";
  });
}

void read_cgroup_memory(const std::vector<Mount>& mounts, HostFacts& host) {
  const auto place = cgroup_place(mounts, "memory");
  if (!place) return;
  each_parent(*place, [&](const std::string& directory) {
    for (const auto& [limit_file, now_file] :
         {std::pair{"/memory.limit_in_bytes", "/memory.usage_in_bytes"},
          std::pair{"/memory.max", "/memory.current"}}) {
      const auto limit = read_cgroup_limit(directory + limit_file);
      if (!limit) continue;
      const uint64_t now = read_number(directory + now_file, 0);
      const uint64_t room = *limit > now ? *limit - now : 0;
      host.memory_available_bytes = std::min(host.memory_available_bytes, room);
    }
  });
}

void read_memory(const std::vector<Mount>& mounts, HostFacts& host) {
  std::istringstream lines(read_text("/proc/meminfo"));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string key;
    uint64_t value = 0;
    fields >> key >> value;
    if (key == "MemTotal:") host.memory_total_bytes = value * 1024;
    if (key == "MemAvailable:") host.memory_available_bytes = value * 1024;
    if (key == "HugePages_Total:") host.huge.total = value;
    if (key == "HugePages_Free:") host.huge.free = value;
    if (key == "Hugepagesize:") host.huge.page_bytes = value * 1024;
  }
  read_cgroup_memory(mounts, host);
  const std::string thp = "/sys/kernel/mm/transparent_hugepage/";
  host.shmem_enabled = chosen_word(thp + "shmem_enabled");
  host.thp_enabled = chosen_word(thp + "enabled");
  host.hugetlbfs_mounted = std::any_of(mounts.begin(), mounts.end(),
                                       [](const Mount& m) { return m.type == "hugetlbfs"; });
}

uint64_t hard_limit(__rlimit_resource what) {
  rlimit limit;
  if (::getrlimit(what, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return kUnlimited;
  return limit.rlim_max;
}

uint64_t effective_capabilities() {
  std::istringstream lines(read_text("/proc/self/status"));
  std::string line;
  while (std::getline(lines, line)) {
    if (line.rfind("CapEff:", 0) == 0) return std::strtoull(line.c_str() + 7, nullptr, 16);
  }
  return 0;
}

void read_rights(HostFacts& host) {
  const uint64_t capabilities = effective_capabilities();
  const auto has = [&](int bit) { return (capabilities >> bit & 1) != 0; };
  host.root = ::geteuid() == 0;
  host.can_raw = has(CAP_NET_RAW);
  host.can_net_admin = has(CAP_NET_ADMIN);
  // copy_process(): the real user 0 is never held to RLIMIT_NPROC, nor is who has one of these.
  host.exempt_from_nproc = ::getuid() == 0 || has(CAP_SYS_RESOURCE) || has(CAP_SYS_ADMIN);
}

bool belongs_to_us(const std::string& directory) {
  struct stat info;
  return ::stat(directory.c_str(), &info) == 0 && info.st_uid == ::getuid();
}

uint64_t thread_count(const std::string& directory) {
  std::istringstream lines(read_text(directory + "/status"));
  std::string line;
  while (std::getline(lines, line)) {
    if (line.rfind("Threads:", 0) == 0) return std::strtoull(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

void count_threads(HostFacts& host) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.empty() || name[0] < '0' || name[0] > '9') continue;
    const uint64_t threads = thread_count(entry.path());
    host.threads_now += threads;
    if (belongs_to_us(entry.path())) host.user_threads_now += threads;
  }
}

// Asking the kernel to pin us there is the one test that knows about cpusets. The old mask is
// put back.
std::vector<CoreId> keep_usable(const std::vector<CoreId>& cores) {
  constexpr size_t kCpusMax = 8192;
  cpu_set_t* old = CPU_ALLOC(kCpusMax);
  cpu_set_t* one = CPU_ALLOC(kCpusMax);
  const size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  std::vector<CoreId> usable;
  if (::sched_getaffinity(0, bytes, old) == 0) {
    for (const CoreId core : cores) {
      CPU_ZERO_S(bytes, one);
      CPU_SET_S(raw(core), bytes, one);
      if (::sched_setaffinity(0, bytes, one) == 0) usable.push_back(core);
    }
    ::sched_setaffinity(0, bytes, old);
  }
  CPU_FREE(old);
  CPU_FREE(one);
  return usable;
}

void read_cgroup_controllers(const std::vector<Mount>& mounts, HostFacts& host) {
  static constexpr const char* kControllers[] = {
      "cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "io", "blkio", "devices", "hugetlb"};
  for (const Mount& m : mounts) {
    if (m.type == "cgroup") {
      const std::vector<std::string> options = absl::StrSplit(m.options, ',');
      for (const char* c : kControllers) {
        if (std::find(options.begin(), options.end(), c) != options.end()) {
          host.cgroup_v1.push_back(c);
        }
      }
    }
    if (m.type == "cgroup2") {
      host.cgroup_v2_mounted = true;
      const std::string has = read_text(m.directory + "/cgroup.controllers");
      host.cgroup_v2 = absl::StrSplit(has, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    }
  }
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts host;
  const std::vector<Mount> mounts = read_mounts();
  read_rights(host);
  host.processes_max = hard_limit(RLIMIT_NPROC);
  host.descriptors_max = hard_limit(RLIMIT_NOFILE);
  host.memlock_bytes_max = hard_limit(RLIMIT_MEMLOCK);
  host.pid_max = read_number("/proc/sys/kernel/pid_max", 32768);
  host.threads_max = read_number("/proc/sys/kernel/threads-max", kUnlimited);
  host.max_map_count = read_number("/proc/sys/vm/max_map_count", 65530);
  count_threads(host);
  read_cgroup_pids(mounts, host);
  read_memory(mounts, host);
  read_cgroup_controllers(mounts, host);
  host.cores_online = parse_core_list(read_text("/sys/devices/system/cpu/online"));
  host.cores_usable = keep_usable(host.cores_online);
  return host;
}

ProcessRoom process_room(const HostFacts& host) {
  const auto left = [](uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; };
  ProcessRoom room{kUnlimited, "no limit", ""};
  const auto bound = [&](uint64_t count, const std::string& limit, const std::string& remedy) {
    if (count < room.count) room = {count, limit, remedy};
  };
  if (!host.exempt_from_nproc && host.processes_max != kUnlimited) {
    bound(left(host.processes_max, host.user_threads_now),
          absl::StrCat("RLIMIT_NPROC ", host.processes_max),
          "raise nproc for this user in /etc/security/limits.conf, or run as root");
  }
  bound(left(host.pid_max, host.threads_now), absl::StrCat("kernel.pid_max ", host.pid_max),
        "sysctl -w kernel.pid_max=4194304");
  bound(left(host.threads_max, host.threads_now),
        absl::StrCat("kernel.threads-max ", host.threads_max),
        "sysctl -w kernel.threads-max=1000000");
  if (host.cgroup_pids_max != kUnlimited) {
    bound(left(host.cgroup_pids_max, host.cgroup_pids_now),
          absl::StrCat("pids.max ", host.cgroup_pids_max, " of the cgroup"),
          absl::StrCat("echo max > ", host.cgroup_pids_file,
                       " (systemd: TasksMax=infinity; docker: --pids-limit -1)"));
  }
  return room;
}

void raise_soft_limits() {
  for (const auto what : {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING}) {
    rlimit limit;
    if (::getrlimit(what, &limit) != 0 || limit.rlim_cur == limit.rlim_max) continue;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(what, &limit);
  }
}

std::vector<CoreId> parse_core_list(const std::string& text) {
  std::vector<CoreId> cores;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<std::string> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint32_t first = 0, last = 0;
    if (!absl::SimpleAtoi(ends[0], &first)) continue;
    last = first;
    if (ends.size() == 2 && !absl::SimpleAtoi(ends[1], &last)) continue;
    for (uint32_t c = first; c <= last && c < UINT16_MAX; ++c) {
      cores.push_back(static_cast<CoreId>(c));
    }
  }
  return cores;
}

}  // namespace mayfly
