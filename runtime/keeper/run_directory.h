// The run directory: where one run, known by its name, keeps its socket and its lock.
//
//   root:   /run/mayfly/NAME        else: $XDG_RUNTIME_DIR/mayfly/NAME or /tmp/mayfly-UID/NAME
//     lock       held (flock) by the keeper as long as it lives; its pid is inside
//     api.sock   the dataplane's HTTP/JSON API
//     dataplane  pid and start time of the dataplane, for a successor to wait for its end
//
// The kernel frees the lock when the keeper dies, however it dies; so a directory with a free lock
// is a leftover, and the next keeper (of any name) clears it, together with what DPDK left under
// the run's file prefix (mayfly-NAME): its runtime directory and its hugetlbfs files.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mayfly {

// Letters, digits, '_', '-' and '.', at most 32, beginning with a letter or digit.
absl::Status check_run_name(const std::string& name);

std::string run_directory_path(const std::string& name);
std::string dpdk_file_prefix(const std::string& name);  // "mayfly-NAME"

class RunDirectory {
 public:
  // Creates (mode 0700) or takes over and clears the directory. FailedPrecondition, naming the
  // pid, while another keeper holds it.
  static absl::StatusOr<RunDirectory> acquire(const std::string& name);

  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  ~RunDirectory();  // removes it, and DPDK's leftovers

  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  absl::Status record_dataplane(pid_t pid) const;

 private:
  RunDirectory(std::string name, std::string path, int lock_fd)
      : name_(std::move(name)), path_(std::move(path)), lock_fd_(lock_fd) {}

  std::string name_, path_;
  int lock_fd_ = -1;
};

// The API socket of a live run: of `name`, or, if that is empty, of the only run there is.
// NotFound with the sentence to show: none running, or which ones are.
absl::StatusOr<std::string> find_api_socket(const std::string& name);

std::vector<std::string> live_run_names();

}  // namespace mayfly
