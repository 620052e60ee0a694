// mayfly run, mayfly demo
#include <optional>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/demo.h"
#include "runtime/config/parse.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/preflight.h"

namespace mayfly {
namespace {

// "" and "off": until Ctrl-C.
absl::StatusOr<std::optional<Nanos>> parse_run_for(const std::string& text) {
  if (text.empty()) return std::optional<Nanos>();
  auto duration = parse_duration(text);
  if (!duration.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--for ", text, ": ", std::string(duration.status().message())));
  }
  if (*duration == kNever) return std::optional<Nanos>();
  if (duration->n <= 0)
    return absl::InvalidArgumentError(absl::StrCat("--for ", text, ": too short"));
  return std::optional<Nanos>(*duration);
}

// What `mayfly run` would be refused for before anything is started.
int check_host(const Config& config) {
  raise_soft_limits();
  const Preflight checks = check_before_start(config, read_host_facts());
  for (const std::string& error : checks.errors) fmt::print(stderr, "mayfly: {}\n", error);
  return checks.errors.empty() ? kExitOk : kExitBadInput;
}

}  // namespace

int run_command(const RunCommand& command) {
  auto run_for = parse_run_for(command.run_for);
  if (!run_for.ok()) return report_failure(run_for.status());
  auto config = parse_config(command.config);
  absl::Status usable = config.status();
  if (usable.ok()) usable = check_create(*config);
  if (!usable.ok()) {
    fmt::print(stderr, "mayfly: {}\n", std::string(usable.message()));
    return kExitBadInput;
  }
  if (command.check) return check_host(*config);
  RunOptions options;
  options.name = command.name;
  options.run_for = *run_for;
  options.report_path = command.report;
  options.quiet = command.quiet;
  return run_keeper(std::move(*config), options);
}

int demo_command(const DemoCommand& command) {
  auto run_for = parse_run_for(command.run_for);
  if (!run_for.ok()) return report_failure(run_for.status());
  if (auto rate = parse_packet_rate(command.rate); !rate.ok()) {
    return report_failure(absl::InvalidArgumentError(
        absl::StrCat("--rate ", command.rate, ": ", std::string(rate.status().message()))));
  }
  DemoPlan wish;
  wish.tenants = command.tenants;
  wish.chain = command.chain;
  wish.rate = command.rate;
  wish.dispatch = command.dispatch;
  raise_soft_limits();
  auto plan = plan_demo(wish, read_host_facts());
  if (!plan.ok()) return report_failure(plan.status());
  const std::string yaml = demo_config(*plan);
  if (command.print) {
    fmt::print("{}", yaml);
    return kExitOk;
  }
  auto config = parse_config_text(yaml, "demo", ".");
  if (!config.ok()) {
    fmt::print(stderr, "mayfly: {}\n", std::string(config.status().message()));
    return kExitBadInput;
  }
  RunOptions options;
  options.headline = fmt::format(
      "{} tenants, each with its own chain of {}: {} NF processes; {} offered, {} wakes\n",
      plan->tenants, plan->chain, plan->tenants * plan->chain, plan->rate, plan->dispatch);
  for (const std::string& note : plan->notes)
    absl::StrAppend(&options.headline, "note: ", note, "\n");
  options.name = command.name;
  options.run_for = *run_for;
  options.report_path = command.report;
  options.quiet = command.quiet;
  return run_keeper(std::move(*config), options);
}

}  // namespace mayfly
