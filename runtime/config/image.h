// NF images as the keeper and the API see them: what an image declares, and its arguments compiled.
// Image code never runs in this process: `mayfly-image` (beside the mayfly executable) loads it.
//
//   mayfly-image describe PATH       -> JSON {name, summary, tick_period_ns, blank_buffers,
//                                             args: [{name, type, help, fallback, min, max}]}
//   mayfly-image compile PATH        stdin: CBOR array of {args: {name: number | text}};
//                                    stdout: CBOR array of {config: bytes} or
//                                    {error: {arg, line, message}}, one per entry
//   mayfly-image check PATH          stdin: CBOR array of {config: bytes}, or nothing; runs
//   create()
//                                    for each in a child of its own
// Each exits 1 with one line on stderr if the file is not an NF image of this SDK version (check:
// or if create() fails), and is killed after kImageTimeMax (image_process.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "nfs/nf.h"
#include "runtime/config/config.h"

namespace mayfly {

inline constexpr std::string_view kArgTypeNames[] = {"integer", "boolean", "rate", "duration",
                                                     "size",    "text",    "file"};
std::string_view arg_type_name(ArgType type);
std::optional<ArgType> arg_type_of(std::string_view name);

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

// Runs create() of every NF with its own compiled arguments, each in a process of its own: one that
// crashes, hangs or returns null is found before anything is started. "FILE:LINE: NF: reason".
absl::Status check_create(const Config& config);

}  // namespace mayfly
