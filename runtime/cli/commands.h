// One function per command; each prints and returns the exit code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace mayfly {

// `mayfly: MESSAGE` on standard error; the code for that kind of failure.
int report_failure(const absl::Status& status);

struct RunCommand {
  std::string config, run_for, report;
  std::string name = "default";
  bool quiet = false;
  bool check = false;  // the configuration and the host, and do not run
};
int run_command(const RunCommand& command);

struct DemoCommand {
  uint32_t tenants = 1000, chain = 2;
  std::string run_for = "10s", rate = "1Mpps", dispatch = "futex";
  std::string report;
  std::string name = "demo";
  bool quiet = false, print = false;  // print: the configuration, and do not run
};
int demo_command(const DemoCommand& command);

// Of a run that is active; an empty name means the only one.
struct QueryCommand {
  std::string name;
  bool json = false;
  uint32_t limit = 50;  // of flows; 0: all
};
int stats_command(const QueryCommand& command);
int nf_list_command(const QueryCommand& command);
int flow_list_command(const QueryCommand& command);
int tenant_list_command(const QueryCommand& command);

struct TenantCommand {
  std::string name;     // of the run
  std::string subject;  // FILE, or a tenant's name
  std::string key, chain;
  std::vector<std::string> args;  // nf.arg=value
};
int tenant_add_command(const TenantCommand& command);
int tenant_set_command(const TenantCommand& command);
int tenant_remove_command(const std::string& run, const std::vector<std::string>& names);

// Replaces this process by `python3 INSTRUMENT COMMAND ARGS...`; returns only if that fails.
int instrument_command(const std::string& command, const std::vector<std::string>& args);

int doctor_command(bool json);
std::string version_line();
int version_command();

}  // namespace mayfly
