// tenants: NAME: {key, chain, weight, <nf>: {arg: value}}.
#include <fmt/format.h>

#include <set>

#include "flowdir/rules.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

constexpr size_t kTenantCountMax = 1u << 16;

KeyKind kind_of(KeyBy by) {
  switch (by) {
    case KeyBy::mac:
      return KeyKind::mac;
    case KeyBy::vlan:
      return KeyKind::vlan;
    case KeyBy::src_ip:
    case KeyBy::dst_ip:
      return KeyKind::address;
    case KeyBy::ip_pair:
      return KeyKind::ip_pair;
    case KeyBy::five_tuple:
      return KeyKind::five_tuple;
    case KeyBy::rule:
      return KeyKind::rule;
  }
  return KeyKind::none;
}

std::string_view what_of(KeyKind kind) {
  switch (kind) {
    case KeyKind::mac:
      return "a MAC";
    case KeyKind::vlan:
      return "a VLAN";
    default:
      return "an address";
  }
}

std::string_view example_of(KeyKind kind) {
  switch (kind) {
    case KeyKind::mac:
      return "tenant_by: mac";
    case KeyKind::vlan:
      return "tenant_by: vlan";
    default:
      return "tenant_by: src_ip";
  }
}

std::set<KeyKind> kinds_in_use(const Config& config) {
  std::set<KeyKind> kinds;
  for (const FlowConfig& flow : config.flows)
    if (flow.tenant_by) kinds.insert(kind_of(*flow.tenant_by));
  return kinds;
}

std::string bytes_of(const InstanceKey& key) {
  return std::string(1, static_cast<char>(key.kind)) +
         std::string(reinterpret_cast<const char*>(key.bytes), kKeyBytes);
}

class TenantReader {
 public:
  TenantReader(const TenantBase& base, ImageCatalog& images, CompileBatch& batch)
      : base_(base), images_(images), batch_(batch), kinds_(kinds_in_use(base.config)) {
    known_ = {"key", "chain", "weight"};
    for (const NfConfig& nf : base.config.nfs) known_.push_back(nf.name);
  }

  TenantConfig read(const Named& entry) {
    TenantConfig tenant;
    tenant.name = entry.name;
    tenant.line = entry.value.line();
    const Map map(entry.value, known_);
    read_key(map.required("key", "101"), tenant);
    if (const Value v = map["chain"])
      tenant.chain = ChainId{static_cast<uint16_t>(index_of(base_.config.chains, v, "chain"))};
    if (const Value v = map["weight"]) tenant.weight = read_weight(v, is_weighted(base_.config));
    for (size_t i = 0; i < base_.config.nfs.size(); ++i)
      if (const Value v = map[base_.config.nfs[i].name])
        read_nf(NfId{static_cast<uint16_t>(i)}, v, tenant);
    return tenant;
  }

 private:
  void read_key(const Value& value, TenantConfig& tenant) {
    const std::string given = value.text("a VLAN, an address or a MAC");
    if (!value || !value.source().ok()) return;
    const auto key = parse_tenant_key(given);
    if (!key.ok()) return value.error(std::string(key.status().message()));
    tenant.key = *key;
    if (!kinds_.contains(key->kind))
      return value.error(
          fmt::format("{} is {}, and no entry of flows: tells tenants apart by one; "
                      "add {} to one",
                      given, what_of(key->kind), example_of(key->kind)));
    const auto [first, is_new] = seen_.try_emplace(bytes_of(*key), tenant.name, tenant.line);
    if (!is_new)
      value.error(fmt::format("{} is already the key of tenant {} on line {}", given,
                              first->second.first, first->second.second));
  }

  void read_nf(NfId id, const Value& value, TenantConfig& tenant) {
    if (!value.source().ok()) return;
    const NfConfig& nf = base_.config.nfs[index(id)];
    const ImageInfo* info = images_.describe(nf.image_path, value);
    if (info == nullptr) return;
    LocatedArgs args = merge_args(*info, value, base_.nf_args[index(id)]);
    tenant.nfs.push_back({id, args.args, {}});
    batch_.add(nf.image_path, std::move(args), value);
  }

  const TenantBase& base_;
  ImageCatalog& images_;
  CompileBatch& batch_;
  const std::set<KeyKind> kinds_;
  std::vector<std::string_view> known_;
  absl::flat_hash_map<std::string, std::pair<std::string, uint32_t>> seen_;
};

}  // namespace

void read_tenants(const Value& value, const TenantBase& base, ImageCatalog& images,
                  CompileBatch& batch, std::vector<TenantConfig>& tenants) {
  if (!value || value.is(YamlKind::null)) return;
  TenantReader reader(base, images, batch);
  for (const Named& entry : named_entries(value, kTenantCountMax)) {
    tenants.push_back(reader.read(entry));
    if (!value.source().ok()) return;
  }
}

}  // namespace mayfly
