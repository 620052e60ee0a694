// The command line's end of the API.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace mayfly {

class ApiClient {
 public:
  explicit ApiClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // Path with query: "/v1/flows?limit=10".
  absl::StatusOr<nlohmann::json> get(const std::string& path) const;
  absl::StatusOr<nlohmann::json> send(const std::string& method, const std::string& path,
                                      const nlohmann::json& body) const;

 private:
  std::string socket_path_;
};

}  // namespace mayfly
