// The tenant part of the API: request bodies to validated TenantConfigs, and the record of what
// every tenant's configuration is now.
//
// A body is JSON, in one of two forms:
//   {"yaml": TEXT}                                       a `tenants:` document
//   {"tenants": {NAME: {key, chain, NF: {arg: value}}}}  the same as JSON
// both with "file": NAME (what errors call it) and "files": {PATH: CONTENT} for file arguments: the
// server opens no file that a request names. A PATCH takes the second form only; what it leaves out
// (key, chain, arguments) keeps its present value.
#pragma once

#include <initializer_list>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "runtime/api/dataplane_api.h"
#include "runtime/config/config.h"

namespace mayfly {

// A JSON object, without duplicate keys anywhere (a duplicate tenant must not silently win).
absl::StatusOr<nlohmann::json> parse_json_body(const std::string& body);
// InvalidArgument for a key of `body` that is not among `known`.
absl::Status check_keys(const nlohmann::json& body, std::initializer_list<const char*> known);

class TenantRequests {
 public:
  explicit TenantRequests(DataplaneApi& api);

  // Each returns the number of tenants concerned. One at a time; all or nothing.
  absl::StatusOr<size_t> add(const std::string& body);
  absl::StatusOr<size_t> set(const std::string& body);
  absl::StatusOr<size_t> patch(const std::string& body);
  absl::StatusOr<size_t> remove(const std::vector<std::string>& names);
  absl::StatusOr<size_t> remove_listed(const std::string& body);  // {"names": [...]}

 private:
  struct Source {  // of a change: what errors call it, and the files that came with it
    const std::string& file;
    const nlohmann::json& files;
  };
  absl::StatusOr<size_t> replace(std::vector<TenantConfig> tenants);
  absl::StatusOr<TenantConfig> patched(const std::string& name, nlohmann::json change,
                                       const Source& source) const;
  void remember(const std::vector<TenantConfig>& tenants);

  DataplaneApi& api_;
  const Config base_;                                       // as started, without the tenants
  std::mutex mutex_;                                        // one change at a time
  absl::flat_hash_map<std::string, TenantConfig> tenants_;  // as they are now
};

}  // namespace mayfly
