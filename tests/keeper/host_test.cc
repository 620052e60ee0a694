#include "runtime/keeper/host.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

std::vector<int> numbers(const std::string& text) {
  std::vector<int> result;
  for (const CoreId core : parse_core_list(text)) result.push_back(raw(core));
  return result;
}

TEST(Host, CoreLists) {
  EXPECT_EQ(numbers("0-3,8\n"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(numbers("0"), (std::vector<int>{0}));
  EXPECT_EQ(numbers(""), (std::vector<int>{}));
  EXPECT_EQ(numbers("x,2-1,5"), (std::vector<int>{5}));
}

TEST(Host, FactsOfThisHostArePlausible) {
  const HostFacts host = read_host_facts();
  EXPECT_FALSE(host.cores_online.empty());
  EXPECT_FALSE(host.cores_usable.empty());
  EXPECT_GT(host.memory_available_bytes, 0u);
  EXPECT_GE(host.memory_total_bytes, host.memory_available_bytes);
  EXPECT_GT(host.pid_max, 300u);
  EXPECT_GT(host.threads_now, 0u);
  EXPECT_GT(host.user_threads_now, 0u);
  EXPECT_LE(host.user_threads_now, host.threads_now);
  EXPECT_GT(host.descriptors_max, 0u);
}

TEST(Host, TheTightestLimitBoundsTheProcesses) {
  HostFacts host;
  host.pid_max = 32768, host.threads_max = 100'000, host.threads_now = 768;
  EXPECT_EQ(process_room(host).count, 32'000u);
  EXPECT_NE(process_room(host).limit.find("pid_max"), std::string::npos);

  host.processes_max = 1000, host.user_threads_now = 100;
  EXPECT_EQ(process_room(host).count, 900u);
  EXPECT_NE(process_room(host).limit.find("RLIMIT_NPROC"), std::string::npos);

  host.exempt_from_nproc = true;
  EXPECT_EQ(process_room(host).count, 32'000u);

  host.cgroup_pids_max = 50, host.cgroup_pids_now = 60, host.cgroup_pids_file = "/x/pids.max";
  EXPECT_EQ(process_room(host).count, 0u);
  EXPECT_NE(process_room(host).remedy.find("/x/pids.max"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
