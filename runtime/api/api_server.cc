#include "runtime/api/api_server.h"

#include <httplib.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/api/live_requests.h"
#include "runtime/api/metrics.h"
#include "runtime/config/parse.h"
#include "scheduler/dispatch.h"

namespace mayfly {
namespace {

using httplib::Request;
using httplib::Response;
using nlohmann::json;

constexpr uint32_t kFlowsDefault = 100;
constexpr uint32_t kFlowsMax = 10'000;

void answer(Response& response, const json& body, int status = 200) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n",
                       "application/json");
}

void answer_error(Response& response, int status, const std::string& message) {
  answer(response, {{"error", message}}, status);
}

int http_status(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 507;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 503;
    default:
      return 500;
  }
}

void answer_error(Response& response, const absl::Status& status) {
  answer_error(response, http_status(status.code()), std::string(status.message()));
}

void answer_change(Response& response, const absl::StatusOr<size_t>& changed, int status = 200) {
  if (!changed.ok()) return answer_error(response, changed.status());
  answer(response, {{"tenants", *changed}}, status);
}

// An unsigned query parameter; false and an answer if it is not one.
template <class T>
bool read_parameter(const Request& request, Response& response, const char* name, T& value) {
  if (!request.has_param(name)) return true;
  const std::string text = request.get_param_value(name);
  if (absl::SimpleAtoi(text, &value)) return true;
  answer_error(response, 400, absl::StrCat(name, "=", text, " is not an unsigned number"));
  return false;
}

json wake_json(const Config& config) {
  return {{"dispatch", std::string(dispatch_name(config.dispatch))},
          {"batch", config.wake.batch},
          {"adaptive", config.wake.adaptive},
          {"aging_ns", config.wake.aging == kNever ? json() : json(config.wake.aging.n)}};
}

json config_json(const Config& config) {
  json ports = json::array(), nfs = json::array(), chains = json::array();
  for (const PortConfig& port : config.ports) {
    const char* kind = port.gen ? "gen" : port.dev.empty() ? "pcap" : "dev";
    ports.push_back({{"name", port.name}, {"kind", kind}, {"dev", port.dev}});
  }
  for (const NfConfig& nf : config.nfs) {
    json args = json::object();
    for (const ArgValue& arg : nf.args) {
      if (!arg.file.empty()) {
        args[arg.name] = {{"file", arg.file}};
      } else if (arg.is_number) {
        args[arg.name] = arg.number;
      } else {
        args[arg.name] = arg.text;
      }
    }
    nfs.push_back({{"name", nf.name},
                   {"image", nf.image},
                   {"image_path", nf.image_path},
                   {"pool", {{"idle", nf.pool.idle}, {"max", nf.pool.max}}},
                   {"args", args}});
  }
  for (const ChainConfig& chain : config.chains) {
    json names = json::array();
    for (const NfId nf : chain.nfs) names.push_back(config.nfs[index(nf)].name);
    chains.push_back({{"name", chain.name}, {"nfs", names}});
  }
  json nf_cores = json::array();
  for (const CoreId core : config.nf_cores) nf_cores.push_back(raw(core));
  return {{"file", config.file},
          {"name", config.name},
          {"cores", {{"vswitch", raw(config.vswitch_core)}, {"nfs", nf_cores}}},
          {"memory", {{"packets", config.packets}, {"jumbo_packets", config.jumbo_packets}}},
          {"ring_entries", config.ring_entries},
          {"wake", wake_json(config)},
          {"ports", ports},
          {"nfs", nfs},
          {"chains", chains},
          {"flows", config.flows.size()}};
}

// cpp-httplib would inflate a body without bound, and never needs to here.
httplib::Server::HandlerResponse refuse_encoded(const Request& request, Response& response) {
  if (!request.has_header("Content-Encoding")) return httplib::Server::HandlerResponse::Unhandled;
  answer_error(response, 415, "the body must not be compressed");
  return httplib::Server::HandlerResponse::Handled;
}

httplib::Server::HandlerResponse explain_error(const Request& request, Response& response) {
  if (!response.body.empty()) return httplib::Server::HandlerResponse::Handled;
  const int status = response.status;
  const std::string what = request.method + " " + request.path;
  answer_error(response, status,
               status == 404   ? absl::StrCat("no such resource: ", what)
               : status == 413 ? "the body is larger than 64 MiB"
                               : absl::StrCat("bad request: ", what));
  return httplib::Server::HandlerResponse::Handled;
}

void explain_exception(const Request&, Response& response, std::exception_ptr error) {
  std::string what = "unknown";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  answer_error(response, 500, absl::StrCat("internal error: ", what));
}

}  // namespace

