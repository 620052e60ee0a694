#include "runtime/config/image_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The C library of Debian 12 declares it without C linkage.
extern "C" {}

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

extern char** environ;

namespace mayfly {
namespace {

constexpr size_t kOutputBytesMax = 512u << 20;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status system_error(std::string_view what) {
  return absl::InternalError(fmt::format("{}: {}", what, std::strerror(errno)));
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return lseek(fd, 0, SEEK_SET) == 0;
}

std::string read_all(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return {};
  std::string bytes(std::min(static_cast<size_t>(info.st_size), kOutputBytesMax), '\0');
  size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = pread(fd, bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t newline = text.rfind('\n');
  text = newline == std::string::npos ? text : text.substr(newline + 1);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text.substr(0, 500);
}

absl::StatusOr<std::string> tool_path() {
  const auto dir = executable_dir();
  if (!dir.ok()) return dir.status();
  // Beside the executable; or, for those of a build tree's tests and benchmarks, in its bin.
  for (const std::string& path : {*dir + "/mayfly-image", *dir + "/../bin/mayfly-image"})
    if (access(path.c_str(), X_OK) == 0) return path;
  return absl::NotFoundError(
      fmt::format("{}/mayfly-image is not there; install Mayfly whole", *dir));
}

// The child starts with default signals, an own process group and nothing open but 0, 1 and 2.
absl::StatusOr<pid_t> spawn(const std::string& path, const std::vector<std::string>& arguments,
                            int in, int out, int err) {
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return absl::InternalError(fmt::format("cannot start {}: {}", path, std::strerror(error)));
  return pid;
}

int64_t monotonic_ms() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

// True if the process ended in time; its status is then waiting to be fetched.
bool await_end(int pidfd, Nanos limit) {
  const int64_t end_ms = monotonic_ms() + limit.n / 1'000'000;
  for (;;) {
    const int64_t left_ms = end_ms - monotonic_ms();
    if (left_ms < 0) return false;
    pollfd p{.fd = pidfd, .events = POLLIN, .revents = 0};
    const int n = poll(&p, 1, static_cast<int>(std::min<int64_t>(left_ms + 1, 1'000'000)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

}  // namespace

absl::StatusOr<std::string> executable_dir() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (n <= 0) return system_error("cannot read /proc/self/exe");
  const std::string_view full(path, static_cast<size_t>(n));
  return std::string(full.substr(0, full.rfind('/')));
}

absl::StatusOr<ImageProcessEnd> run_image_tool(const std::vector<std::string>& arguments,
                                               std::string_view input, Nanos limit) {
  const auto path = tool_path();
  if (!path.ok()) return path.status();
  // Above 2, so that the dup2 onto 0, 1 and 2 never meet their own source.
  const auto memory_file = [](const char* name) {
    const Fd low(memfd_create(name, MFD_CLOEXEC));
    return fcntl(low.get(), F_DUPFD_CLOEXEC, 3);
  };
  const Fd in(memory_file("mayfly-image-in")), out(memory_file("mayfly-image-out")),
      err(memory_file("mayfly-image-err"));
  if (!in.ok() || !out.ok() || !err.ok()) return system_error("memfd_create");
  if (!write_all(in.get(), input)) return system_error("writing to a memfd");

  const auto pid = spawn(*path, arguments, in.get(), out.get(), err.get());
  if (!pid.ok()) return pid.status();
  // By number: <sys/pidfd.h> of glibc 2.36 forgets extern "C".
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  ImageProcessEnd end;
  end.timed_out = !pidfd.ok() || !await_end(pidfd.get(), limit);
  if (end.timed_out) kill(-*pid, SIGKILL);
  int status = 0;
  pid_t reaped;
  do {
    reaped = waitpid(*pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0) return system_error("waiting for mayfly-image");
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  kill(-*pid, SIGKILL);  // what the image may have left behind in its group
  end.out = read_all(out.get());
  end.err = last_line(read_all(err.get()));
  return end;
}

}  // namespace mayfly
