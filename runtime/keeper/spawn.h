// Starting a child that cannot outlive this process: it asks the kernel for SIGKILL on our death
// and, should we have died before it could ask, exits by itself.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mayfly {

struct ChildProcess {
  std::vector<std::string> argv;  // argv[0]: path of the executable
  std::vector<int> descriptors;   // 3, 4, 5, ... in the child; everything else is closed there
};

// The child has standard input from /dev/null, its standard output goes where our standard error
// goes, its signals are as if it came from a shell, and it has a process group of its own (Ctrl-C
// reaches the keeper alone). Returns once exec has succeeded; the error names the executable.
absl::StatusOr<pid_t> spawn_child(const ChildProcess& child);

// Kills and reaps every child, and whoever becomes one meanwhile: for a subreaper, its zygotes'
// NFs. False if somebody is still there after `patience`.
bool kill_all_children(std::chrono::milliseconds patience,
                       const std::function<void(pid_t, int status)>& on_exit);

// Absolute path of `name` beside this executable.
absl::StatusOr<std::string> sibling_executable(const std::string& name);

}  // namespace mayfly