ApiServer::ApiServer(DataplaneApi& api, std::string socket_path)
    : api_(api),
      socket_path_(std::move(socket_path)),
      tenants_(api),
      listener_([this](httplib::Server& server) { route(server); }) {}

absl::Status ApiServer::start() { return listener_.start(socket_path_); }

void ApiServer::route(httplib::Server& server) {
  server.set_pre_routing_handler(refuse_encoded);
  server.set_error_handler(httplib::Server::HandlerWithResponse(explain_error));
  server.set_exception_handler(explain_exception);
  route_reading(server);
  route_tenants(server);
  route_live(server);
}

void ApiServer::route_reading(httplib::Server& server) {
  server.Get("/v1/health", [](const Request&, Response& response) {
    answer(response, {{"status", "ok"}});
  });
  server.Get("/v1/stats",
             [this](const Request&, Response& response) { answer(response, api_.stats()); });
  server.Get("/v1/nfs",
             [this](const Request&, Response& response) { answer(response, api_.nfs()); });
  server.Get("/v1/tenants",
             [this](const Request&, Response& response) { answer(response, api_.tenants()); });
  server.Get("/v1/config", [this](const Request&, Response& response) {
    answer(response, config_json(api_.config()));
  });
  server.Get("/v1/flows", [this](const Request& request, Response& response) {
    uint64_t cursor = 0;
    uint32_t limit = kFlowsDefault;
    if (!read_parameter(request, response, "cursor", cursor)) return;
    if (!read_parameter(request, response, "limit", limit)) return;
    if (limit == 0 || limit > kFlowsMax) {
      return answer_error(response, 400, absl::StrCat("limit=", limit, " is not 1 to ", kFlowsMax));
    }
    answer(response, api_.flows(cursor, limit));
  });
  server.Get("/metrics", [this](const Request&, Response& response) {
    response.set_content(metrics_text(api_.stats(), api_.tenants()), kMetricsContentType);
  });
}

void ApiServer::route_tenants(httplib::Server& server) {
  server.Post("/v1/tenants", [this](const Request& request, Response& response) {
    answer_change(response, tenants_.add(request.body), 201);
  });
  server.Put("/v1/tenants", [this](const Request& request, Response& response) {
    answer_change(response, tenants_.set(request.body));
  });
  server.Patch("/v1/tenants", [this](const Request& request, Response& response) {
    answer_change(response, tenants_.patch(request.body));
  });
  server.Delete("/v1/tenants", [this](const Request& request, Response& response) {
    answer_change(response, tenants_.remove_listed(request.body));
  });
  server.Delete(R"(/v1/tenants/([^/]+))", [this](const Request& request, Response& response) {
    answer_change(response, tenants_.remove({request.matches[1]}));
  });
}

// What may be changed and measured while packets flow.
void ApiServer::route_live(httplib::Server& server) {
  server.Get("/v1/ports",
             [this](const Request&, Response& response) { answer(response, api_.ports()); });
  server.Patch(R"(/v1/ports/([^/]+))", [this](const Request& request, Response& response) {
    const std::string port = request.matches[1];
    const auto pps = parse_rate_request(request.body);
    if (!pps.ok()) return answer_error(response, pps.status());
    if (const absl::Status s = api_.set_rate(port, *pps); !s.ok()) return answer_error(response, s);
    answer(response, {{"name", port}, {"rate", packet_rate_text(*pps)}});
  });
  server.Get("/v1/wake",
             [this](const Request&, Response& response) { answer(response, api_.wake()); });
  server.Patch("/v1/wake", [this](const Request& request, Response& response) {
    const auto change = parse_wake_request(request.body, api_.config());
    if (!change.ok()) return answer_error(response, change.status());
    if (const absl::Status s = api_.set_wake(*change); !s.ok()) return answer_error(response, s);
    answer(response, api_.wake());
  });
  server.Post("/v1/window", [this](const Request&, Response& response) {
    const auto window = api_.begin_window();
    if (!window.ok()) return answer_error(response, window.status());
    answer(response, *window, 201);
  });
  server.Get("/v1/window", [this](const Request& request, Response& response) {
    const std::string buckets = request.get_param_value("buckets");
    if (!buckets.empty() && buckets != "true" && buckets != "false")
      return answer_error(response, 400, absl::StrCat("buckets=", buckets, " is not true or false"));
    const auto window = api_.window(buckets != "false");
    if (!window.ok()) return answer_error(response, window.status());
    answer(response, *window);
  });
}

}  // namespace mayfly
