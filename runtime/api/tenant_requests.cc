#include "runtime/api/tenant_requests.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/config/parse.h"

namespace mayfly {
namespace {

using nlohmann::json;

absl::Status bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// The files of a request, as parse_tenants_text() asks for them.
FileReader reader_of(const json& files) {
  return [&files](const std::string& path) -> absl::StatusOr<std::string> {
    const auto it = files.find(path);
    if (it != files.end()) return it->get<std::string>();
    return absl::NotFoundError(
        absl::StrCat("file '", path, "' is not in the request; give its content in \"files\""));
  };
}

absl::StatusOr<json> files_of(const json& body) {
  const auto it = body.find("files");
  if (it == body.end()) return json::object();
  if (!it->is_object()) return bad("\"files\" is not an object of path and content");
  for (const auto& [path, content] : it->items()) {
    if (!content.is_string()) return bad(absl::StrCat("\"files\": '", path, "' is not text"));
  }
  return *it;
}

// What errors call the document.
absl::StatusOr<std::string> name_of(const json& body) {
  const auto file = body.find("file");
  if (file == body.end()) return std::string("request");
  if (!file->is_string()) return bad("\"file\" is not text");
  return file->get<std::string>();
}

// What of a request parse_tenants_text() reads: YAML as given, or JSON, which YAML contains.
struct Document {
  std::string text, name;
};
absl::StatusOr<Document> document_of(const json& body) {
  const auto yaml = body.find("yaml"), tenants = body.find("tenants");
  if ((yaml != body.end()) == (tenants != body.end())) {
    return bad("a request has either \"yaml\" (text) or \"tenants\" (object)");
  }
  auto name = name_of(body);
  if (!name.ok()) return name.status();
  if (tenants != body.end()) {
    if (!tenants->is_object()) return bad("\"tenants\" is not an object");
    return Document{tenants->dump(-1, ' ', false, json::error_handler_t::replace), *name};
  }
  if (!yaml->is_string()) return bad("\"yaml\" is not text");
  return Document{yaml->get<std::string>(), *name};
}

absl::StatusOr<std::vector<TenantConfig>> tenants_of(const std::string& text, const Config& base) {
  auto body = parse_json_body(text);
  if (!body.ok()) return body.status();
  if (auto s = check_keys(*body, {"yaml", "file", "tenants", "files"}); !s.ok()) return s;
  auto files = files_of(*body);
  if (!files.ok()) return files.status();
  auto document = document_of(*body);
  if (!document.ok()) return document.status();
  return parse_tenants_text(document->text, document->name, base, reader_of(*files));
}

Config without_tenants(Config config) {
  config.tenants.clear();
  return config;
}

// The base configuration as this tenant sees it: its own arguments where it has any. Parsing a
// change against it keeps what the change does not mention.
Config base_of(const Config& config, const TenantConfig& tenant) {
  Config base = config;
  for (const TenantNfArgs& own : tenant.nfs) {
    base.nfs[index(own.nf)].args = own.args;
    base.nfs[index(own.nf)].blob = own.blob;
  }
  return base;
}

}  // namespace

absl::Status check_keys(const json& body, std::initializer_list<const char*> known) {
  for (const auto& [key, value] : body.items()) {
    bool found = false;
    for (const char* k : known) found = found || key == k;
    if (!found) return bad(absl::StrCat("unknown key '", key, "' in the request"));
  }
  return absl::OkStatus();
}

absl::StatusOr<json> parse_json_body(const std::string& body) {
  std::vector<std::set<std::string>> open;
  std::string duplicate;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second) {
      duplicate = value.get<std::string>();
    }
    return true;
  };
  // Counted first: the parser itself has no bound on depth, its destructor recursion does.
  constexpr int kDepthMax = 32;
  int depth = 0, deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
      continue;
    }
    if (c == '"') in_text = true;
    if (c == '{' || c == '[') deepest = std::max(deepest, ++depth);
    if (c == '}' || c == ']') --depth;
  }
  if (deepest > kDepthMax) return bad(absl::StrCat("the body nests ", deepest, " deep"));
  json parsed;
  try {
    parsed = json::parse(body, watch);
  } catch (const json::exception& error) {
    return bad(absl::StrCat("the body is not JSON: ", error.what()));
  }
  if (!parsed.is_object()) return bad("the body is not a JSON object");
  if (!duplicate.empty()) return bad(absl::StrCat("'", duplicate, "' is given twice"));
  return parsed;
}

