// Tenants: keys, chains, arguments merged and compiled; in the configuration and alone.
#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "tests/config/env.h"

namespace mayfly {
namespace {

class Tenants : public ConfigEnv {
 protected:
  absl::StatusOr<std::vector<TenantConfig>> parse_alone(const std::string& yaml) {
    const auto base = parse(kMinimal);
    if (!base.ok()) return base.status();
    return parse_tenants_text(yaml, "ten.yaml", dir_, *base);
  }
  std::string alone_error(const std::string& yaml) {
    return std::string(parse_alone(yaml).status().message());
  }
};

uint64_t first_number(const std::vector<uint8_t>& blob) {
  uint64_t n = 0;
  if (blob.size() >= sizeof(n)) std::memcpy(&n, blob.data(), sizeof(n));
  return n;
}

TEST_F(Tenants, ArgumentsAreMergedOverTheNfsOwn) {
  const auto config = parse(kPorts + "nfs: {t: {image: tiny, args: {threshold: 7, label: own}}}\n" +
                            kChains + kFlows +
                            "tenants:\n"
                            "  acme: {key: 101, chain: c, t: {threshold: 9}}\n"
                            "  beta: {key: 102}\n"
                            "  gamma: {key: 103, t: {label: x}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->tenants.size(), 3u);
  const TenantConfig& acme = config->tenants[0];
  EXPECT_EQ(acme.chain, ChainId{0});
  EXPECT_EQ(acme.line, 6u);
  ASSERT_EQ(acme.nfs.size(), 1u);
  EXPECT_EQ(acme.nfs[0].args.size(), 7u) << "complete";
  EXPECT_EQ(acme.nfs[0].args[0].number, 9u);
  EXPECT_EQ(acme.nfs[0].args[1].text, "own");
  EXPECT_EQ(first_number(acme.nfs[0].blob), 9u);
  EXPECT_TRUE(config->tenants[1].nfs.empty()) << "serves with the NF's own";
  EXPECT_FALSE(config->tenants[1].chain);
  EXPECT_EQ(first_number(config->tenants[2].nfs[0].blob), 7u);
}

TEST_F(Tenants, Errors) {
  const std::pair<const char*, const char*> rows[] = {
      {"a: {}", "1: a: \"key\" is missing; write for example key: 101"},
      {"a: 101", "1: a: this is a single value; expected a map with key, chain, weight and t"},
      {"- a", "1: this is a list; expected a map of names"},
      {"a: {key: 5000}",
       "1: a.key: \"5000\" is not a tenant key; write a VLAN (101), two (100.7), an address "
       "(10.0.0.5, 2001:db8::5) or a MAC (02:00:00:00:00:01)"},
      {"a: {key: 10.0.0.5}",
       "1: a.key: 10.0.0.5 is an address, and no entry of flows: tells tenants apart by one; add "
       "tenant_by: src_ip to one"},
      {"a: {key: 101}\nb: {key: 101}", "2: b.key: 101 is already the key of tenant a on line 1"},
      {"a: {key: 101}\na: {key: 102}", "2: duplicate key \"a\", first on line 1; keep one"},
      {"a: {key: 101, chain: d}", "1: a.chain: there is no chain \"d\"; did you mean \"c\"?"},
      {"a: {key: 101, tt: {}}", "1: a: unknown key \"tt\"; did you mean \"t\"?"},
      {"a: {key: 101, t: {x: 1}}",
       "1: a.t: unknown key \"x\"; known are threshold, label, rules, rate, timeout, buffer and "
       "strict"},
      {"a: {key: 101, t: {threshold: x}}",
       "1: a.t.threshold: \"x\" is not an integer; write one from 1 to 100"},
      {"a: {key: 101}\nb: {key: 102, t: {threshold: 3,\n  label: wrong}}",
       "3: b.t.label: wrong is not a label"},
      {"a b: {key: 101}",
       "1: \"a b\" is not a name; use 1 to 63 letters, digits, '_', '-', '.' or ':', "
       "the first a letter or digit"},
  };
  for (const auto& [yaml, message] : rows)
    EXPECT_EQ(alone_error(yaml), std::string("ten.yaml:") + message) << yaml;
}

TEST_F(Tenants, AFileOfThemHasItsOwnLinesAndDirectory) {
  std::filesystem::create_directory(dir_ + "/sub");
  file("sub/ten.yaml", "a: {key: 1}\nb: {key: 2, t: {rules: r.txt}}\n");
  file("sub/r.txt", "fine\n");
  const auto config = parse(kMinimal + "tenants: sub/ten.yaml\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tenants[1].nfs[0].args[2].file, dir_ + "/sub/r.txt");
  EXPECT_EQ(config->tenants[1].line, 2u);

  file("sub/r.txt", "fine\nbad\n");
  EXPECT_EQ(error_of(kMinimal + "tenants: sub/ten.yaml\n"),
            dir_ + "/sub/r.txt:2: \"bad\" is not a rule");
  file("sub/ten.yaml", "a: {key: 1}\nb: {key: 1}\n");
  EXPECT_EQ(error_of(kMinimal + "tenants: sub/ten.yaml\n"),
            dir_ + "/sub/ten.yaml:2: b.key: 1 is already the key of tenant a on line 1");
  EXPECT_EQ(error_of(kMinimal + "tenants: none.yaml\n"),
            "t.yaml:5: tenants: " + dir_ + "/none.yaml: No such file or directory");
}

TEST_F(Tenants, NoneAtAllIsFine) {
  EXPECT_EQ(error_of(kMinimal + "tenants:\n"), "");
  EXPECT_EQ(error_of(kMinimal + "tenants: {}\n"), "");
  const auto none = parse_alone("");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST_F(Tenants, FilesFromTheRequest) {
  const auto base = parse(kMinimal);
  ASSERT_TRUE(base.ok());
  const FileReader reader = [](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "mine.rules") return std::string("from afar\nbad\n");
    return absl::NotFoundError(path + ": not in the request");
  };
  const auto parse_with = [&](const std::string& yaml) {
    return parse_tenants_text(yaml, "ten.yaml", *base, reader);
  };
  EXPECT_EQ(parse_with("a: {key: 1, t: {rules: mine.rules}}").status().message(),
            "mine.rules:2: \"bad\" is not a rule");
  EXPECT_EQ(parse_with("a: {key: 1, t: {rules: /etc/passwd}}").status().message(),
            "ten.yaml:1: a.t.rules: /etc/passwd: not in the request");
}

TEST_F(Tenants, KeysOfEveryKindThatARuleUses) {
  const auto config = parse(kPorts + kNfs + kChains +
                            "flows:\n"
                            "  - {chain: c, instance_per: five_tuple, tenant_by: src_ip}\n"
                            "  - {chain: c, instance_per: mac}\n"
                            "tenants: {a: {key: 10.0.0.5}, b: {key: '2001:db8::5'}, "
                            "c: {key: 02:00:00:00:00:01}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tenants[1].key, *parse_tenant_key("2001:db8::5"));
  EXPECT_EQ(error_of(kPorts + kNfs + kChains + "flows: [{chain: c}]\ntenants: {a: {key: 5}}\n"),
            "t.yaml:5: a.key: 5 is a VLAN, and no entry of flows: tells tenants apart by one; add "
            "tenant_by: vlan to one");
}

// What the API makes of a JSON request: all on one line, no blank after a colon.
TEST_F(Tenants, JsonIsYaml) {
  const auto tenants = parse_alone(
      R"({"a":{"key":"101","t":{"label":"x\/\u00e9\"","threshold":9}},"b":{"key":100.7,"t":{}}})");
  ASSERT_TRUE(tenants.ok()) << tenants.status();
  EXPECT_EQ((*tenants)[0].nfs[0].args[0].number, 9u);
  EXPECT_EQ((*tenants)[0].nfs[0].args[1].text, "x/\xc3\xa9\"");
  EXPECT_EQ((*tenants)[1].key, *parse_tenant_key("100.7"));
  std::string json = "{";
  for (int i = 1; i <= 4000; ++i)
    json += fmt::format("{}\"tenant{}\":{{\"key\":{},\"t\":{{\"threshold\":9}}}}", i > 1 ? "," : "",
                        i, i);
  const auto many = parse_alone(json + "}");
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->size(), 4000u);
}

// Well under a second on an idle machine; the bound here only says that it is not quadratic.
TEST_F(Tenants, AThousandAreQuick) {
  std::string yaml;
  for (int i = 1; i <= 1000; ++i) {
    file(fmt::format("r{}", i), fmt::format("rules of tenant {}\n", i));
    yaml += fmt::format("tenant{}: {{key: {}, t: {{threshold: 9, rules: r{}}}}}\n", i, i, i);
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto tenants = parse_alone(yaml);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(tenants.ok()) << tenants.status();
  EXPECT_EQ(tenants->size(), 1000u);
  RecordProperty("milliseconds", std::to_string(took.count()));
  std::printf("1,000 tenants with a file each: %.0f ms\n", took.count());
  EXPECT_LT(took.count(), 10'000);
}

}  // namespace
}  // namespace mayfly
