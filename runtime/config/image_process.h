// Runs `mayfly-image` and bounds what it may cost: image code belongs to somebody else.
//
// Its standard input, output and error are memfds, not pipes: no deadlock between a writer and a
// reader, no SIGPIPE, and a grandchild that keeps a descriptor open cannot hold the caller. Its end
// is awaited on a pidfd, until `limit`, then its process group is killed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/types.h"

namespace mayfly {

inline constexpr Nanos kImageTimeMax = seconds(10);

struct ImageProcessEnd {
  bool timed_out = false;
  int signal = 0;  // nonzero: it was killed by this
  int exit_code = 0;
  std::string out;
  std::string err;  // its last line, without the newline
};

absl::StatusOr<ImageProcessEnd> run_image_tool(const std::vector<std::string>& arguments,
                                               std::string_view input, Nanos limit);

// The directory of the running executable.
absl::StatusOr<std::string> executable_dir();

}  // namespace mayfly
