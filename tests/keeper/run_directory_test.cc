#include "runtime/keeper/run_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "runtime/keeper/spawn.h"

namespace mayfly {
namespace {

namespace fs = std::filesystem;

std::string own_name(const char* what) { return std::string(what) + std::to_string(::getpid()); }

TEST(RunDirectory, ExistsPrivatelyWhileHeldAndIsGoneAfterwards) {
  const std::string name = own_name("dir");
  const std::string path = run_directory_path(name);
  {
    auto run = RunDirectory::acquire(name);
    ASSERT_TRUE(run.ok()) << run.status();
    struct stat info;
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    std::ofstream(path + "/api.sock") << "x";
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(RunDirectory, ASecondKeeperOfThatNameIsRefusedWithThePid) {
  const std::string name = own_name("twice");
  auto first = RunDirectory::acquire(name);
  ASSERT_TRUE(first.ok());
  auto second = RunDirectory::acquire(name);
  ASSERT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_NE(second.status().message().find(std::to_string(::getpid())), absl::string_view::npos);
  EXPECT_TRUE(fs::exists(run_directory_path(name) + "/lock"));
}

TEST(RunDirectory, OtherNamesDoNotDisturbEachOther) {
  auto a = RunDirectory::acquire(own_name("a"));
  auto b = RunDirectory::acquire(own_name("b"));
  EXPECT_TRUE(a.ok() && b.ok());
}

TEST(RunDirectory, LeftoversOfADeadKeeperAreCleared) {
  const std::string name = own_name("stale");
  const pid_t keeper = ::fork();
  if (keeper == 0) {
    auto run = RunDirectory::acquire(name);
    std::ofstream(run->path() + "/api.sock") << "x";
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(keeper, nullptr, 0), keeper);
  const std::string path = run_directory_path(name);
  ASSERT_TRUE(fs::exists(path + "/api.sock"));
  EXPECT_TRUE(absl::IsNotFound(find_api_socket(name).status()));
  auto run = RunDirectory::acquire(name);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(fs::exists(path + "/api.sock"));
}

TEST(RunDirectory, AnOldDataplaneIsGoneBeforeTheNextStart) {
  const std::string name = own_name("old");
  auto old = spawn_child({{"/bin/sleep", "60"}, {}});
  ASSERT_TRUE(old.ok());
  const pid_t keeper = ::fork();
  if (keeper == 0) {
    auto run = RunDirectory::acquire(name);
    ::_exit(run.ok() && run->record_dataplane(*old).ok() ? 0 : 1);
  }
  int status;
  ASSERT_EQ(::waitpid(keeper, &status, 0), keeper);
  ASSERT_EQ(status, 0);
  auto run = RunDirectory::acquire(name);
  ASSERT_TRUE(run.ok());
  ASSERT_EQ(::waitpid(*old, &status, WNOHANG), *old) << "still alive";
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(RunDirectory, AReusedPidIsLeftAlone) {
  const std::string name = own_name("reused");
  auto innocent = spawn_child({{"/bin/sleep", "60"}, {}});
  ASSERT_TRUE(innocent.ok());
  const std::string path = run_directory_path(name);
  { ASSERT_TRUE(RunDirectory::acquire(name).ok()); }
  fs::create_directory(path);
  ::chmod(path.c_str(), 0700);
  std::ofstream(path + "/dataplane") << *innocent << " 12345\n";  // another start time
  auto run = RunDirectory::acquire(name);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(::waitpid(*innocent, nullptr, WNOHANG), 0);
  ::kill(*innocent, SIGKILL);
  ::waitpid(*innocent, nullptr, 0);
}

TEST(RunDirectory, DpdkRuntimeFilesOfTheNameAreRemoved) {
  const std::string base = testing::TempDir() + own_name("runtime");
  ::setenv("RUNTIME_DIRECTORY", base.c_str(), 1);
  const std::string name = own_name("dpdk");
  fs::create_directories(base + "/dpdk/mayfly-" + name);
  fs::create_directories(base + "/dpdk/mayfly-" + name + "x");
  { ASSERT_TRUE(RunDirectory::acquire(name).ok()); }
  EXPECT_FALSE(fs::exists(base + "/dpdk/mayfly-" + name));
  EXPECT_TRUE(fs::exists(base + "/dpdk/mayfly-" + name + "x"));
  ::unsetenv("RUNTIME_DIRECTORY");
  fs::remove_all(base);
}

TEST(RunDirectory, ASymbolicLinkInItsPlaceIsRefused) {
  const std::string name = own_name("link");
  const std::string path = run_directory_path(name);
  const std::string target = testing::TempDir() + name;
  fs::create_directory(target);
  { ASSERT_TRUE(RunDirectory::acquire(own_name("base")).ok()); }
  fs::create_symlink(target, path);
  std::ofstream(target + "/precious") << "x";
  EXPECT_TRUE(absl::IsPermissionDenied(RunDirectory::acquire(name).status()));
  EXPECT_TRUE(fs::exists(target + "/precious"));
  fs::remove(path);
  fs::remove_all(target);
}

TEST(RunDirectory, NamesAreChecked) {
  for (const char* good : {"default", "a", "demo-2", "x.y_z", "7"}) {
    EXPECT_TRUE(check_run_name(good).ok()) << good;
  }
  for (const char* bad : {"", ".", "..", "a/b", "-x", "a b", "../../etc", "a\n",
                          "123456789012345678901234567890123"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(check_run_name(bad))) << bad;
  }
}

TEST(RunDirectory, TheSocketOfALiveRunIsFound) {
  const std::string name = own_name("find");
  auto run = RunDirectory::acquire(name);
  ASSERT_TRUE(run.ok());
  auto socket = find_api_socket(name);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(*socket, run->path() + "/api.sock");
  const absl::Status other = find_api_socket("no-such-run").status();
  EXPECT_TRUE(absl::IsNotFound(other));
  EXPECT_NE(other.message().find(name), absl::string_view::npos) << other;
}

}  // namespace
}  // namespace mayfly
