#include "runtime/config/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mayfly {

std::string path_from(std::string_view dir, std::string_view path) {
  if (dir.empty() || path.starts_with('/')) return std::string(path);
  return fmt::format("{}{}{}", dir, dir.ends_with('/') ? "" : "/", path);
}

std::string dir_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {};
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

absl::StatusOr<std::string> read_file(const std::string& path, size_t bytes_max, FileKind kind) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", path, why));
  };
  struct stat info {};
  if (path.find('\0') != std::string::npos) return refuse("not a file name");
  if (stat(path.c_str(), &info) != 0) return refuse(std::strerror(errno));
  // Asked before open(): opening a device or a pipe without a writer may block or act.
  const bool fits =
      S_ISREG(info.st_mode) || (kind == FileKind::regular_or_pipe && S_ISFIFO(info.st_mode));
  if (!fits) return refuse("not a regular file");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return refuse(std::strerror(errno));
  std::string bytes;
  char part[65536];
  for (;;) {
    const ssize_t n = read(fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const std::string why = std::strerror(errno);
      close(fd);
      return refuse(why);
    }
    if (n == 0) break;
    bytes.append(part, static_cast<size_t>(n));
    if (bytes.size() > bytes_max) {
      close(fd);
      return refuse(fmt::format("larger than {} bytes", bytes_max));
    }
  }
  close(fd);
  return bytes;
}

}  // namespace mayfly
