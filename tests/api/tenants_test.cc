// Attaching, changing and detaching tenants through the API, with the real images.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "fmt/format.h"
#include "recording_dataplane.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr char kConfig[] = R"(
cores: { vswitch: 0, nfs: [1] }
ports:
  - { name: load, gen: { flows: 10, size: 64, rate: 1kpps } }
nfs:
  fw:  { image: firewall, args: { rules: base.rules } }
  lim: { image: rate_limit, args: { mbps: 100 } }
chains:
  protect: { nfs: [fw, lim] }
  narrow:  { nfs: [lim] }
flows:
  - { match: { port: load }, instance_per: vlan, chain: protect, out: load }
tenants:
  first: { key: 7, lim: { mbps: 50 } }
)";

class Tenants : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir();
    std::ofstream(directory_ + "/base.rules") << "default allow\n";
    auto config = parse_config_text(kConfig, "test.yaml", directory_);
    ASSERT_TRUE(config.ok()) << config.status();
    env_ = std::make_unique<ApiEnv>(std::move(*config));
    ASSERT_TRUE(env_->started.ok()) << env_->started;
  }
  absl::Status send(const char* method, const json& body) {
    auto answer = env_->client.send(method, "/v1/tenants", body);
    last_ = answer.ok() ? *answer : json();
    return answer.status();
  }
  void expect_error(const absl::Status& status, absl::StatusCode code, const char* word) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << status;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
  }

  std::string directory_;
  std::unique_ptr<ApiEnv> env_;
  json last_;
};

TEST_F(Tenants, AreAttachedFromJsonOrYaml) {
  ASSERT_TRUE(
      send("POST", {{"tenants", {{"acme", {{"key", 101}, {"lim", {{"mbps", 20}}}}}}}}).ok());
  EXPECT_EQ(last_["tenants"], 1);
  ASSERT_TRUE(
      send("POST", {{"yaml", "bob: { key: 102, chain: narrow }\ncid: { key: 103 }\n"}}).ok());
  EXPECT_EQ(last_["tenants"], 2);
  EXPECT_EQ(env_->dataplane.tenant_count(), 4u);
  EXPECT_EQ(env_->dataplane.argument("acme", "lim", "mbps"), "20");
  EXPECT_EQ(to_string(env_->dataplane.tenant("bob").key), "102");
  EXPECT_EQ(env_->dataplane.tenant("bob").chain, ChainId{1});
}

TEST_F(Tenants, FilesComeInTheRequestAndNowhereElse) {
  const json tenant = {{"acme", {{"key", 101}, {"fw", {{"rules", "acme.rules"}}}}}};
  ASSERT_TRUE(
      send("POST", {{"tenants", tenant}, {"files", {{"acme.rules", "default deny\n"}}}}).ok());
  EXPECT_EQ(env_->dataplane.argument("acme", "fw", "rules"), "default deny\n");
  expect_error(
      send("POST", {{"tenants", {{"x", {{"key", 5}, {"fw", {{"rules", "/etc/passwd"}}}}}}}}),
      absl::StatusCode::kInvalidArgument, "/etc/passwd");
}

TEST_F(Tenants, AnErrorInAFileNamesFileAndLine) {
  const absl::Status status =
      send("POST", {{"yaml", "acme:\n  key: 101\n  fw: { rules: acme.rules }\n"},
                    {"file", "t.yaml"},
                    {"files", {{"acme.rules", "default allow\nperhaps any\n"}}}});
  expect_error(status, absl::StatusCode::kInvalidArgument, "acme.rules:2");
  expect_error(
      send("POST", {{"yaml", "acme:\n  key: 101\n  fw: { colour: red }\n"}, {"file", "t.yaml"}}),
      absl::StatusCode::kInvalidArgument, "t.yaml:3");
}

TEST_F(Tenants, ChangesReplaceOrPatch) {
  ASSERT_TRUE(send("POST", {{"tenants",
                             {{"acme",
                               {{"key", 101},
                                {"chain", "protect"},
                                {"lim", {{"mbps", 20}}},
                                {"fw", {{"rules", "a.rules"}}}}}}},
                            {"files", {{"a.rules", "default deny\n"}}}})
                  .ok());
  // PATCH keeps what it does not mention: key, chain, and the other arguments.
  ASSERT_TRUE(send("PATCH", {{"tenants", {{"acme", {{"lim", {{"mbps", 30}}}}}}}}).ok());
  EXPECT_EQ(env_->dataplane.argument("acme", "lim", "mbps"), "30");
  EXPECT_EQ(env_->dataplane.argument("acme", "fw", "rules"), "default deny\n");
  EXPECT_EQ(to_string(env_->dataplane.tenant("acme").key), "101");
  EXPECT_EQ(env_->dataplane.tenant("acme").chain, ChainId{0});
  // PUT says everything anew.
  ASSERT_TRUE(send("PUT", {{"tenants", {{"acme", {{"key", 101}}}}}}).ok());
  EXPECT_EQ(env_->dataplane.argument("acme", "fw", "rules"), "no argument");
  EXPECT_FALSE(env_->dataplane.tenant("acme").chain);
}

