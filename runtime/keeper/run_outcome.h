// How a run ended: the first thing that went wrong, the report, and what of it is printed.
#pragma once

#include <optional>
#include <string>

#include "nlohmann/json.hpp"
#include "runtime/keeper/report_file.h"

namespace mayfly {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;   // at run time
inline constexpr int kExitBadInput = 2;  // before anything was started

class RunOutcome {
 public:
  // Only the first reason counts: what follows is its consequence.
  void fail(const std::string& message, int code);
  bool failed() const { return !failure_.empty(); }

  // From the memfd that came with the dataplane's last message.
  void take_report(const std::vector<int>& fds);

  // The dataplane's wait status, once it is known.
  void dataplane_ended(pid_t pid, int status);

  // Prints the table and the failure, writes the report; the exit code.
  int conclude(std::optional<ReportFile>& file, bool quiet);

 private:
  absl::Status write_report(std::optional<ReportFile>& file, bool quiet) const;

  std::string failure_;
  int exit_code_ = kExitOk;
  nlohmann::json report_;
  std::string report_text_;
};

}  // namespace mayfly
