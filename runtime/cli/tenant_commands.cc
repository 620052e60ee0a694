// mayfly tenant add, set, rm
//
// The server opens no file that a request names, so the content of file arguments goes along: the
// images tell which arguments those are.
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "runtime/api/api_client.h"
#include "runtime/cli/commands.h"
#include "runtime/config/image.h"
#include "runtime/keeper/keeper.h"
#include "runtime/keeper/run_directory.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr size_t kFileBytesMax = 32u << 20;

absl::StatusOr<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  if (content.str().size() > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than 32 MiB"));
  }
  return content.str();
}

// For every NF of the run: its arguments that are files.
using FileArgs = std::map<std::string, std::set<std::string>>;

absl::StatusOr<FileArgs> file_args(const ApiClient& client) {
  auto config = client.get("/v1/config");
  if (!config.ok()) return config.status();
  FileArgs result;
  std::map<std::string, std::set<std::string>> by_image;
  for (const json& nf : config->value("nfs", json::array())) {
    const std::string image = nf.value("image_path", "");
    if (!by_image.contains(image)) {
      auto info = describe_image(image);
      if (!info.ok()) return info.status();
      for (const ArgSpec& arg : info->args) {
        if (arg.type == ArgType::file) by_image[image].insert(arg.name);
      }
    }
    result[nf.value("name", "")] = by_image[image];
  }
  return result;
}

std::string directory_of(const std::string& file) {
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash + 1);
}

std::string resolve(const std::string& path, const std::string& directory) {
  return !path.empty() && path[0] == '/' ? path : absl::StrCat(directory, "/", path);
}

// The content of every file that the tenants' NF arguments name, by the path as written. What is
// malformed is left for the server, which knows line numbers.
absl::StatusOr<json> inline_files(const YAML::Node& tenants, const FileArgs& args,
                                  const std::string& directory) {
  json files = json::object();
  if (!tenants.IsMap()) return files;
  for (const auto& tenant : tenants) {
    if (!tenant.second.IsMap()) continue;
    for (const auto& nf : tenant.second) {
      const auto known = nf.first.IsScalar() ? args.find(nf.first.Scalar()) : args.end();
      if (known == args.end() || !nf.second.IsMap()) continue;
      for (const auto& arg : nf.second) {
        if (!arg.first.IsScalar() || !arg.second.IsScalar()) continue;
        const std::string& path = arg.second.Scalar();
        if (!known->second.contains(arg.first.Scalar()) || files.contains(path)) continue;
        auto content = read_file(resolve(path, directory));
        if (!content.ok()) return content.status();
        files[path] = *content;
      }
    }
  }
  return files;
}

absl::StatusOr<json> request_of_file(const std::string& file, const ApiClient& client) {
  auto text = read_file(file);
  if (!text.ok()) {
    return absl::NotFoundError(absl::StrCat(std::string(text.status().message()),
                                            "; for one tenant give NAME --key KEY nf.arg=value"));
  }
  YAML::Node tenants;
  try {
    tenants = YAML::Load(*text);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", error.mark.line + 1, ": not valid YAML: ", error.msg));
  }
  auto args = file_args(client);
  if (!args.ok()) return args.status();
  auto files = inline_files(tenants, *args, directory_of(file));
  if (!files.ok()) return files.status();
  return json{{"yaml", *text}, {"file", file}, {"files", *files}};
}

// A number or a boolean as such, anything else as text: 20, true, "20Mbps".
json value_of(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_number_unsigned() || value.is_boolean() ? value : json(text);
}

absl::StatusOr<json> request_of_line(const TenantCommand& command, const ApiClient& client) {
  json tenant = json::object();
  if (!command.key.empty()) tenant["key"] = value_of(command.key);
  if (!command.chain.empty()) tenant["chain"] = command.chain;
  auto known = file_args(client);
  if (!known.ok()) return known.status();
  json files = json::object();
  for (const std::string& text : command.args) {
    const size_t dot = text.find('.'), equals = text.find('=');
    if (dot == std::string::npos || equals == std::string::npos || dot > equals || dot == 0 ||
        equals == dot + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' is not NF.ARGUMENT=VALUE, like lim.mbps=20"));
    }
    const std::string nf = text.substr(0, dot), arg = text.substr(dot + 1, equals - dot - 1);
    const std::string value = text.substr(equals + 1);
    if (const auto it = known->find(nf); it != known->end() && it->second.contains(arg)) {
      auto content = read_file(value);
      if (!content.ok()) return content.status();
      files[value] = *content;
      tenant[nf][arg] = value;
    } else {
      tenant[nf][arg] = value_of(value);
    }
  }
  return json{{"tenants", {{command.subject, tenant}}}, {"files", files}, {"file", "command line"}};
}

int change(const std::string& run, const std::string& method,
           const std::function<absl::StatusOr<json>(const ApiClient&)>& body, const char* done) {
  auto socket = find_api_socket(run);
  if (!socket.ok()) return report_failure(socket.status());
  const ApiClient client(*socket);
  auto request = body(client);
  if (!request.ok()) return report_failure(request.status());
  auto result = client.send(method, "/v1/tenants", *request);
  if (!result.ok()) return report_failure(result.status());
  const uint64_t count = result->value("tenants", uint64_t{0});
  fmt::print("{} tenant{} {}\n", count, count == 1 ? "" : "s", done);
  return kExitOk;
}

}  // namespace

int tenant_add_command(const TenantCommand& command) {
  if (command.key.empty() && (!command.args.empty() || !command.chain.empty())) {
    return report_failure(absl::InvalidArgumentError(
        absl::StrCat("tenant '", command.subject, "' needs --key (a VLAN, an address or a MAC)")));
  }
  const auto body = [&](const ApiClient& client) {
    return command.key.empty() ? request_of_file(command.subject, client)
                               : request_of_line(command, client);
  };
  return change(command.name, "POST", body, "attached");
}

int tenant_set_command(const TenantCommand& command) {
  const bool file = command.key.empty() && command.chain.empty() && command.args.empty();
  const auto body = [&](const ApiClient& client) {
    return file ? request_of_file(command.subject, client) : request_of_line(command, client);
  };
  return change(command.name, file ? "PUT" : "PATCH", body, "changed");
}

int tenant_remove_command(const std::string& run, const std::vector<std::string>& names) {
  const auto body = [&](const ApiClient&) -> absl::StatusOr<json> {
    return json{{"names", names}};
  };
  return change(run, "DELETE", body, "detached");
}

}  // namespace mayfly
