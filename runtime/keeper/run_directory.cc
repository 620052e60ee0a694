#include "runtime/keeper/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "scheduler/low_weight.h"

namespace mayfly {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameBytesMax = 32;
constexpr auto kOldDataplaneEnds = std::chrono::seconds(5);

std::string base_directory() {
  if (::geteuid() == 0) return "/run/mayfly";
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir == '/') {
    return absl::StrCat(dir, "/mayfly");
  }
  return absl::StrCat("/tmp/mayfly-", ::geteuid());
}

// A directory (no link) of ours that nobody else can write: /tmp is open to anybody's names.
bool is_private_directory(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 022) == 0;
}

absl::Status make_private_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno != EEXIST) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path));
  if (!is_private_directory(path)) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " is not a directory that only you can write; remove it"));
  }
  return absl::OkStatus();
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Field 22 of /proc/PID/stat, which tells one user of a pid from the next; empty if gone or dead.
std::string process_start_time(pid_t pid) {
  const std::string line = read_line(absl::StrCat("/proc/", pid, "/stat"));
  size_t at = line.rfind(')');
  if (at == std::string::npos || at + 2 >= line.size() || line[at + 2] == 'Z') return "";
  for (int field = 2; field < 22; ++field) {
    at = line.find(' ', at + 1);
    if (at == std::string::npos) return "";
  }
  return line.substr(at + 1, line.find(' ', at + 1) - at - 1);
}

// The recorded dataplane, if that process is still there.
std::optional<pid_t> old_dataplane(const std::string& record) {
  const std::string line = read_line(record);
  const size_t space = line.find(' ');
  if (space == std::string::npos) return std::nullopt;
  const pid_t pid = static_cast<pid_t>(std::strtol(line.c_str(), nullptr, 10));
  const std::string started = line.substr(space + 1);
  if (pid <= 1 || started.empty() || process_start_time(pid) != started) return std::nullopt;
  return pid;
}

// The kernel kills a dataplane whose keeper died, but tearing down its memory and ports takes it
// a while: a successor that did not wait would find them in use.
void await_old_dataplane(const std::string& record) {
  const auto deadline = std::chrono::steady_clock::now() + kOldDataplaneEnds;
  while (const auto pid = old_dataplane(record)) {
    if (std::chrono::steady_clock::now() > deadline) return;
    ::kill(*pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void remove_contents(const std::string& directory, bool but_lock) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (but_lock && entry.path().filename() == "lock") continue;
    fs::remove_all(entry.path(), ignored);
  }
}

// Where DPDK keeps the runtime files of a process (eal_create_runtime_dir).
std::string dpdk_runtime_directory(const std::string& prefix) {
  std::string base = "/tmp";
  if (const char* dir = std::getenv("RUNTIME_DIRECTORY"); dir != nullptr && *dir == '/') {
    base = dir;
  } else if (::getuid() == 0) {
    base = "/var/run";
  } else if (const char* xdg = std::getenv("XDG_RUNTIME_DIR"); xdg != nullptr && *xdg == '/') {
    base = xdg;
  }
  return absl::StrCat(base, "/dpdk/", prefix);
}

std::vector<std::string> hugetlbfs_mounts() {
  std::vector<std::string> mounts;
  std::ifstream file("/proc/self/mounts");
  std::string device, directory, type, rest;
  while (file >> device >> directory >> type && std::getline(file, rest)) {
    if (type == "hugetlbfs") mounts.push_back(directory);
  }
  return mounts;
}

void remove_hugepage_files(const std::string& prefix) {
  const std::string begin = absl::StrCat(prefix, "map_");
  std::error_code ignored;
  for (const std::string& mount : hugetlbfs_mounts()) {
    for (const auto& entry : fs::directory_iterator(mount, ignored)) {
      const std::string file = entry.path().filename();
      if (file.compare(0, begin.size(), begin) == 0) fs::remove(entry.path(), ignored);
    }
  }
}

void remove_dpdk_leftovers(const std::string& name) {
  const std::string prefix = dpdk_file_prefix(name);
  std::error_code ignored;
  fs::remove_all(dpdk_runtime_directory(prefix), ignored);
  remove_hugepage_files(prefix);
}

// For who holds its lock; the lock file goes last, it is what protects the rest.
void remove_run(const std::string& name, const std::string& path) {
  remove_dpdk_leftovers(name);
  LowWeight::remove_group(name);
  remove_contents(path, true);
  std::error_code ignored;
  fs::remove(path + "/lock", ignored);
  fs::remove(path, ignored);
}

absl::Status held_by_another(const std::string& name, const std::string& lock) {
  const std::string pid = read_line(lock);
  return absl::FailedPreconditionError(
      absl::StrCat("a run named '", name, "' is active (pid ", pid.empty() ? "unknown" : pid,
                   "); stop it, or choose another name with --name"));
}

// Opens and locks; -1 in the value: the directory was removed meanwhile, try again.
absl::StatusOr<int> open_lock(const std::string& name, const std::string& lock) {
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == ENOENT) return -1;
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", lock));
  // `mayfly stats` and the like probe the lock for an instant (is_live): look more than once.
  constexpr int kLooks = 5;
  for (int look = 1; ::flock(fd, LOCK_EX | LOCK_NB) != 0; ++look) {
    if (look == kLooks) {
      ::close(fd);
      return held_by_another(name, lock);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  struct stat locked, named;
  if (::fstat(fd, &locked) != 0 || ::stat(lock.c_str(), &named) != 0 ||
      locked.st_ino != named.st_ino || locked.st_dev != named.st_dev) {
    ::close(fd);
    return -1;
  }
  return fd;
}

// Leftovers of runs of other names whose keeper and dataplane are both gone. What is not certain
// stays for the next start of that name.
void clear_dead_runs(const std::string& but_name) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(base_directory(), ignored)) {
    const std::string name = entry.path().filename(), lock = entry.path() / "lock";
    if (name == but_name || !check_run_name(name).ok()) continue;
    if (!is_private_directory(entry.path())) continue;
    const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && !old_dataplane(entry.path() / "dataplane")) {
      remove_run(name, entry.path());
    }
    ::close(fd);
  }
}