TenantRequests::TenantRequests(DataplaneApi& api)
    : api_(api), base_(without_tenants(api.config())) {
  remember(api.config().tenants);
}

void TenantRequests::remember(const std::vector<TenantConfig>& tenants) {
  for (const TenantConfig& tenant : tenants) tenants_[tenant.name] = tenant;
}

absl::StatusOr<size_t> TenantRequests::add(const std::string& body) {
  auto tenants = tenants_of(body, base_);
  if (!tenants.ok()) return tenants.status();
  const std::lock_guard lock(mutex_);
  if (auto status = api_.add_tenants(*tenants); !status.ok()) return status;
  remember(*tenants);
  return tenants->size();
}

absl::StatusOr<size_t> TenantRequests::replace(std::vector<TenantConfig> tenants) {
  if (auto status = api_.set_tenants(tenants); !status.ok()) return status;
  remember(tenants);
  return tenants.size();
}

absl::StatusOr<size_t> TenantRequests::set(const std::string& body) {
  auto tenants = tenants_of(body, base_);
  if (!tenants.ok()) return tenants.status();
  const std::lock_guard lock(mutex_);
  return replace(std::move(*tenants));
}

absl::StatusOr<TenantConfig> TenantRequests::patched(const std::string& name, json change,
                                                     const Source& source) const {
  const auto it = tenants_.find(name);
  if (it == tenants_.end()) return absl::NotFoundError(absl::StrCat("no tenant '", name, "'"));
  const TenantConfig& old = it->second;
  if (!change.is_object()) return bad(absl::StrCat("tenant '", name, "' is not an object"));
  if (!change.contains("key")) change["key"] = to_string(old.key);
  if (!change.contains("chain") && old.chain) {
    change["chain"] = base_.chains[index(*old.chain)].name;
  }
  if (!change.contains("weight") && old.weight != TenantConfig{}.weight)
    change["weight"] = old.weight;
  // An NF that the change does not mention, but the tenant has arguments for, stays in the list.
  const Config base = base_of(base_, old);
  for (const TenantNfArgs& own : old.nfs) {
    const std::string& nf = base.nfs[index(own.nf)].name;
    if (!change.contains(nf)) change[nf] = json::object();
  }
  const std::string text =
      json{{name, change}}.dump(-1, ' ', false, json::error_handler_t::replace);
  auto tenants = parse_tenants_text(text, source.file, base, reader_of(source.files));
  if (!tenants.ok()) return tenants.status();
  return std::move(tenants->at(0));
}

absl::StatusOr<size_t> TenantRequests::patch(const std::string& text) {
  auto body = parse_json_body(text);
  if (!body.ok()) return body.status();
  if (auto s = check_keys(*body, {"tenants", "file", "files"}); !s.ok()) return s;
  auto files = files_of(*body);
  if (!files.ok()) return files.status();
  auto source = name_of(*body);
  if (!source.ok()) return source.status();
  if (!body->contains("tenants") || !(*body)["tenants"].is_object()) {
    return bad("a change has \"tenants\" (object)");
  }
  const std::lock_guard lock(mutex_);
  std::vector<TenantConfig> tenants;
  for (const auto& [name, change] : (*body)["tenants"].items()) {
    auto tenant = patched(name, change, {*source, *files});
    if (!tenant.ok()) return tenant.status();
    tenants.push_back(std::move(*tenant));
  }
  return replace(std::move(tenants));
}

absl::StatusOr<size_t> TenantRequests::remove(const std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  if (auto status = api_.remove_tenants(names); !status.ok()) return status;
  for (const std::string& name : names) tenants_.erase(name);
  return names.size();
}

absl::StatusOr<size_t> TenantRequests::remove_listed(const std::string& text) {
  auto body = parse_json_body(text);
  if (!body.ok()) return body.status();
  if (auto s = check_keys(*body, {"names"}); !s.ok()) return s;
  const auto list = body->find("names");
  if (list == body->end() || !list->is_array()) return bad("give {\"names\": [NAME, ...]}");
  std::vector<std::string> names;
  for (const json& name : *list) {
    if (!name.is_string()) return bad("\"names\" holds something that is not text");
    names.push_back(name.get<std::string>());
  }
  return remove(names);
}

}  // namespace mayfly
