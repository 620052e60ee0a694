// Files that a configuration names.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace mayfly {

// `path` as seen from `dir`, the directory of the file that names it.
std::string path_from(std::string_view dir, std::string_view path);
// "conf/a.yaml" -> "conf", "a.yaml" -> "", "/a.yaml" -> "/".
std::string dir_of(std::string_view path);

enum class FileKind : uint8_t { regular, regular_or_pipe };

// The whole file, at most `bytes_max`. The error reads "PATH: reason".
absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max,
                                      FileKind kind = FileKind::regular);

}  // namespace mayfly
