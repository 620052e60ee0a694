// NF images as the keeper and the API see them: what an image declares, and its arguments compiled.
// Image code never runs in this process: `mayfly-image` (beside the mayfly executable) loads it.
//
//   mayfly-image describe PATH       -> JSON {name, summary, tick_period_ns, blank_buffers,
//                                             args: [{name, type, help, fallback, min, max}]}
//   mayfly-image compile PATH        stdin: CBOR array of {args: {name: number | text}};
//                                    stdout: CBOR array of {config: bytes} or
//                                    {error: {arg, line, message}}, one per entry
// Both exit 1 with one line on stderr if the file is not an NF image of this SDK version, and are
// killed after a time limit.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "nfs/nf.h"
#include "runtime/config/config.h"

namespace mayfly {

struct ArgSpec {
  std::string name;
  ArgType type;
  std::string help;
  std::optional<std::string> fallback;
  uint64_t min, max;
};

struct ImageInfo {
  std::string name, summary;
  std::vector<ArgSpec> args;
  uint64_t tick_period_ns = 0;
  uint32_t blank_buffers = 0;
};

// "firewall" -> <dir of this executable>/../lib/mayfly/nfs/firewall.so (build and install trees
// alike), MAYFLY_NF_PATH (colon separated) first; a value with a slash is a path.
absl::StatusOr<std::string> find_image(std::string_view image, std::string_view config_dir);

absl::StatusOr<ImageInfo> describe_image(const std::string& path);

// Every entry compiled, or the first error in `error`.
struct CompileError {
  size_t entry = 0;
  ArgError error;
};
using CompileResult = std::variant<std::vector<std::vector<uint8_t>>, CompileError>;
absl::StatusOr<CompileResult> compile_args(const std::string& path,
                                           const std::vector<std::vector<ArgValue>>& entries);

}  // namespace mayfly
