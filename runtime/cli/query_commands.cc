// mayfly stats, nf ls, flow ls, tenant ls
#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "runtime/api/api_client.h"
#include "runtime/cli/commands.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/progress.h"
#include "runtime/keeper/run_directory.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr uint32_t kFlowsPerRequest = 10'000;

absl::StatusOr<json> fetch(const std::string& run, const std::string& path) {
  auto socket = find_api_socket(run);
  if (!socket.ok()) return socket.status();
  return ApiClient(*socket).get(path);
}

// "-" for what is absent; text without its quotes.
std::string cell(const json& row, const char* key) {
  const auto it = row.find(key);
  if (it == row.end() || it->is_null()) return "-";
  if (it->is_string()) return it->get<std::string>().empty() ? "-" : it->get<std::string>();
  return it->dump(-1, ' ', false, json::error_handler_t::replace);
}

struct Column {
  const char* key;
  const char* title;
};

void print_table(const json& rows, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> cells(1);
  for (const Column& c : columns) cells[0].push_back(c.title);
  for (const json& row : rows) {
    if (!row.is_object()) continue;
    auto& line = cells.emplace_back();
    for (const Column& c : columns) line.push_back(cell(row, c.key));
  }
  std::vector<size_t> widths(columns.size(), 0);
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) text += fmt::format("{:<{}}  ", line[i], widths[i]);
    fmt::print("{}\n", text.substr(0, text.find_last_not_of(' ') + 1));
  }
}

int print_json(const json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, json::error_handler_t::replace));
  return kExitOk;
}

int list_command(const QueryCommand& command, const char* path,
                 const std::vector<Column>& columns) {
  auto rows = fetch(command.name, path);
  if (!rows.ok()) return report_failure(rows.status());
  if (command.json) return print_json(*rows);
  print_table(*rows, columns);
  return kExitOk;
}

}  // namespace

int stats_command(const QueryCommand& command) {
  auto stats = fetch(command.name, "/v1/stats");
  if (!stats.ok()) return report_failure(stats.status());
  if (command.json) return print_json(*stats);
  fmt::print("{}", stats_table(*stats));
  return kExitOk;
}

int nf_list_command(const QueryCommand& command) {
  return list_command(command, "/v1/nfs",
                      {{"slot", "SLOT"},
                       {"nf", "NF"},
                       {"state", "STATE"},
                       {"pid", "PID"},
                       {"tenant", "TENANT"},
                       {"key", "KEY"},
                       {"packets", "PACKETS"}});
}

int tenant_list_command(const QueryCommand& command) {
  return list_command(command, "/v1/tenants",
                      {{"name", "NAME"},
                       {"key", "KEY"},
                       {"chain", "CHAIN"},
                       {"packets", "PACKETS"},
                       {"nfs", "ARGUMENTS"}});
}

int flow_list_command(const QueryCommand& command) {
  json flows = json::array();
  uint64_t cursor = 0, total = 0;
  const uint32_t wanted = command.limit == 0 ? UINT32_MAX : command.limit;
  while (flows.size() < wanted) {
    const auto limit = std::min<size_t>(kFlowsPerRequest, wanted - flows.size());
    auto page = fetch(command.name, absl::StrCat("/v1/flows?cursor=", cursor, "&limit=", limit));
    if (!page.ok()) return report_failure(page.status());
    if (!page->is_object() || !page->contains("flows") || !(*page)["flows"].is_array()) {
      return report_failure(absl::InternalError("the run's answer has no flows"));
    }
    total = page->value("total", uint64_t{0});
    for (json& flow : (*page)["flows"]) flows.push_back(std::move(flow));
    const auto next = page->find("next");
    if (next == page->end() || !next->is_number_unsigned()) break;
    cursor = next->get<uint64_t>();
  }
  if (command.json) return print_json({{"flows", flows}, {"total", total}});
  print_table(flows, {{"flow", "FLOW"},
                      {"port", "PORT"},
                      {"chain", "CHAIN"},
                      {"tenant", "TENANT"},
                      {"instance", "INSTANCE"},
                      {"packets", "PACKETS"},
                      {"bytes", "BYTES"},
                      {"idle_ms", "IDLE MS"}});
  fmt::print("{} of {} flows\n", flows.size(), total);
  return kExitOk;
}

}  // namespace mayfly
