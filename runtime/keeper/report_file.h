// `--report FILE`: proven writable before the run starts, complete or absent afterwards.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace mayfly {

class ReportFile {
 public:
  // Makes FILE.PID.tmp beside FILE and reserves room in it, so that a bad path, a missing right or
  // a full disk is an error now. FILE may also be a device or pipe (/dev/stdout): written directly.
  static absl::StatusOr<ReportFile> prepare(const std::string& path);

  ReportFile(ReportFile&& other) noexcept;
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;
  ~ReportFile();  // removes the temporary file if commit() was not reached

  absl::Status commit(const std::string& text);  // write, sync, rename over FILE

 private:
  ReportFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  std::string path_, temporary_;  // temporary_ empty: `fd_` is the device itself
  int fd_ = -1;
};

}  // namespace mayfly
