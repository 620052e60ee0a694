#include "runtime/keeper/preflight.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

// A host where anything runs; each row spoils one thing.
HostFacts good_host() {
  HostFacts host;
  host.root = host.can_raw = host.can_net_admin = host.exempt_from_nproc = true;
  host.descriptors_max = 1 << 20;
  host.pid_max = 1 << 22;
  host.threads_max = 1 << 20;
  host.threads_now = 200;
  host.memory_available_bytes = 16ull << 30;
  host.huge = {2 << 20, 1024, 1024};
  host.cores_online = host.cores_usable = {CoreId{0}, CoreId{1}};
  return host;
}

Config good_config() {
  Config config;
  config.file = "c.yaml";
  PortConfig port;
  port.name = "lan", port.dev = "net_af_packet0,iface=veth", port.line = 7;
  config.ports.push_back(port);
  NfConfig nf;
  nf.name = "fw";
  nf.pool = {.idle = 1000, .max = 2000};
  config.nfs.push_back(nf);
  return config;
}

struct Row {
  const char* name;
  void (*spoil)(Config&, HostFacts&);
  std::vector<const char*> words;  // that the one error has
};

TEST(Preflight, AGoodHostHasNoErrors) {
  const Preflight result = check_before_start(good_config(), good_host());
  EXPECT_TRUE(result.errors.empty()) << result.errors[0];
  EXPECT_TRUE(result.notes.empty()) << result.notes[0];
}

TEST(Preflight, EveryShortageIsOneLineWithItsRemedy) {
  const Row rows[] = {
      {"af_packet",
       [](Config&, HostFacts& h) { h.can_raw = false; },
       {"c.yaml:7", "'lan'", "CAP_NET_RAW", "root"}},
      {"tap",
       [](Config& c, HostFacts& h) { c.ports[0].dev = "net_tap0", h.can_net_admin = false; },
       {"c.yaml:7", "CAP_NET_ADMIN"}},
      {"pci",
       [](Config& c, HostFacts& h) { c.ports[0].dev = "0000:03:00.1", h.root = false; },
       {"c.yaml:7", "needs root"}},
      {"core",
       [](Config& c, HostFacts&) { c.nf_cores = {CoreId{9}}; },
       {"c.yaml", "core 9", "not online", "0, 1"}},
      {"cpuset", [](Config&, HostFacts& h) { h.cores_usable = {CoreId{0}}; }, {"core 1", "cpuset"}},
      {"pid_max",
       [](Config&, HostFacts& h) { h.pid_max = 1000; },
       {"1001 NF processes", "pid_max 1000", "sysctl", "pool.idle"}},
      {"nproc",
       [](Config&, HostFacts& h) { h.exempt_from_nproc = false, h.processes_max = 100; },
       {"RLIMIT_NPROC 100", "limits.conf"}},
      {"cgroup pids", [](Config&, HostFacts& h) { h.cgroup_pids_max = 100; }, {"pids.max 100"}},
      {"descriptors",
       [](Config& c, HostFacts& h) { c.dispatch = Dispatch::eventfd, h.descriptors_max = 1024; },
       {"RLIMIT_NOFILE is 1024", "eventfd"}},
      {"memory",
       [](Config&, HostFacts& h) { h.memory_available_bytes = 64 << 20; },
       {"64 MiB", "memory.packets"}},
      {"huge pages",
       [](Config& c, HostFacts& h) { c.hugepages = Huge::on, h.huge.free = 1; },
       {"hugepages: on", "vm.nr_hugepages"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Config config = good_config();
    HostFacts host = good_host();
    row.spoil(config, host);
    const Preflight result = check_before_start(config, host);
    ASSERT_EQ(result.errors.size(), 1u);
    EXPECT_EQ(result.errors[0].find('\n'), std::string::npos);
    for (const char* word : row.words) {
      EXPECT_NE(result.errors[0].find(word), std::string::npos) << word << ": " << result.errors[0];
    }
  }
}

TEST(Preflight, WhatMayRunShortLaterIsANote) {
  HostFacts host = good_host();
  host.pid_max = 1500;
  const Preflight result = check_before_start(good_config(), host);
  EXPECT_TRUE(result.errors.empty());
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_NE(result.notes[0].find("2001"), std::string::npos) << result.notes[0];
}

TEST(Preflight, AnOrdinaryUserIsToldWhatIsMissing) {
  HostFacts host = good_host();
  host.root = host.can_raw = host.can_net_admin = false;
  Config config = good_config();
  config.ports[0].dev = "net_ring0";
  const Preflight result = check_before_start(config, host);
  EXPECT_TRUE(result.errors.empty());
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_NE(result.notes[0].find("not root"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
