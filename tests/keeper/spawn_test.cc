#include "runtime/keeper/spawn.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace mayfly {
namespace {

int exit_status(pid_t pid) {
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int run_shell(const std::string& script, const std::vector<int>& fds = {}) {
  auto pid = spawn_child({{"/bin/sh", "-c", script}, fds});
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.ok() ? exit_status(*pid) : -1;
}

TEST(Spawn, DescriptorsBecomeThreeFourFiveInOrder) {
  std::vector<int> fds;
  for (const char* text : {"one\n", "two\n", "three\n"}) {
    fds.push_back(::memfd_create(text, MFD_CLOEXEC));
    ASSERT_GT(::write(fds.back(), text, strlen(text)), 0);
    ::lseek(fds.back(), 0, SEEK_SET);
  }
  // The order given here is the reverse of the numbers, so that a naive dup2 would overwrite.
  const std::vector<int> reversed(fds.rbegin(), fds.rend());
  EXPECT_EQ(run_shell("read a <&3; read b <&4; read c <&5; [ $a$b$c = threetwoone ]", reversed), 0);
  for (const int fd : fds) ::close(fd);
}

TEST(Spawn, NothingElseIsOpenInTheChild) {
  const int stray = ::memfd_create("stray", 0);  // not close-on-exec
  EXPECT_EQ(run_shell("for f in /proc/$$/fd/*; do case ${f##*/} in 0|1|2|10) ;; *) "
                      "[ -e $f ] && exit 1;; esac; done; exit 0"),
            0);
  ::close(stray);
}

TEST(Spawn, ExecFailureIsAnErrorThatNamesTheFile) {
  auto pid = spawn_child({{"/no/such/program"}, {}});
  ASSERT_FALSE(pid.ok());
  EXPECT_NE(pid.status().message().find("/no/such/program"), absl::string_view::npos);
  EXPECT_TRUE(absl::IsInvalidArgument(spawn_child({{}, {}}).status()));
  int status;
  EXPECT_EQ(::waitpid(-1, &status, WNOHANG), -1) << "a child was left behind";
}

TEST(Spawn, SignalsAreUnblockedAndDefault) {
  sigset_t block, old;
  sigfillset(&block);
  ::sigprocmask(SIG_BLOCK, &block, &old);
  auto pid = spawn_child({{"/bin/sleep", "60"}, {}});
  ::sigprocmask(SIG_SETMASK, &old, nullptr);
  ASSERT_TRUE(pid.ok());
  ::kill(*pid, SIGTERM);
  int status;
  ASSERT_EQ(::waitpid(*pid, &status, 0), *pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(Spawn, ProcessGroupIsItsOwn) {
  auto pid = spawn_child({{"/bin/sleep", "60"}, {}});
  ASSERT_TRUE(pid.ok());
  EXPECT_EQ(::getpgid(*pid), *pid);
  ::kill(*pid, SIGKILL);
  ::waitpid(*pid, nullptr, 0);
}

TEST(Spawn, TheChildDiesWithItsParent) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    auto pid = spawn_child({{"/bin/sleep", "60"}, {pipe_fds[1]}});  // it alone keeps the pipe open
    ::_exit(pid.ok() ? 0 : 1);
  }
  ::close(pipe_fds[1]);
  EXPECT_EQ(exit_status(parent), 0);
  char byte;
  EXPECT_EQ(::read(pipe_fds[0], &byte, 1), 0);  // returns when the grandchild is gone
  ::close(pipe_fds[0]);
}

}  // namespace
}  // namespace mayfly
