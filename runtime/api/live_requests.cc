#include "runtime/api/live_requests.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/api/tenant_requests.h"
#include "runtime/config/parse.h"
#include "scheduler/dispatch.h"

namespace mayfly {
namespace {

using nlohmann::json;

absl::Status bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// Which of `entries` the request names under `key`.
template <class Id, class Entry>
absl::Status find_name(const json& body, const char* key, const std::vector<Entry>& entries,
                       std::optional<Id>& id) {
  const auto it = body.find(key);
  if (it == body.end()) return absl::OkStatus();
  if (!it->is_string()) return bad(absl::StrCat("\"", key, "\" is not text"));
  const std::string name = it->get<std::string>();
  std::string known;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) id = static_cast<Id>(i);
    if (i < 8) absl::StrAppend(&known, i == 0 ? "" : ", ", entries[i].name);
  }
  if (id) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no ", key, " '", name, "'; there are ", known,
                                          entries.size() > 8 ? ", ..." : ""));
}

absl::Status check_wake_keys(const json& body, const Config& config) {
  if (body.contains("dispatch"))
    return absl::FailedPreconditionError(
        absl::StrCat("dispatch is how living NFs sleep, and cannot change while they do; it is ",
                     std::string(dispatch_name(config.dispatch)),
                     " here: write another into the configuration's wake: and start anew"));
  return check_keys(body, {"batch", "aging", "chain", "nf", "inherit"});
}

}  // namespace

absl::StatusOr<double> parse_rate_request(const std::string& text) {
  const auto body = parse_json_body(text);
  if (!body.ok()) return body.status();
  if (auto s = check_keys(*body, {"rate"}); !s.ok()) return s;
  const auto rate = body->find("rate");
  if (rate == body->end() || !rate->is_string())
    return bad("give a rate with its unit, for example {\"rate\": \"1.5Mpps\"}, or \"max\"");
  const auto pps = parse_packet_rate(rate->get<std::string>());
  if (!pps.ok()) return bad(absl::StrCat("rate: ", std::string(pps.status().message())));
  return *pps;
}

absl::StatusOr<WakeChange> parse_wake_request(const std::string& text, const Config& config) {
  const auto body = parse_json_body(text);
  if (!body.ok()) return body.status();
  if (auto s = check_wake_keys(*body, config); !s.ok()) return s;
  WakeChange change;
  if (auto s = find_name(*body, "chain", config.chains, change.chain); !s.ok()) return s;
  if (auto s = find_name(*body, "nf", config.nfs, change.nf); !s.ok()) return s;
  if (change.chain && change.nf) return bad("give either \"chain\" or \"nf\", not both");
  json settings = json::object();
  for (const char* key : {"batch", "aging"})
    if (body->contains(key)) settings[key] = (*body)[key];
  change.batch = settings.contains("batch");
  change.aging = settings.contains("aging");
  if (const auto inherit = body->find("inherit"); inherit != body->end()) {
    change.inherit = inherit->is_boolean() && inherit->get<bool>();
    if (!change.inherit || (!change.chain && !change.nf) || !settings.empty())
      return bad(
          "\"inherit\" is true, with \"chain\" or \"nf\" and nothing else: their own "
          "settings go away");
    return change;
  }
  if (settings.empty()) return bad("give \"batch\", \"aging\" or both");
  // What the file is checked by checks this as well: JSON is YAML.
  const auto wake = parse_wake_text(settings.dump(-1, ' ', false, json::error_handler_t::replace),
                                    "request", WakeConfig{}, config.ring_entries);
  if (!wake.ok()) return wake.status();
  change.to = *wake;
  return change;
}

}  // namespace mayfly
