// What the HTTP/JSON API needs of a dataplane. Implemented by the control thread (every call is
// made on an API thread and waits for it); the server in api_server.h knows nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/config/config.h"

namespace mayfly {

// PATCH /v1/wake: of an NF, of a chain, or (neither) of all that have none of their own.
struct WakeChange {
  std::optional<ChainId> chain;
  std::optional<NfId> nf;
  bool inherit = false;  // the NF's or chain's own settings go away
  bool batch = false, aging = false;  // which of `to` were given
  WakeConfig to;
};

class DataplaneApi {
 public:
  virtual ~DataplaneApi() = default;

  virtual nlohmann::json stats() = 0;  // the --report keys, as of now
  virtual nlohmann::json nfs() = 0;    // [{slot, nf, state, pid, tenant, key, packets, ...}]
  // At most `limit` flows from `cursor` on: {flows: [...], next: CURSOR or null, total: N}
  virtual nlohmann::json flows(uint64_t cursor, uint32_t limit) = 0;
  virtual nlohmann::json tenants() = 0;  // [{name, key, chain, nfs: {name: {arg: value}}, ...}]
  virtual const Config& config() = 0;    // as started (tenants change, the rest does not)

  // All or nothing. add: AlreadyExists if a name or key is taken. set: NotFound if absent; the
  // flows of a tenant whose arguments alone change stay where they are. remove: NotFound.
  virtual absl::Status add_tenants(std::vector<TenantConfig> tenants) = 0;
  virtual absl::Status set_tenants(std::vector<TenantConfig> tenants) = 0;
  virtual absl::Status remove_tenants(const std::vector<std::string>& names) = 0;

  virtual nlohmann::json ports() = 0;  // [{name, kind, rate}]
  // Of a `gen` port, in packets/s from now on (0: max). NotFound, FailedPrecondition.
  virtual absl::Status set_rate(const std::string& port, double pps) = 0;
  virtual nlohmann::json wake() = 0;  // {dispatch, batch, aging, chains: {}, nfs: {}}
  virtual absl::Status set_wake(const WakeChange& change) = 0;
  // Measuring windows: one at a time, a new one replaces it. {window: number}; then its figures so
  // far, with the keys of stats() and more; `buckets`: all of its latency histogram. NotFound while
  // there is none.
  virtual absl::StatusOr<nlohmann::json> begin_window() = 0;
  virtual absl::StatusOr<nlohmann::json> window(bool buckets) = 0;
};

}  // namespace mayfly