TEST_F(Tenants, OnesOfTheConfigurationCanBePatchedToo) {
  ASSERT_TRUE(send("PATCH", {{"tenants", {{"first", {{"lim", {{"mbps", 60}}}}}}}}).ok());
  EXPECT_EQ(env_->dataplane.argument("first", "lim", "mbps"), "60");
  EXPECT_EQ(to_string(env_->dataplane.tenant("first").key), "7");
}

TEST_F(Tenants, AreDetachedByNameOrInBulk) {
  ASSERT_TRUE(send("POST", {{"yaml", "a: { key: 1 }\nb: { key: 2 }\nc: { key: 3 }\n"}}).ok());
  ASSERT_TRUE(send("DELETE", {{"names", {"a", "b"}}}).ok());
  EXPECT_EQ(last_["tenants"], 2);
  EXPECT_TRUE(env_->client.send("DELETE", "/v1/tenants/c", json::object()).ok());
  EXPECT_EQ(env_->dataplane.tenant_count(), 1u);
  expect_error(send("PATCH", {{"tenants", {{"a", json::object()}}}}), absl::StatusCode::kNotFound,
               "'a'");
}

TEST_F(Tenants, BadRequestsAreOneLine) {
  using Code = absl::StatusCode;
  expect_error(send("POST", {{"tenants", {{"first", {{"key", 9}}}}}}), Code::kAlreadyExists,
               "first");
  expect_error(send("PUT", {{"tenants", {{"ghost", {{"key", 9}}}}}}), Code::kNotFound, "ghost");
  expect_error(send("DELETE", {{"names", {"ghost"}}}), Code::kNotFound, "ghost");
  expect_error(send("DELETE", {{"names", 3}}), Code::kInvalidArgument, "names");
  expect_error(send("DELETE", json::object()), Code::kInvalidArgument, "names");
  expect_error(send("POST", json::array()), Code::kInvalidArgument, "object");
  expect_error(send("POST", json::object()), Code::kInvalidArgument, "yaml");
  expect_error(send("POST", {{"yaml", 3}}), Code::kInvalidArgument, "yaml");
  expect_error(send("POST", {{"yaml", "a: {key: 1}"}, {"colour", 3}}), Code::kInvalidArgument,
               "colour");
  expect_error(send("POST", {{"yaml", "a: {key: 1}"}, {"files", 3}}), Code::kInvalidArgument,
               "files");
  expect_error(send("POST", {{"yaml", "a: {key: [1"}}), Code::kInvalidArgument, "request");
  expect_error(send("POST", {{"yaml", "a: {key: 1}\na: {key: 2}\n"}}), Code::kInvalidArgument, "a");
  expect_error(send("POST", {{"tenants", {{"a", 3}}}}), Code::kInvalidArgument, "a");
  expect_error(send("PATCH", {{"tenants", {{"first", 3}}}}), Code::kInvalidArgument, "first");
  EXPECT_EQ(env_->dataplane.tenant_count(), 1u);
}

TEST_F(Tenants, ABodyIsReadStrictly) {
  EXPECT_FALSE(parse_json_body("{\"a\":1,\"a\":2}").ok());
  EXPECT_FALSE(parse_json_body("{\"x\":{\"a\":1,\"a\":2}}").ok());
  EXPECT_TRUE(parse_json_body("{\"x\":{\"a\":1},\"y\":{\"a\":2}}").ok());
  EXPECT_FALSE(parse_json_body("{\"a\":\"\xff\"}").ok());
  EXPECT_FALSE(parse_json_body("").ok());
  EXPECT_FALSE(parse_json_body("{\"a\":" + std::string(1'000'000, '[')).ok());
  EXPECT_TRUE(parse_json_body("{\"a\":\"" + std::string(1'000, '[') + "\"}").ok());
}

TEST_F(Tenants, AThousandInOneCallTakeWellUnderTwoSeconds) {
  std::string yaml;
  json files = json::object();
  for (int i = 0; i < 1000; ++i) {
    yaml += fmt::format("t{}: {{ key: {}, lim: {{ mbps: {} }}, fw: {{ rules: r{}.rules }} }}\n", i,
                        i + 100, 1 + i % 50, i);
    files[fmt::format("r{}.rules", i)] = "default allow\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(send("POST", {{"yaml", yaml}, {"files", files}}).ok());
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took, std::chrono::seconds(2));
  RecordProperty("milliseconds",
                 std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
  EXPECT_EQ(env_->dataplane.tenant_count(), 1001u);
}

}  // namespace
}  // namespace mayfly
