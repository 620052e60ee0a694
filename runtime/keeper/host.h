// What the host and this user's limits allow, read from /proc, /sys and getrlimit; for the
// pre-flight checks, the demo's size and `mayfly doctor`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/types.h"

namespace mayfly {

inline constexpr uint64_t kUnlimited = UINT64_MAX;

struct HugePages {
  uint64_t page_bytes = 0;
  uint64_t total = 0;
  uint64_t free = 0;
};

struct HostFacts {
  bool root = false;           // effective user 0
  bool can_raw = false;        // CAP_NET_RAW
  bool can_net_admin = false;  // CAP_NET_ADMIN
  bool exempt_from_nproc = false;

  uint64_t processes_max = kUnlimited;  // RLIMIT_NPROC, hard
  uint64_t descriptors_max = 0;         // RLIMIT_NOFILE, hard
  uint64_t memlock_bytes_max = kUnlimited;
  uint64_t pid_max = 0;
  uint64_t threads_max = 0;
  uint64_t cgroup_pids_max = kUnlimited;  // least of this process's cgroup and its parents
  std::string cgroup_pids_file;           // that sets it
  uint64_t cgroup_pids_now = 0;
  uint64_t max_map_count = 0;

  uint64_t threads_now = 0;       // of the whole host
  uint64_t user_threads_now = 0;  // of this user

  uint64_t memory_available_bytes = 0;  // MemAvailable, or what the memory cgroup leaves
  uint64_t memory_total_bytes = 0;
  HugePages huge;             // of the default size
  std::string shmem_enabled;  // the chosen word of the THP setting
  std::string thp_enabled;
  bool hugetlbfs_mounted = false;

  std::vector<CoreId> cores_online;
  std::vector<CoreId> cores_usable;  // online, and allowed for us by cpuset

  std::vector<std::string> cgroup_v1;  // controllers mounted, and those of the unified hierarchy
  std::vector<std::string> cgroup_v2;
  bool cgroup_v2_mounted = false;
};

HostFacts read_host_facts();

// How many more processes may be started now, and what sets that bound ("RLIMIT_NPROC 4096").
struct ProcessRoom {
  uint64_t count = 0;
  std::string limit;
  std::string remedy;
};
ProcessRoom process_room(const HostFacts& host);

// Soft limits up to the hard ones, for this process and its children: costs nothing, and spares
// the operator a ulimit line.
void raise_soft_limits();

// "0-3,8" -> 0 1 2 3 8. Malformed parts are left out.
std::vector<CoreId> parse_core_list(const std::string& text);

}  // namespace mayfly
