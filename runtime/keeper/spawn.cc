#include "runtime/keeper/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

constexpr int kFirstDescriptor = 3;

// Everything the child needs, made before the fork: after it only async-signal-safe calls.
struct Plan {
  std::vector<char*> argv;
  std::vector<int> descriptors;  // with room for one more
  pid_t parent;
  int failure_pipe;
};

void reset_signals() {
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Moves the wanted descriptors to 3, 4, ... and the failure pipe right after them. They are first
// copied above the whole target range, so that no copy lands on one still to be read.
bool place_descriptors(Plan& plan, int& failure_pipe) {
  const int count = static_cast<int>(plan.descriptors.size());
  int above = kFirstDescriptor + count + 1;
  plan.descriptors.push_back(failure_pipe);
  for (int& descriptor : plan.descriptors) {
    descriptor = ::fcntl(descriptor, F_DUPFD_CLOEXEC, above);
    if (descriptor < 0) return false;
    above = descriptor + 1;
  }
  failure_pipe = plan.descriptors.back();
  for (int i = 0; i < count; ++i) {
    if (::dup2(plan.descriptors[static_cast<size_t>(i)], kFirstDescriptor + i) < 0) return false;
  }
  const int pipe_at = kFirstDescriptor + count;
  if (::dup3(failure_pipe, pipe_at, O_CLOEXEC) < 0) return false;
  failure_pipe = pipe_at;
  return ::close_range(static_cast<unsigned>(pipe_at) + 1, ~0u, 0) == 0;
}

bool place_standard_streams() {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return null >= 0 && ::dup2(null, 0) >= 0 && ::dup2(2, 1) >= 0;
}

[[noreturn]] void child_main(Plan& plan) {
  int failure_pipe = plan.failure_pipe;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // died before the line above
  ::setpgid(0, 0);
  reset_signals();
  if (place_standard_streams() && place_descriptors(plan, failure_pipe)) {
    ::execv(plan.argv[0], plan.argv.data());
  }
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(failure_pipe, &error, sizeof error);
  ::_exit(127);
}

// 0: exec succeeded (the pipe closed itself); else its errno.
int read_failure(int pipe) {
  int error = 0;
  ssize_t size;
  while ((size = ::read(pipe, &error, sizeof error)) < 0 && errno == EINTR) {
  }
  return size == sizeof error ? error : 0;
}

std::vector<pid_t> children_of(pid_t parent) {
  std::ifstream file(absl::StrCat("/proc/", parent, "/task/", parent, "/children"));
  std::vector<pid_t> pids;
  for (pid_t pid; file >> pid;) pids.push_back(pid);
  return pids;
}

// Thousands of NFs share a core, and tearing one down takes 0.2 ms of it: let them die on all.
void kill_anywhere(pid_t pid) {
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  ::sched_setaffinity(pid, sizeof all, &all);
  ::kill(pid, SIGKILL);
}

// Two generations: zygotes and their NFs, or NFs that have become ours.
void kill_descendants() {
  const std::vector<pid_t> children = children_of(::getpid());
  for (const pid_t child : children) {
    for (const pid_t grandchild : children_of(child)) kill_anywhere(grandchild);
  }
  for (const pid_t child : children) kill_anywhere(child);
}

}  // namespace

absl::StatusOr<pid_t> spawn_child(const ChildProcess& child) {
  if (child.argv.empty() || child.argv[0].empty()) {
    return absl::InvalidArgumentError("no executable named");
  }
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  Plan plan{{}, child.descriptors, ::getpid(), pipe[1]};
  plan.descriptors.reserve(child.descriptors.size() + 1);
  for (const std::string& arg : child.argv) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);

  const pid_t pid = ::fork();
  if (pid == 0) child_main(plan);
  const int fork_error = errno;
  ::close(pipe[1]);
  const int error = pid < 0 ? fork_error : read_failure(pipe[0]);
  ::close(pipe[0]);
  if (pid < 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot fork for ", child.argv[0]));
  }
  if (error != 0) {
    ::waitpid(pid, nullptr, 0);
    return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", child.argv[0]));
  }
  return pid;
}

bool kill_all_children(std::chrono::milliseconds patience,
                       const std::function<void(pid_t, int status)>& on_exit) {
  using SteadyClock = std::chrono::steady_clock;
  constexpr auto kListEvery = std::chrono::milliseconds(200);
  constexpr auto kReapEvery = std::chrono::milliseconds(5);
  const auto deadline = SteadyClock::now() + patience;
  auto list_next = SteadyClock::now();
  while (SteadyClock::now() < deadline) {
    // Again now and then: who was being forked during the first round was not listed.
    if (SteadyClock::now() >= list_next) {
      kill_descendants();
      list_next = SteadyClock::now() + kListEvery;
    }
    int status;
    pid_t pid;
    while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) on_exit(pid, status);
    if (pid < 0 && errno == ECHILD) return true;
    std::this_thread::sleep_for(kReapEvery);
  }
  return false;
}

absl::StatusOr<std::string> sibling_executable(const std::string& name) {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  if (size <= 0 || size == sizeof self) return absl::ErrnoToStatus(errno, "/proc/self/exe");
  std::string path(self, static_cast<size_t>(size));
  path.resize(path.rfind('/') + 1);
  path += name;
  if (::access(path.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat(path, ": ", std::strerror(errno), "; it belongs beside this executable"));
  }
  return path;
}

}  // namespace mayfly
