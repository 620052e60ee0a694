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

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

ReportFile::ReportFile(std::string path, Kind kind, int fd)
    : path_(std::move(path)),
      temporary_(absl::StrCat(path_, ".", ::getpid(), ".tmp")),
      kind_(kind),
      fd_(fd) {}

absl::StatusOr<ReportFile> ReportFile::prepare(const std::string& path) {
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return failure(path, EISDIR);
  if (exists && !S_ISREG(info.st_mode)) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return failure(path, errno);
    return ReportFile(path, Kind::device, fd);
  }
  ReportFile file(path, Kind::nameless,
                  ::open(directory_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644));
  if (file.fd_ < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    file.kind_ = Kind::named;
    file.fd_ = ::open(file.temporary_.c_str(),
                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  }
  if (file.fd_ < 0) return failure(path, errno);
  const int error = ::posix_fallocate(file.fd_, 0, kReservedBytes);
  if (error != 0 && error != EOPNOTSUPP && error != EINVAL) return failure(path, error);
  return file;
}

ReportFile::ReportFile(ReportFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      kind_(other.kind_),
      fd_(other.fd_) {
  other.fd_ = -1;
}

ReportFile::~ReportFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (kind_ == Kind::named) ::unlink(temporary_.c_str());
}

// A name can only be given where there is none, so the temporary one comes first.
absl::Status ReportFile::name_it() {
  if (kind_ == Kind::nameless) {
    const std::string link = absl::StrCat("/proc/self/fd/", fd_);
    ::unlink(temporary_.c_str());
    if (::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return failure(path_, errno);
    }
    kind_ = Kind::named;
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return failure(path_, errno);
  return absl::OkStatus();
}

absl::Status ReportFile::commit(const std::string& text) {
  if (auto status = write_all(fd_, text, path_); !status.ok()) return status;
  if (kind_ == Kind::device) return absl::OkStatus();
  if (::ftruncate(fd_, static_cast<off_t>(text.size())) != 0 || ::fsync(fd_) != 0) {
    return failure(path_, errno);
  }
  return name_it();
}

}  // namespace mayfly
