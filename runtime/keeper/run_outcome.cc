#include "runtime/keeper/run_outcome.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "runtime/keeper/progress.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr off_t kReportBytesMax = 64 << 20;

absl::StatusOr<std::string> read_whole(int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, "the report's memfd");
  if (!S_ISREG(info.st_mode) || info.st_size > kReportBytesMax) {
    return absl::InvalidArgumentError("the report is not a memfd of reasonable size");
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t size =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (size <= 0) return absl::DataLossError("the report ends early");
    done += static_cast<size_t>(size);
  }
  return text;
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                        ::strsignal(WTERMSIG(status)), ")");
  }
  return absl::StrCat("exited with status ", WEXITSTATUS(status));
}

}  // namespace

void RunOutcome::fail(const std::string& message, int code) {
  if (failed()) return;
  failure_ = message.empty() ? "the dataplane could not start" : message;
  exit_code_ = code;
}

void RunOutcome::take_report(const std::vector<int>& fds) {
  auto text = fds.size() == 1 ? read_whole(fds[0])
                              : absl::InvalidArgumentError("the report came without its memfd");
  if (!text.ok()) return fail(std::string(text.status().message()), kExitFailure);
  json report = json::parse(*text, nullptr, false);
  if (!report.is_object()) return fail("the dataplane's report is not JSON", kExitFailure);
  report_ = std::move(report);
  report_text_ = std::move(*text);
}

void RunOutcome::dataplane_ended(pid_t pid, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  fail(absl::StrCat("the dataplane (pid ", pid, ") ", describe_exit(status),
                    "; every process it had was removed"),
       kExitFailure);
}

absl::Status RunOutcome::write_report(std::optional<ReportFile>& file, bool quiet) const {
  if (!quiet) fmt::print("{}", closing_table(report_));
  if (file) {
    if (auto status = file->commit(report_text_); !status.ok()) return status;
  }
  if (unaccounted_packets(report_) != 0) return absl::DataLossError("packets are unaccounted for");
  return absl::OkStatus();
}

int RunOutcome::conclude(std::optional<ReportFile>& file, bool quiet) {
  if (report_.is_null()) {
    fail("the dataplane ended without a report", kExitFailure);
  } else if (auto status = write_report(file, quiet); !status.ok()) {
    fail(std::string(status.message()), kExitFailure);
  }
  std::fflush(stdout);
  if (failed()) fmt::print(stderr, "mayfly: {}\n", failure_);
  return exit_code_;
}

}  // namespace mayfly
