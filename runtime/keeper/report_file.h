// `--report FILE`: proven writable before the run starts, complete or absent afterwards.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace mayfly {

class ReportFile {
 public:
  // Makes a file without a name in FILE's directory and reserves room in it, so that a bad path, a
  // missing right or a full disk is an error now, and a killed keeper leaves nothing. (Where the
  // file system has no such files it is FILE.PID.tmp.) FILE may also be a device or a pipe
  // (/dev/stdout): written directly.
  static absl::StatusOr<ReportFile> prepare(const std::string& path);

  ReportFile(ReportFile&& other) noexcept;
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;
  ~ReportFile();  // leaves FILE as it was if commit() was not reached

  absl::Status commit(const std::string& text);  // write, sync, replace FILE

 private:
  enum class Kind { device, nameless, named };

  ReportFile(std::string path, Kind kind, int fd);
  absl::Status name_it();

  std::string path_, temporary_;
  Kind kind_;
  int fd_ = -1;
};

}  // namespace mayfly
