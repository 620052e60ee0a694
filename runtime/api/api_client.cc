#include "runtime/api/api_client.h"

#include <httplib.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr int kConnectSeconds = 5;
constexpr int kAnswerSeconds = 60;

absl::StatusCode status_code(int http) {
  switch (http) {
    case 400:
    case 413:
    case 415:
      return absl::StatusCode::kInvalidArgument;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAlreadyExists;
    case 507:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusOr<json> result_of(const httplib::Result& result) {
  if (!result) {
    return absl::UnavailableError(
        absl::StrCat("the run does not answer (", httplib::to_string(result.error()), ")"));
  }
  json body = json::parse(result->body, nullptr, false);
  if (body.is_discarded()) return absl::InternalError("the run's answer is not JSON");
  if (result->status >= 200 && result->status < 300) return body;
  const bool told = body.is_object() && body.contains("error") && body["error"].is_string();
  return absl::Status(
      status_code(result->status),
      told ? body["error"].get<std::string>() : absl::StrCat("HTTP status ", result->status));
}

httplib::Request request_for(const std::string& method, const std::string& path) {
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.set_header("Host", "localhost");
  return request;
}

absl::StatusOr<json> perform(const std::string& socket_path, const httplib::Request& request) {
  if (::access(socket_path.c_str(), F_OK) != 0) {
    return absl::UnavailableError("the run is still starting, or has just ended");
  }
  httplib::Client client(socket_path);
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(kConnectSeconds);
  client.set_read_timeout(kAnswerSeconds);
  client.set_write_timeout(kAnswerSeconds);
  return result_of(client.send(request));
}

}  // namespace

absl::StatusOr<json> ApiClient::get(const std::string& path) const {
  return perform(socket_path_, request_for("GET", path));
}

absl::StatusOr<json> ApiClient::send(const std::string& method, const std::string& path,
                                     const json& body) const {
  httplib::Request request = request_for(method, path);
  request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  request.set_header("Content-Type", "application/json");
  return perform(socket_path_, request);
}

}  // namespace mayfly
