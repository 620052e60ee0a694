#include "runtime/dataplane/tenant_table.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "flowdir/rules.h"

namespace mayfly {
namespace {

constexpr size_t kTenantCountMax = 1u << 16;

}  // namespace

absl::StatusOr<TenantTable::Change> TenantTable::add(std::vector<TenantConfig> tenants) {
  absl::flat_hash_set<std::string> names;
  absl::flat_hash_map<InstanceKey, std::string, InstanceKeyHash> keys;
  for (const TenantConfig& t : tenants) {
    if (by_name_.contains(t.name) || !names.insert(t.name).second)
      return absl::AlreadyExistsError(
          absl::StrCat("tenant '", t.name, "' is there already; use set to change it"));
    const auto owner = name_by_key_.find(t.key);
    if (owner != name_by_key_.end() || !keys.emplace(t.key, t.name).second)
      return absl::AlreadyExistsError(absl::StrCat(
          "tenant '", t.name, "': key ", to_string(t.key), " belongs to tenant '",
          owner != name_by_key_.end() ? owner->second : keys[t.key], "'"));
  }
  if (by_name_.size() + tenants.size() > kTenantCountMax)
    return absl::ResourceExhaustedError(
        absl::StrCat("at most ", kTenantCountMax, " tenants; ", by_name_.size(), " are there"));
  Change change;
  std::vector<TenantId> ids;
  for (TenantConfig& t : tenants) {
    VSwitch::TenantChange to{};
    to.live = true;
    to.chain = t.chain;
    to.weight = t.weight;
    if (absl::Status s = place_blobs(t, to, change); !s.ok()) return take_back_blobs(change, s);
    change.tenants.push_back(std::move(to));
  }
  for (size_t i = 0; i < tenants.size(); ++i) {
    const auto id = new_id();
    if (!id.ok()) return take_back_blobs(change, id.status());
    TenantConfig& t = tenants[i];
    change.tenants[i].tenant = *id;
    change.tenants[i].new_key = t.key;
    names_[index(*id)] = t.name;
    name_by_key_[t.key] = t.name;
    const std::string name = t.name;
    by_name_.emplace(name, Entry{*id, std::move(t)});
  }
  return change;
}

absl::StatusOr<TenantTable::Change> TenantTable::set(std::vector<TenantConfig> tenants) {
  absl::flat_hash_map<InstanceKey, std::string, InstanceKeyHash> keys;
  for (const TenantConfig& t : tenants) {
    if (!keys.emplace(t.key, t.name).second)
      return absl::AlreadyExistsError(absl::StrCat("tenant '", t.name, "': key ", to_string(t.key),
                                                   " is also given to tenant '", keys[t.key], "'"));
    if (!by_name_.contains(t.name))
      return absl::NotFoundError(absl::StrCat("no tenant '", t.name, "'; use add"));
    const auto owner = name_by_key_.find(t.key);
    if (owner != name_by_key_.end() && owner->second != t.name)
      return absl::AlreadyExistsError(absl::StrCat("tenant '", t.name, "': key ", to_string(t.key),
                                                   " belongs to tenant '", owner->second, "'"));
  }
  Change change;
  for (const TenantConfig& t : tenants) {
    const Entry& entry = by_name_.at(t.name);
    VSwitch::TenantChange to{};
    to.tenant = entry.id;
    to.live = true;
    to.chain = t.chain;
    to.weight = t.weight;
    to.rebind = !(entry.config.key == t.key) || entry.config.chain != t.chain;
    if (!(entry.config.key == t.key)) to.new_key = t.key, to.old_key = entry.config.key;
    if (absl::Status s = place_blobs(t, to, change); !s.ok()) return take_back_blobs(change, s);
    change.tenants.push_back(std::move(to));
  }
  for (TenantConfig& t : tenants) {
    Entry& entry = by_name_.at(t.name);
    name_by_key_.erase(entry.config.key);
    name_by_key_[t.key] = t.name;
    entry.config = std::move(t);
  }
  return change;
}

absl::StatusOr<TenantTable::Change> TenantTable::remove(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (!by_name_.contains(name))
      return absl::NotFoundError(absl::StrCat("no tenant '", name, "'"));
  Change change;
  for (const std::string& name : names) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) continue;  // named twice
    VSwitch::TenantChange to{};
    to.tenant = found->second.id;
    to.old_key = found->second.config.key;
    change.tenants.push_back(std::move(to));
    name_by_key_.erase(found->second.config.key);
    names_[index(found->second.id)].clear();
    free_ids_.push_back(found->second.id);
    by_name_.erase(found);
  }
  return change;
}

absl::Status TenantTable::place_blobs(const TenantConfig& tenant, VSwitch::TenantChange& to,
                                      Change& change) {
  for (const TenantNfArgs& nf : tenant.nfs) {
    if (nf.blob.empty()) continue;
    bool fresh;
    const auto blob = bind_.add(nf.blob, fresh);
    if (!blob.ok()) return blob.status();
    if (fresh) change.fresh_blobs.emplace_back(*blob, bind_.record(*blob));
    to.blobs.emplace_back(nf.nf, *blob);
  }
  return absl::OkStatus();
}

// A change that fails leaves nothing behind: the vSwitch never heard of these.
absl::Status TenantTable::take_back_blobs(const Change& change, absl::Status status) {
  for (const auto& [blob, record] : change.fresh_blobs) bind_.remove(blob);
  return status;
}

absl::StatusOr<TenantId> TenantTable::new_id() {
  if (names_.size() < kTenantCountMax) {
    names_.emplace_back();
    return static_cast<TenantId>(names_.size() - 1);
  }
  if (free_ids_.empty()) return absl::ResourceExhaustedError("too many tenants");
  const TenantId id = free_ids_.front();
  free_ids_.pop_front();
  return id;
}

const std::string& TenantTable::name_of(TenantId id) const {
  static const std::string kNobody;
  return index(id) < names_.size() ? names_[index(id)] : kNobody;
}

}  // namespace mayfly
