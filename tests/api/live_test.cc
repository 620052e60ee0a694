// What is changed and measured while packets flow: rates, waking, windows.
#include <gtest/gtest.h>

#include "recording_dataplane.h"

namespace mayfly {
namespace {

using nlohmann::json;

Config config() {
  Config c;
  c.dispatch = Dispatch::eventfd;
  for (const char* name : {"fw", "lim"}) {
    NfConfig nf;
    nf.name = name;
    c.nfs.push_back(nf);
  }
  ChainConfig chain;
  chain.name = "protect";
  chain.nfs = {NfId{0}, NfId{1}};
  c.chains.push_back(chain);
  return c;
}

class Live : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(env_.started.ok()) << env_.started; }
  json send(const char* method, const std::string& path, const json& body) {
    auto answer = env_.client.send(method, path, body);
    EXPECT_TRUE(answer.ok()) << path << ": " << answer.status();
    return answer.ok() ? *answer : json();
  }
  // A conflict (409) is kAlreadyExists to this client.
  void expect_error(const std::string& path, const json& body, absl::StatusCode code,
                    const char* word) {
    const absl::Status status = env_.client.send("PATCH", path, body).status();
    EXPECT_EQ(status.code(), code) << body << ": " << status;
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << body << ": " << status;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
  }
  ApiEnv env_{config()};
};

TEST_F(Live, ARateIsSetAndReadBack) {
  EXPECT_EQ(send("PATCH", "/v1/ports/load", {{"rate", "1.5Mpps"}})["rate"], "1500000pps");
  EXPECT_EQ(env_.dataplane.rate(), 1.5e6);
  EXPECT_EQ((*env_.client.get("/v1/ports"))[0]["rate"], "1500000pps");
  EXPECT_EQ(send("PATCH", "/v1/ports/load", {{"rate", "max"}})["rate"], "max");
  EXPECT_EQ(env_.dataplane.rate(), 0);
}

TEST_F(Live, BadRates) {
  using Code = absl::StatusCode;
  const std::string load = "/v1/ports/load";
  expect_error(load, {{"rate", "1500"}}, Code::kInvalidArgument, "\"1500\" has no unit");
  expect_error(load, {{"rate", "5Mbps"}}, Code::kInvalidArgument, "unknown unit");
  expect_error(load, {{"rate", "0pps"}}, Code::kInvalidArgument, "write at least");
  expect_error(load, {{"rate", 1500}}, Code::kInvalidArgument, "with its unit");
  expect_error(load, json::object(), Code::kInvalidArgument, "with its unit");
  expect_error(load, {{"rate", "1pps"}, {"size", 64}}, Code::kInvalidArgument, "'size'");
  expect_error("/v1/ports/lan", {{"rate", "1pps"}}, Code::kNotFound, "'lan'");
  expect_error("/v1/ports/wire", {{"rate", "1pps"}}, Code::kAlreadyExists, "no gen port");
  EXPECT_EQ(env_.dataplane.rate(), 1e6);
}

TEST_F(Live, WakeSettingsReachTheDataplane) {
  send("PATCH", "/v1/wake", {{"batch", 32}});
  WakeChange change = env_.dataplane.last_wake_change();
  EXPECT_TRUE(change.batch && !change.aging && !change.chain && !change.nf && !change.inherit);
  EXPECT_EQ(change.to.batch, 32u);
  send("PATCH", "/v1/wake", {{"batch", "adaptive"}, {"aging", "off"}, {"chain", "protect"}});
  change = env_.dataplane.last_wake_change();
  EXPECT_TRUE(change.batch && change.aging && change.to.adaptive);
  EXPECT_EQ(change.to.aging, kNever);
  EXPECT_EQ(change.chain, ChainId{0});
  send("PATCH", "/v1/wake", {{"aging", "150us"}, {"nf", "lim"}});
  change = env_.dataplane.last_wake_change();
  EXPECT_EQ(change.nf, NfId{1});
  EXPECT_EQ(change.to.aging, micros(150));
  EXPECT_EQ(send("PATCH", "/v1/wake", {{"inherit", true}, {"nf", "lim"}})["changes"], 4);
  EXPECT_TRUE(env_.dataplane.last_wake_change().inherit);
  EXPECT_EQ((*env_.client.get("/v1/wake"))["changes"], 4);
}

TEST_F(Live, BadWakeSettings) {
  using Code = absl::StatusCode;
  const auto expect = [&](const json& body, Code code, const char* word) {
    expect_error("/v1/wake", body, code, word);
  };
  expect({{"batch", 0}}, Code::kInvalidArgument, "wake.batch: 0 is out of bounds");
  expect({{"batch", 112}}, Code::kInvalidArgument, "from 1 to 111");
  expect({{"batch", "many"}}, Code::kInvalidArgument, "\"many\" is not an integer");
  expect({{"batch", json()}}, Code::kInvalidArgument, "wake.batch");
  expect({{"aging", 100}}, Code::kInvalidArgument, "has no unit");
  expect({{"aging", "20s"}}, Code::kInvalidArgument, "from 1us to 10s");
  expect({{"aging", {{"x", 1}}}}, Code::kInvalidArgument, "wake.aging: this is a map");
  expect({{"bach", 8}}, Code::kInvalidArgument, "unknown key 'bach'");
  expect(json::object(), Code::kInvalidArgument, "give \"batch\", \"aging\" or both");
  expect({{"batch", 8}, {"chain", "protect"}, {"nf", "fw"}}, Code::kInvalidArgument, "not both");
  expect({{"batch", 8}, {"chain", 3}}, Code::kInvalidArgument, "\"chain\" is not text");
  expect({{"batch", 8}, {"chain", "protec"}}, Code::kNotFound, "there are protect");
  expect({{"batch", 8}, {"nf", "x"}}, Code::kNotFound, "there are fw, lim");
  expect({{"inherit", true}}, Code::kInvalidArgument, "\"inherit\"");
  expect({{"inherit", false}, {"nf", "fw"}}, Code::kInvalidArgument, "\"inherit\"");
  expect({{"inherit", true}, {"nf", "fw"}, {"batch", 3}}, Code::kInvalidArgument, "\"inherit\"");
  expect({{"dispatch", "futex"}}, Code::kAlreadyExists, "it is eventfd here");
  EXPECT_EQ(send("PATCH", "/v1/wake", {{"batch", 8}})["changes"], 1);
}

TEST_F(Live, OneWindowAtATime) {
  EXPECT_TRUE(absl::IsNotFound(env_.client.get("/v1/window").status()));
  EXPECT_EQ(send("POST", "/v1/window", json::object())["window"], 1);
  EXPECT_EQ((*env_.client.get("/v1/window"))["window"], 1);
  EXPECT_EQ(send("POST", "/v1/window", json::object())["window"], 2);
  EXPECT_EQ((*env_.client.get("/v1/window"))["seconds"], 1.5);
  EXPECT_EQ((*env_.client.get("/v1/window"))["buckets"], true);
  EXPECT_EQ((*env_.client.get("/v1/window?buckets=false"))["buckets"], false);
  EXPECT_TRUE(absl::IsInvalidArgument(env_.client.get("/v1/window?buckets=no").status()));
}

}  // namespace
}  // namespace mayfly
