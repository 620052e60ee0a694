#include "runtime/keeper/progress.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

using nlohmann::json;

json report() {
  return {{"seconds", 10.0},
          {"packets",
           {{"rx", 10'000'000},
            {"originated", 5},
            {"tx", 9'990'000},
            {"held", 5},
            {"drops", {{"nf_drop", 9'000}, {"ring_full", 1'000}, {"no_rule", 0}}}}},
          {"mpps", 0.999},
          {"gbps", 0.511},
          {"latency_us",
           {{"count", 9'990'000},
            {"mean", 20.0},
            {"p50", 12.25},
            {"p90", 20.0},
            {"p99", 123.4},
            {"p999", 12'345.0},
            {"max", 45'678'901.0}}},
          {"nfs",
           {{"live", 2000},
            {"bound", 2000},
            {"idle", 0},
            {"deaths", 1},
            {"binds", 2001},
            {"recycles", 1}}},
          {"wakes", {{"total", 1'200'000}, {"per_s", 120'000.0}, {"packets_per_wake", 8.3}}},
          {"cpu", {{"vswitch", 1.0}, {"nf_cores", {0.4, 0.2}}}},
          {"memory", {{"per_nf_kib", 101.0}, {"arena_mib", 132.0}}},
          {"vswitch", {{"cycles_per_packet", 250.0}, {"worst_turn_us", 900.0}}}};
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words) {
    EXPECT_NE(text.find(word), std::string::npos) << word << " in\n" << text;
  }
}

TEST(Progress, TheClosingTableHasEveryFigure) {
  expect_words(closing_table(report()), {"10,000,000",     "9,990,000",
                                         "10,000",         "nf_drop",
                                         "9,000",          "ring_full",
                                         "0.999 Mpps",     "0.511 Gb/s",
                                         "p50 12.2 us",    "p99 123 us",
                                         "p99.9 12.3 ms",  "max 45.7 s",
                                         "120.0k/s",       "8.3 packets per wake",
                                         "vSwitch 100 %",  "40 %, 20 %",
                                         "2,000 live",     "1 died",
                                         "101 KiB per NF", "132 MiB",
                                         "250 cycles",     "every packet"});
  EXPECT_EQ(closing_table(report()).find("no_rule"), std::string::npos);
}

TEST(Progress, AMissingPacketShows) {
  EXPECT_EQ(unaccounted_packets(report()), 0);
  json broken = report();
  broken["packets"]["tx"] = 9'989'993;
  EXPECT_EQ(unaccounted_packets(broken), 7);
  expect_words(closing_table(broken), {"7 packets unaccounted"});
  broken["packets"]["tx"] = 9'990'002;
  EXPECT_EQ(unaccounted_packets(broken), -2);
  json told = report();
  told["accounting"] = {{"unaccounted", 3}};
  EXPECT_EQ(unaccounted_packets(told), 3);
}

TEST(Progress, RatesAreThoseSinceTheLastLine) {
  RunFigures before, now;
  before.seconds = 1, now.seconds = 3;
  before.rx = 1'000'000, now.rx = 5'000'000;
  before.tx = 1'000'000, now.tx = 4'000'000;
  before.gbps = 1, now.gbps = 2;  // 1 s at 1, so 2 s at 2.5
  before.drops = 0, now.drops = 200;
  before.cpu_vswitch = 0.5, now.cpu_vswitch = 0.5;
  expect_words(progress_line(before, now),
               {"3.0s", "in  2.000", "out  1.500 Mpps", "2.500 Gb/s", "drop 100/s", "CPU 50/0 %"});
}

TEST(Progress, OddObjectsShowAsZeroes) {
  for (const char* text : {"{}", "[]", "null", R"({"packets": 3})", R"({"packets": {"rx": "x"}})",
                           R"({"packets": {"drops": [1]}, "cpu": {"nf_cores": {"a": 1}}})",
                           R"({"packets": {"rx": -1.5, "drops": {"x": "y"}}, "seconds": null})"}) {
    const RunFigures f = figures_of(json::parse(text));
    EXPECT_EQ(f.rx, 0u) << text;
    EXPECT_FALSE(progress_line(f, f).empty());
    EXPECT_FALSE(closing_table(json::parse(text)).empty());
  }
}

}  // namespace
}  // namespace mayfly
