// A dataplane for the API server's tests: holds tenants in a map, invents figures.
#pragma once

#include <unistd.h>

#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "runtime/api/api_client.h"
#include "runtime/api/api_server.h"
#include "runtime/config/parse.h"

namespace mayfly {

class RecordingDataplane : public DataplaneApi {
 public:
  explicit RecordingDataplane(Config config) : config_(std::move(config)) {
    for (const TenantConfig& tenant : config_.tenants) tenants_[tenant.name] = tenant;
  }

  nlohmann::json stats() override {
    return {{"version", "0.1.0"},
            {"seconds", 2.0},
            {"packets", {{"rx", 7}, {"tx", 6}, {"drops", {{"nf_drop", 1}}}}}};
  }
  nlohmann::json nfs() override { return nlohmann::json::array({{{"slot", 0}, {"nf", "fw"}}}); }
  nlohmann::json flows(uint64_t cursor, uint32_t limit) override {
    nlohmann::json flows = nlohmann::json::array();
    for (uint64_t i = cursor; i < kFlows && flows.size() < limit; ++i) flows.push_back({{"id", i}});
    const uint64_t next = cursor + flows.size();
    return {{"flows", flows},
            {"next", next < kFlows ? nlohmann::json(next) : nlohmann::json()},
            {"total", kFlows}};
  }
  nlohmann::json tenants() override {
    const std::lock_guard lock(mutex_);
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [name, tenant] : tenants_) {
      list.push_back({{"name", name}, {"key", to_string(tenant.key)}});
    }
    return list;
  }
  const Config& config() override { return config_; }

  absl::Status add_tenants(std::vector<TenantConfig> tenants) override {
    const std::lock_guard lock(mutex_);
    for (const TenantConfig& tenant : tenants) {
      if (tenants_.contains(tenant.name)) {
        return absl::AlreadyExistsError(absl::StrCat("tenant '", tenant.name, "' exists"));
      }
    }
    for (TenantConfig& tenant : tenants) tenants_[tenant.name] = std::move(tenant);
    return absl::OkStatus();
  }
  absl::Status set_tenants(std::vector<TenantConfig> tenants) override {
    const std::lock_guard lock(mutex_);
    for (const TenantConfig& tenant : tenants) {
      if (!tenants_.contains(tenant.name)) return missing(tenant.name);
    }
    for (TenantConfig& tenant : tenants) tenants_[tenant.name] = std::move(tenant);
    return absl::OkStatus();
  }
  absl::Status remove_tenants(const std::vector<std::string>& names) override {
    const std::lock_guard lock(mutex_);
    for (const std::string& name : names) {
      if (!tenants_.contains(name)) return missing(name);
    }
    for (const std::string& name : names) tenants_.erase(name);
    return absl::OkStatus();
  }

  nlohmann::json ports() override {
    const std::lock_guard lock(mutex_);
    return nlohmann::json::array({{{"name", "load"}, {"rate", packet_rate_text(rate_)}}});
  }
  absl::Status set_rate(const std::string& port, double pps) override {
    const std::lock_guard lock(mutex_);
    if (port == "wire") return absl::FailedPreconditionError("port 'wire' is no gen port");
    if (port != "load") return absl::NotFoundError(absl::StrCat("no port '", port, "'"));
    rate_ = pps;
    return absl::OkStatus();
  }
  nlohmann::json wake() override {
    const std::lock_guard lock(mutex_);
    return {{"batch", change_.to.batch}, {"changes", wake_changes_}};
  }
  absl::Status set_wake(const WakeChange& change) override {
    const std::lock_guard lock(mutex_);
    change_ = change;
    ++wake_changes_;
    return absl::OkStatus();
  }
  absl::StatusOr<nlohmann::json> begin_window() override {
    const std::lock_guard lock(mutex_);
    return nlohmann::json{{"window", ++windows_}};
  }
  absl::StatusOr<nlohmann::json> window(bool buckets) override {
    const std::lock_guard lock(mutex_);
    if (windows_ == 0) return absl::NotFoundError("there is no window");
    return nlohmann::json{{"window", windows_}, {"seconds", 1.5}, {"buckets", buckets}};
  }
  double rate() {
    const std::lock_guard lock(mutex_);
    return rate_;
  }
  WakeChange last_wake_change() {
    const std::lock_guard lock(mutex_);
    return change_;
  }

  // The value of one argument of one tenant; text and numbers alike.
  std::string argument(const std::string& tenant, const std::string& nf, const std::string& arg) {
    const std::lock_guard lock(mutex_);
    const auto it = tenants_.find(tenant);
    if (it == tenants_.end()) return "no tenant";
    for (const TenantNfArgs& own : it->second.nfs) {
      if (config_.nfs[index(own.nf)].name != nf) continue;
      for (const ArgValue& value : own.args) {
        if (value.name == arg) return value.is_number ? absl::StrCat(value.number) : value.text;
      }
    }
    return "no argument";
  }
  TenantConfig tenant(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return tenants_[name];
  }
  size_t tenant_count() {
    const std::lock_guard lock(mutex_);
    return tenants_.size();
  }

  static constexpr uint64_t kFlows = 25;

 private:
  static absl::Status missing(const std::string& name) {
    return absl::NotFoundError(absl::StrCat("no tenant '", name, "'"));
  }

  const Config config_;
  std::mutex mutex_;
  std::map<std::string, TenantConfig> tenants_;
  double rate_ = 1e6;
  WakeChange change_;
  int wake_changes_ = 0, windows_ = 0;
};

// A server in front of one, on a socket of its own.
struct ApiEnv {
  explicit ApiEnv(Config config = {})
      : dataplane(std::move(config)),
        path(absl::StrCat("/tmp/mayfly-api-test-", ::getpid(), ".sock")),
        server(dataplane, path),
        client(path) {
    started = server.start();
  }

  RecordingDataplane dataplane;
  std::string path;
  ApiServer server;
  ApiClient client;
  absl::Status started;
};

}  // namespace mayfly
