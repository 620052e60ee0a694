// The sections of a configuration, one reader each. They record errors in the Value's source and
// go on with harmless values; parse.cc calls them in this order, as later ones look names up in
// what earlier ones stored.
#pragma once

#include "runtime/config/args.h"
#include "runtime/config/config.h"
#include "runtime/config/reader.h"

namespace mayfly {

// cores, memory, ring, downstream, flow_table, tenant, name, dispatch and the global wake.
void read_host(const Map& root, Config& config);
// `wake:` over `inherited`. The dispatch is the global one's alone: elsewhere `dispatch` is null.
WakeConfig read_wake(const Value& value, const WakeConfig& inherited, uint32_t ring_entries,
                     Dispatch* dispatch, BatonConfig* baton, bool weighted);
// A weight: an error unless the order of ready NFs is by weights.
uint32_t read_weight(const Value& value, bool weighted);
inline bool is_weighted(const Config& config) {
  return config.dispatch == Dispatch::baton && config.baton.order == BatonOrder::weighted;
}

void read_ports(const Value& value, Config& config);
void read_nfs(const Value& value, Config& config);
void read_chains(const Value& value, Config& config);
void read_flows(const Value& value, Config& config);
// What `nfs:` names outside the file, once all that is in it makes sense: images and arguments.
void read_images(const Value& nfs, Config& config, ImageCatalog& images, CompileBatch& batch);

// What a tenant's arguments are merged over: `base.nfs[i].args`, and where each was given.
struct TenantBase {
  const Config& config;
  std::vector<LocatedArgs> nf_args;
};
// Appends to `tenants`, with requests in `batch` for the NFs of each tenant in order.
void read_tenants(const Value& value, const TenantBase& base, ImageCatalog& images,
                  CompileBatch& batch, std::vector<TenantConfig>& tenants);

// The entry called `name`, or an error at `value` that names the nearest.
template <class Entry>
size_t index_of(const std::vector<Entry>& entries, const Value& value, std::string_view kind) {
  const std::string name = value.text("a name");
  if (!value.source().ok()) return 0;
  std::vector<std::string_view> known;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) return i;
    known.push_back(entries[i].name);
  }
  value.error(std::string("there is no ") + std::string(kind) + " \"" + name + "\"" +
              suggest(name, known));
  return 0;
}

}  // namespace mayfly
