#include "runtime/cli/demo.h"

#include <gtest/gtest.h>

#include "runtime/config/parse.h"

namespace mayfly {
namespace {

HostFacts large_host() {
  HostFacts host;
  host.exempt_from_nproc = true;
  host.descriptors_max = 1 << 20;
  host.pid_max = 1 << 22;
  host.threads_max = 1 << 20;
  host.memory_available_bytes = 64ull << 30;
  host.cores_online = host.cores_usable = {CoreId{0}, CoreId{1}, CoreId{2}};
  return host;
}

DemoPlan wish(uint32_t tenants, uint32_t chain) {
  DemoPlan plan;
  plan.tenants = tenants, plan.chain = chain;
  plan.rate = "1Mpps", plan.dispatch = "futex";
  return plan;
}

TEST(Demo, TheConfigurationIsValidForEveryChainLength) {
  for (const uint32_t chain : {1u, 2u, 3u, 16u}) {
    auto plan = plan_demo(wish(100, chain), large_host());
    ASSERT_TRUE(plan.ok()) << plan.status();
    auto config = parse_config_text(demo_config(*plan), "demo", ".");
    ASSERT_TRUE(config.ok()) << config.status();
    ASSERT_EQ(config->chains.size(), 1u);
    EXPECT_EQ(config->chains[0].nfs.size(), chain);
    uint64_t instances = 0;
    for (const NfConfig& nf : config->nfs) instances += nf.pool.max;
    EXPECT_EQ(instances, 100u * chain);
    EXPECT_EQ(config->ports.at(0).gen->flows, 100u);
  }
}

TEST(Demo, EveryDispatchIsAccepted) {
  for (const char* dispatch : {"poll", "semaphore", "eventfd", "futex"}) {
    DemoPlan plan = wish(10, 2);
    plan.dispatch = dispatch;
    auto fitted = plan_demo(plan, large_host());
    ASSERT_TRUE(fitted.ok());
    EXPECT_TRUE(parse_config_text(demo_config(*fitted), "demo", ".").ok()) << dispatch;
  }
}

TEST(Demo, ItShrinksToWhatTheHostBearsAndSaysWhy) {
  struct Row {
    const char* name;
    void (*spoil)(HostFacts&);
    uint32_t tenants;
    const char* word;
  };
  const Row rows[] = {
      {"nothing", [](HostFacts&) {}, 1000, ""},
      {"processes", [](HostFacts& h) { h.exempt_from_nproc = false, h.processes_max = 1064; }, 500,
       "RLIMIT_NPROC 1064"},
      {"pid_max", [](HostFacts& h) { h.pid_max = 264; }, 100, "pid_max 264"},
      {"memory", [](HostFacts& h) { h.memory_available_bytes = (320ull << 20) + 600 * 1024 * 10; },
       10, "MiB available"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    HostFacts host = large_host();
    row.spoil(host);
    auto plan = plan_demo(wish(1000, 2), host);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->tenants, row.tenants);
    ASSERT_EQ(plan->notes.size(), row.tenants == 1000 ? 0u : 1u);
    for (const std::string& note : plan->notes) EXPECT_NE(note.find(row.word), std::string::npos);
  }
}

TEST(Demo, TheFirstTwoUsableCoresAreTaken) {
  HostFacts host = large_host();
  host.cores_usable = {CoreId{3}, CoreId{5}, CoreId{6}};
  auto plan = plan_demo(wish(10, 2), host);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->vswitch_core, 3u);
  EXPECT_EQ(plan->nf_core, 5u);
  host.cores_usable.resize(1);
  EXPECT_TRUE(absl::IsResourceExhausted(plan_demo(wish(10, 2), host).status()));
}

TEST(Demo, ImpossibleWishesAreRefused) {
  EXPECT_FALSE(plan_demo(wish(10, 0), large_host()).ok());
  EXPECT_FALSE(plan_demo(wish(10, 17), large_host()).ok());
  EXPECT_FALSE(plan_demo(wish(0, 2), large_host()).ok());
  HostFacts full = large_host();
  full.pid_max = 100;
  full.threads_now = 99;
  EXPECT_FALSE(plan_demo(wish(10, 2), full).ok());
}

}  // namespace
}  // namespace mayfly
