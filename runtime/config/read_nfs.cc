// nfs and chains.
#include <fmt/format.h>

#include "runtime/base/limits.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

PoolConfig read_pool(const Value& value) {
  static constexpr Word<EmptyPool> kEmpty[] = {{"queue", EmptyPool::queue},
                                               {"share", EmptyPool::share},
                                               {"bypass", EmptyPool::bypass},
                                               {"drop", EmptyPool::drop}};
  PoolConfig pool;
  const Map map(value, {"idle", "max", "empty"});
  if (const Value v = map["max"]) pool.max = static_cast<uint32_t>(v.integer(1, kSlotCountMax));
  pool.idle = std::min(pool.idle, pool.max);
  if (const Value v = map["idle"]) {
    pool.idle = static_cast<uint32_t>(v.integer(0, kSlotCountMax));
    if (v.source().ok() && pool.idle > pool.max)
      v.error(fmt::format("{} is above pool.max, which is {}; lower it, or raise max", pool.idle,
                          pool.max));
  }
  if (const Value v = map["empty"]) pool.empty = v.word(kEmpty);
  return pool;
}

void check_trust(const Value& value) {
  if (!value) return;
  const std::string given = value.text("shared");
  if (given == "isolated")
    value.error("\"isolated\" is not in this version; use shared");
  else if (value.source().ok() && given != "shared")
    value.error(fmt::format("\"{}\" is not known here; use shared", given));
}

NfConfig read_nf(const Named& entry, const Config& config) {
  const Value& value = entry.value;
  NfConfig nf;
  nf.name = entry.name;
  nf.line = value.line();
  if (nf.name == "key" || nf.name == "chain" || nf.name == "weight")
    value.error("an NF cannot have this name: it is a key of every tenant; choose another");
  const Map map(value, {"image", "trust", "pool", "args", "wake"});
  check_trust(map["trust"]);
  nf.pool = read_pool(map["pool"]);
  if (const Value v = map["wake"])
    nf.wake = read_wake(v, config.wake, config.ring_entries, nullptr, nullptr,
                        is_weighted(config));
  nf.image = map.required("image", "firewall").text("an image, for example firewall");
  return nf;
}

void read_image(const Named& entry, NfConfig& nf, ImageCatalog& images, CompileBatch& batch) {
  const Map map(entry.value, {"image", "trust", "pool", "args", "wake"});
  const Value image = map["image"];
  auto path = find_image(nf.image, entry.value.source().dir);
  if (!path.ok()) return image.error(std::string(path.status().message()));
  nf.image_path = *std::move(path);
  const ImageInfo* info = images.describe(nf.image_path, image);
  if (info == nullptr) return;
  nf.tick_period_ns = info->tick_period_ns;
  nf.blank_buffers = info->blank_buffers;
  LocatedArgs args = read_args(*info, map["args"]);
  nf.args = args.args;
  batch.add(nf.image_path, std::move(args), map["args"]);
}

}  // namespace

void read_nfs(const Value& value, Config& config) {
  uint64_t instances = 0;
  for (const Named& entry : named_entries(value, kNfKindCountMax)) {
    config.nfs.push_back(read_nf(entry, config));
    if (!value.source().ok()) return;
    instances += config.nfs.back().pool.max;
    if (instances > kSlotCountMax)
      entry.value.error(
          fmt::format("with this NF, all pool.max together are {}; at most {} instances are "
                      "possible",
                      instances, kSlotCountMax));
  }
}

void read_images(const Value& value, Config& config, ImageCatalog& images, CompileBatch& batch) {
  size_t i = 0;
  for (const Named& entry : named_entries(value, kNfKindCountMax)) {
    if (!value.source().ok()) return;
    read_image(entry, config.nfs[i++], images, batch);
  }
}

void read_chains(const Value& value, Config& config) {
  constexpr size_t kChainCountMax = 4096;
  for (const Named& entry : named_entries(value, kChainCountMax)) {
    ChainConfig chain;
    chain.name = entry.name;
    const Map map(entry.value, {"nfs", "wake"});
    const Value nfs = map.required("nfs", "[fw]");
    for (const Value& item : nfs.list(nfs.label(), 1, kChainNfCountMax)) {
      const size_t nf = index_of(config.nfs, item, "NF");
      chain.nfs.push_back(NfId{static_cast<uint16_t>(nf)});
    }
    if (const Value v = map["wake"])
      chain.wake = read_wake(v, config.wake, config.ring_entries, nullptr, nullptr,
                        is_weighted(config));
    if (!value.source().ok()) return;
    config.chains.push_back(std::move(chain));
  }
}

}  // namespace mayfly
