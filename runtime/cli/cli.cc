#include "runtime/cli/cli.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <functional>

#include "fmt/format.h"
#include "runtime/cli/commands.h"
#include "runtime/keeper/keeper.h"

namespace mayfly {
namespace {

// What was chosen, to be run once the whole line is known to be right.
using Action = std::function<int()>;

struct Commands {
  RunCommand run;
  DemoCommand demo;
  QueryCommand query;
  TenantCommand tenant;
  std::vector<std::string> tenant_names;
  Action action;
};

void add_run_name(CLI::App* app, std::string& name) {
  app->add_option("--name", name, "name of the run (default: the only one)");
}

void add_run(CLI::App& app, Commands& c) {
  CLI::App* run = app.add_subcommand("run", "run a configuration until Ctrl-C");
  run->add_option("config", c.run.config, "configuration file (YAML)")->required();
  run->add_option("--for", c.run.run_for, "stop after this long (10s, 5m)");
  run->add_option("--report", c.run.report, "write the final figures here (JSON)");
  run->add_option("--name", c.run.name, "name of the run")->capture_default_str();
  run->add_flag("--quiet,-q", c.run.quiet, "print errors only");
  run->add_flag("--check", c.run.check, "check the configuration and the host, and do not run");
  run->callback([&c] { c.action = [&c] { return run_command(c.run); }; });
}

void add_demo(CLI::App& app, Commands& c) {
  CLI::App* demo = app.add_subcommand("demo", "thousands of NF processes on built-in traffic");
  DemoCommand& d = c.demo;
  demo->add_option("--tenants", d.tenants, "tenants, one flow each")->capture_default_str();
  demo->add_option("--chain", d.chain, "NFs a packet crosses (1-16)")->capture_default_str();
  demo->add_option("--for", d.run_for, "how long")->capture_default_str();
  demo->add_option("--rate", d.rate, "offered packets (500kpps, 2Mpps, max)")
      ->capture_default_str();
  demo->add_option("--dispatch", d.dispatch, "how an NF is woken")->capture_default_str();
  demo->add_option("--report", d.report, "write the final figures here (JSON)");
  demo->add_option("--name", d.name, "name of the run")->capture_default_str();
  demo->add_flag("--quiet,-q", d.quiet, "print errors only");
  demo->add_flag("--print", d.print, "print the configuration instead of running it");
  demo->callback([&c] { c.action = [&c] { return demo_command(c.demo); }; });
}

void add_query(CLI::App* app, Commands& c, int (*command)(const QueryCommand&)) {
  add_run_name(app, c.query.name);
  app->add_flag("--json", c.query.json, "as the API gives it");
  app->callback([&c, command] { c.action = [&c, command] { return command(c.query); }; });
}

void add_queries(CLI::App& app, Commands& c) {
  add_query(app.add_subcommand("stats", "figures of a run"), c, stats_command);
  CLI::App* nf = app.add_subcommand("nf", "NF instances")->require_subcommand(1);
  add_query(nf->add_subcommand("ls", "list them"), c, nf_list_command);
  CLI::App* flow = app.add_subcommand("flow", "flows")->require_subcommand(1);
  CLI::App* list = flow->add_subcommand("ls", "list them");
  list->add_option("--limit", c.query.limit, "at most this many; 0: all")->capture_default_str();
  add_query(list, c, flow_list_command);
}

void add_tenant_change(CLI::App* app, Commands& c, int (*command)(const TenantCommand&)) {
  add_run_name(app, c.tenant.name);
  app->add_option("subject", c.tenant.subject, "FILE of tenants, or the NAME of one")->required();
  app->add_option("args", c.tenant.args, "its arguments: nf.arg=value ...");
  app->add_option("--key", c.tenant.key, "VLAN (101), QinQ (100.7), address or MAC");
  app->add_option("--chain", c.tenant.chain, "chain instead of its rule's");
  app->callback([&c, command] { c.action = [&c, command] { return command(c.tenant); }; });
}

void add_tenants(CLI::App& app, Commands& c) {
  CLI::App* tenant = app.add_subcommand("tenant", "tenants of a run")->require_subcommand(1);
  add_tenant_change(tenant->add_subcommand("add", "attach: FILE, or NAME --key KEY nf.arg=value"),
                    c, tenant_add_command);
  add_tenant_change(tenant->add_subcommand("set", "change: FILE (whole), or NAME nf.arg=value"), c,
                    tenant_set_command);
  CLI::App* remove = tenant->add_subcommand("rm", "detach");
  add_run_name(remove, c.tenant.name);
  remove->add_option("names", c.tenant_names, "their names")->required();
  remove->callback(
      [&c] { c.action = [&c] { return tenant_remove_command(c.tenant.name, c.tenant_names); }; });
  add_query(tenant->add_subcommand("ls", "list them"), c, tenant_list_command);
}

// Their options are the instrument's own: everything after the name is handed on as it stands.
void add_experiments(CLI::App& app, Commands& c) {
  constexpr std::pair<const char*, const char*> kExperiments[] = {
      {"sweep", "measure a grid: NFs, sizes, rates, dispatch, batch, ageing, ..."},
      {"report", "draw the rows of a sweep again: mayfly report DIR"},
      {"tune", "find the wake settings for a load and a goal"},
      {"compare", "the same load through Mayfly and its alternatives"},
  };
  for (const auto& [name, what] : kExperiments) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->set_help_flag();
    sub->prefix_command();
    sub->callback([&c, sub] {
      c.action = [sub] { return instrument_command(sub->get_name(), sub->remaining()); };
    });
  }
}

void add_about(CLI::App& app, Commands& c) {
  CLI::App* doctor = app.add_subcommand("doctor", "is this host ready, and what to do about it");
  doctor->add_flag("--json", c.query.json, "what the host and this build can do, for programs");
  doctor->callback([&c] { c.action = [&c] { return doctor_command(c.query.json); }; });
  app.add_subcommand("version", "print the version")->callback([&c] {
    c.action = version_command;
  });
}

}  // namespace

int report_failure(const absl::Status& status) {
  fmt::print(stderr, "mayfly: {}\n", std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return kExitBadInput;
    default:
      return kExitFailure;
  }
}

int cli_main(int argc, const char* const* argv) {
  ::signal(SIGPIPE, SIG_DFL);
  CLI::App app{"Runs thousands of tiny network functions, each its own process."};
  app.name("mayfly");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_line);
  Commands commands;
  add_run(app, commands);
  add_demo(app, commands);
  add_queries(app, commands);
  add_tenants(app, commands);
  add_experiments(app, commands);
  add_about(app, commands);
  const auto is_named = [&](const CLI::App* command) { return command->check_name(argv[1]); };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_named).empty()) {
    fmt::print(stderr, "mayfly: no command '{}' (see mayfly --help)\n", argv[1]);
    return kExitBadInput;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "mayfly: {} (see mayfly --help)\n", error.what());
    return kExitBadInput;
  }
  return commands.action();
}

}  // namespace mayfly
