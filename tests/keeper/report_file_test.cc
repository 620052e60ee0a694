#include "runtime/keeper/report_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace mayfly {
namespace {

namespace fs = std::filesystem;

class Report : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "report" + std::to_string(::getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string content(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  size_t file_count() {
    return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), {}));
  }
  std::string directory_;
};

TEST_F(Report, IsWholeOrAbsent) {
  const std::string path = directory_ + "/out.json";
  {
    auto file = ReportFile::prepare(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_FALSE(fs::exists(path));
    ASSERT_TRUE(file->commit("{\"a\":1}\n").ok());
    EXPECT_EQ(content(path), "{\"a\":1}\n");
  }
  EXPECT_EQ(file_count(), 1u);
}

TEST_F(Report, AnOlderReportSurvivesARunThatFails) {
  const std::string path = directory_ + "/out.json";
  std::ofstream(path) << "old";
  { ASSERT_TRUE(ReportFile::prepare(path).ok()); }
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(file_count(), 1u);
}

TEST_F(Report, BadPathsAreRefusedAtOnce) {
  for (const std::string& path :
       {directory_, directory_ + "/no/such/dir.json", std::string("/proc/report.json")}) {
    const auto file = ReportFile::prepare(path);
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_NE(file.status().message().find(path), absl::string_view::npos);
  }
}

TEST_F(Report, AFullDiskIsRefusedAtOnce) {
  EXPECT_TRUE(ReportFile::prepare("/dev/null").ok());
  auto full = ReportFile::prepare("/dev/full");  // a device: written directly
  ASSERT_TRUE(full.ok());
  EXPECT_FALSE(full->commit("x").ok());
}

TEST_F(Report, APipeIsWrittenDirectly) {
  const std::string path = directory_ + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDWR);
  auto file = ReportFile::prepare(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->commit("hello").ok());
  char text[8] = {};
  EXPECT_EQ(::read(reader, text, 5), 5);
  EXPECT_STREQ(text, "hello");
  ::close(reader);
}

}  // namespace
}  // namespace mayfly