absl::Status write_pid(int fd) {
  const std::string pid = absl::StrCat(::getpid(), "\n");
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return absl::ErrnoToStatus(errno, "cannot write the lock file");
  }
  return absl::OkStatus();
}

bool is_live(const std::string& directory) {
  const int fd = ::open(absl::StrCat(directory, "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return held;
}

}  // namespace

absl::Status check_run_name(const std::string& name) {
  const auto ok = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const bool valid = !name.empty() && name.size() <= kNameBytesMax && ok(name[0]) &&
                     std::all_of(name.begin(), name.end(),
                                 [&](char c) { return ok(c) || c == '_' || c == '-' || c == '.'; });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' cannot name a run; use at most ", kNameBytesMax,
                   " letters, digits, '_', '-', '.', beginning with a letter or digit"));
}

std::string run_directory_path(const std::string& name) {
  return absl::StrCat(base_directory(), "/", name);
}

std::string dpdk_file_prefix(const std::string& name) { return absl::StrCat("mayfly-", name); }

absl::StatusOr<RunDirectory> RunDirectory::acquire(const std::string& name) {
  if (auto status = check_run_name(name); !status.ok()) return status;
  const std::string path = run_directory_path(name);
  if (path.size() + sizeof "/api.sock" > sizeof sockaddr_un{}.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a Unix socket"));
  }
  constexpr int kTries = 100;  // each means that a predecessor was just removing its directory
  for (int i = 0; i < kTries; ++i) {
    if (auto status = make_private_directory(base_directory(), ::geteuid() == 0 ? 0755 : 0700);
        !status.ok()) {
      return status;
    }
    if (auto status = make_private_directory(path, 0700); !status.ok()) return status;
    auto fd = open_lock(name, absl::StrCat(path, "/lock"));
    if (!fd.ok()) return fd.status();
    if (*fd < 0) continue;
    RunDirectory run(name, path, *fd);
    if (auto status = write_pid(*fd); !status.ok()) return status;
    await_old_dataplane(absl::StrCat(path, "/dataplane"));
    remove_contents(path, true);
    remove_dpdk_leftovers(name);
    LowWeight::remove_group(name);
    clear_dead_runs(name);
    return run;
  }
  return absl::UnavailableError(absl::StrCat(path, " keeps vanishing; is something removing it?"));
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : name_(std::move(other.name_)), path_(std::move(other.path_)), lock_fd_(other.lock_fd_) {
  other.lock_fd_ = -1;
}

RunDirectory::~RunDirectory() {
  if (lock_fd_ < 0) return;
  remove_run(name_, path_);
  ::close(lock_fd_);
}

absl::Status RunDirectory::record_dataplane(pid_t pid) const {
  std::ofstream file(absl::StrCat(path_, "/dataplane"));
  file << pid << ' ' << process_start_time(pid) << '\n';
  file.close();
  if (!file) return absl::InternalError(absl::StrCat("cannot write ", path_, "/dataplane"));
  return absl::OkStatus();
}

std::vector<std::string> live_run_names() {
  std::vector<std::string> names;
  if (!is_private_directory(base_directory())) return names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(base_directory(), ignored)) {
    if (is_live(entry.path())) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> find_api_socket(const std::string& name) {
  const std::vector<std::string> live = live_run_names();
  std::string chosen = name;
  if (chosen.empty() && live.size() == 1) chosen = live[0];
  if (std::find(live.begin(), live.end(), chosen) != live.end()) {
    return absl::StrCat(run_directory_path(chosen), "/api.sock");
  }
  if (live.empty()) {
    return absl::NotFoundError("no run is active; start one with `mayfly run CONFIG.yaml`");
  }
  const std::string list = absl::StrJoin(live, ", ");
  if (name.empty()) {
    return absl::NotFoundError(
        absl::StrCat("several runs are active (", list, "); choose one with --name"));
  }
  return absl::NotFoundError(absl::StrCat("no run named '", name, "' is active; active: ", list));
}

}  // namespace mayfly
