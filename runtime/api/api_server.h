// The HTTP/JSON API of a dataplane, on a Unix socket of mode 0600. docs/api.md describes it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "runtime/api/dataplane_api.h"
#include "runtime/api/http_listener.h"
#include "runtime/api/tenant_requests.h"

namespace mayfly {

class ApiServer {
 public:
  // `api` is called from up to kApiWorkers threads at once.
  ApiServer(DataplaneApi& api, std::string socket_path);
  ~ApiServer() { stop(); }

  absl::Status start();
  // Returns when no handler runs any more: the caller must still answer DataplaneApi calls
  // meanwhile, from another thread than this one.
  void stop() { listener_.stop(); }

 private:
  void route(httplib::Server& server);
  void route_reading(httplib::Server& server);
  void route_tenants(httplib::Server& server);
  void route_live(httplib::Server& server);

  DataplaneApi& api_;
  std::string socket_path_;
  TenantRequests tenants_;
  HttpListener listener_;
};

}  // namespace mayfly
