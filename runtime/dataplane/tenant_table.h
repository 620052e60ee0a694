// The tenants as the control thread knows them: names, keys, configurations, and what of it the
// vSwitch has to be told when they change. A change is all or nothing.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "runtime/dataplane/bind_region.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

class TenantTable {
 public:
  explicit TenantTable(BindRegion& bind) : bind_(bind) {}

  struct Change {
    std::vector<VSwitch::TenantChange> tenants;
    std::vector<std::pair<BlobId, BlobRecord>> fresh_blobs;
  };
  // Each checks first and then records; the caller hands the result to the vSwitch.
  absl::StatusOr<Change> add(std::vector<TenantConfig> tenants);
  absl::StatusOr<Change> set(std::vector<TenantConfig> tenants);
  absl::StatusOr<Change> remove(const std::vector<std::string>& names);

  struct Entry {
    TenantId id;
    TenantConfig config;
  };
  const absl::flat_hash_map<std::string, Entry>& all() const { return by_name_; }
  const std::string& name_of(TenantId id) const;

 private:
  absl::Status place_blobs(const TenantConfig& tenant, VSwitch::TenantChange& to, Change& change);
  absl::Status take_back_blobs(const Change& change, absl::Status status);
  absl::StatusOr<TenantId> new_id();

  BindRegion& bind_;
  absl::flat_hash_map<std::string, Entry> by_name_;
  absl::flat_hash_map<InstanceKey, std::string, InstanceKeyHash> name_by_key_;
  std::vector<std::string> names_;  // by id
  std::deque<TenantId> free_ids_;   // the longest free first: packets of its last owner are gone
};

}  // namespace mayfly
