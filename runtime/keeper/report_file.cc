#include "runtime/keeper/report_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

constexpr off_t kReservedBytes = 256 * 1024;  // more than any report of the stable keys

absl::Status failure(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot write the report ", path));
}

absl::Status write_all(int fd, const std::string& text, const std::string& path) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t size = ::write(fd, text.data() + done, text.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failure(path, errno);
    done += static_cast<size_t>(size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ReportFile> ReportFile::prepare(const std::string& path) {
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return failure(path, EISDIR);
  const bool direct = exists && !S_ISREG(info.st_mode);
  const std::string temporary = direct ? "" : absl::StrCat(path, ".", ::getpid(), ".tmp");
  const int fd = direct ? ::open(path.c_str(), O_WRONLY | O_CLOEXEC)
                        : ::open(temporary.c_str(),
                                 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return failure(path, errno);
  ReportFile file(path, temporary, fd);
  if (!direct) {
    const int error = ::posix_fallocate(fd, 0, kReservedBytes);
    if (error != 0 && error != EOPNOTSUPP && error != EINVAL) return failure(path, error);
  }
  return file;
}

ReportFile::ReportFile(ReportFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(other.fd_) {
  other.fd_ = -1;
  other.temporary_.clear();
}

ReportFile::~ReportFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status ReportFile::commit(const std::string& text) {
  if (auto status = write_all(fd_, text, path_); !status.ok()) return status;
  if (temporary_.empty()) return absl::OkStatus();
  if (::ftruncate(fd_, static_cast<off_t>(text.size())) != 0 || ::fsync(fd_) != 0 ||
      ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return failure(path_, errno);
  }
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace mayfly
