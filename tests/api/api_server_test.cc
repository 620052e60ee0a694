#include "runtime/api/api_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "recording_dataplane.h"

namespace mayfly {
namespace {

using nlohmann::json;

class Api : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(env_.started.ok()) << env_.started; }
  json get(const std::string& path) {
    auto answer = env_.client.get(path);
    EXPECT_TRUE(answer.ok()) << path << ": " << answer.status();
    return answer.ok() ? *answer : json();
  }
  ApiEnv env_;
};

TEST_F(Api, EveryResourceAnswers) {
  EXPECT_EQ(get("/v1/health")["status"], "ok");
  EXPECT_EQ(get("/v1/stats")["packets"]["rx"], 7);
  EXPECT_EQ(get("/v1/nfs")[0]["nf"], "fw");
  EXPECT_EQ(get("/v1/tenants"), json::array());
  EXPECT_EQ(get("/v1/config")["name"], "default");
}

TEST_F(Api, FlowsComeInPages) {
  json page = get("/v1/flows?limit=10");
  EXPECT_EQ(page["flows"].size(), 10u);
  EXPECT_EQ(page["total"], 25);
  page = get("/v1/flows?limit=20&cursor=" + page["next"].dump());
  EXPECT_EQ(page["flows"].size(), 15u);
  EXPECT_EQ(page["flows"][0]["id"], 10);
  EXPECT_TRUE(page["next"].is_null());
}

TEST_F(Api, ErrorsAreJsonWithAStatus) {
  struct Row {
    const char* path;
    absl::StatusCode code;
    const char* word;
  };
  const Row rows[] = {
      {"/v1/nothing", absl::StatusCode::kNotFound, "/v1/nothing"},
      {"/", absl::StatusCode::kNotFound, "GET /"},
      {"/v1/flows?limit=0", absl::StatusCode::kInvalidArgument, "limit=0"},
      {"/v1/flows?limit=x", absl::StatusCode::kInvalidArgument, "limit=x"},
      {"/v1/flows?limit=-1", absl::StatusCode::kInvalidArgument, "limit=-1"},
      {"/v1/flows?cursor=99999999999999999999999", absl::StatusCode::kInvalidArgument, "cursor"},
  };
  for (const Row& row : rows) {
    const absl::Status status = env_.client.get(row.path).status();
    EXPECT_EQ(status.code(), row.code) << row.path << ": " << status;
    EXPECT_NE(status.message().find(row.word), absl::string_view::npos) << status;
  }
}

TEST_F(Api, TheSocketIsTheOwnersAlone) {
  struct stat info;
  ASSERT_EQ(::stat(env_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Api, StopRemovesTheSocketAndStartWorksAgain) {
  env_.server.stop();
  EXPECT_NE(::access(env_.path.c_str(), F_OK), 0);
  EXPECT_TRUE(absl::IsUnavailable(env_.client.get("/v1/health").status()));
  ASSERT_TRUE(env_.server.start().ok());
  EXPECT_EQ(get("/v1/health")["status"], "ok");
}

TEST_F(Api, AStaleSocketIsReplaced) {
  env_.server.stop();
  std::ofstream(env_.path) << "left";
  ASSERT_TRUE(env_.server.start().ok());
  EXPECT_EQ(get("/v1/health")["status"], "ok");
}

TEST_F(Api, ManyClientsAtOnce) {
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) good += env_.client.get("/v1/stats").ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 16 * 20);
}

TEST(ApiStart, APathThatCannotBeIsAnError) {
  RecordingDataplane dataplane{Config()};
  EXPECT_FALSE(ApiServer(dataplane, "/no/such/dir/api.sock").start().ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(ApiServer(dataplane, "/tmp/" + std::string(200, 'x')).start()));
}

}  // namespace
}  // namespace mayfly
