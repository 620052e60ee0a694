#include "runtime/api/metrics.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

using nlohmann::json;

json stats() {
  return {{"version", "0.1.0"},
          {"seconds", 2.5},
          {"packets",
           {{"rx", 18'000'000'000'000'000'000u},
            {"tx", 6},
            {"drops", {{"nf_drop", 1}, {"a\"b\\", 2}}}}},
          {"latency_us", {{"count", 10}, {"mean", 2.0}, {"p50", 1.5}, {"p99", 9.0}, {"max", 10.0}}},
          {"cpu", {{"vswitch", 0.5}, {"nf_cores", {0.25, 0.75}}}},
          {"memory", {{"per_nf_kib", 100}}},
          {"ports", {{{"name", "lan"}, {"rx", 3}, {"tx", 4}}, {{"name", "wan"}, {"rx", 5}}, 7}}};
}

json tenants() {
  return json::array({{{"name", "acme"}, {"packets", 11}, {"bytes", 704}}, {{"name", "b\n"}}, 3});
}

TEST(Metrics, EveryLineIsWellFormedAndEveryFamilyDeclaredOnce) {
  const std::regex sample(
      R"(^[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? [0-9.e+-]+$)");
  const std::regex comment(R"(^# (HELP|TYPE) [a-z_]+ .+$)");
  std::set<std::string> types;
  std::istringstream lines(metrics_text(stats(), tenants()));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(std::regex_match(line, sample) || std::regex_match(line, comment)) << line;
    if (line.rfind("# TYPE ", 0) != 0) continue;
    EXPECT_TRUE(types.insert(line).second) << line;
  }
  EXPECT_GT(types.size(), 5u);
}

TEST(Metrics, ValuesAreInBaseUnits) {
  const std::string text = metrics_text(stats(), tenants());
  for (const char* line :
       {"mayfly_packets_received_total 18000000000000000000\n", "mayfly_packets_sent_total 6\n",
        "mayfly_packets_dropped_total{reason=\"nf_drop\"} 1\n",
        "mayfly_packets_dropped_total{reason=\"a\\\"b\\\\\"} 2\n",
        "mayfly_nf_memory_bytes 102400\n", "mayfly_port_received_packets_total{port=\"wan\"} 5\n",
        "mayfly_tenant_bytes_total{tenant=\"acme\"} 704\n", "mayfly_latency_seconds_count 10\n",
        "mayfly_latency_seconds_sum 2e-05\n", "mayfly_nf_core_cpu_ratio{index=\"1\"} 0.75\n",
        "mayfly_build_info{version=\"0.1.0\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(Metrics, AbsentFiguresAreAbsent) {
  EXPECT_EQ(metrics_text(json(), json()), "");
  for (const json& odd : {json::object(), json{{"packets", 3}, {"cpu", "x"}}}) {
    const std::string text = metrics_text(odd, odd);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;  // build_info alone
  }
}

}  // namespace
}  // namespace mayfly
