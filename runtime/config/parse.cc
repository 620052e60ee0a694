#include "runtime/config/parse.h"

#include <fmt/format.h>

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "runtime/base/limits.h"
#include "runtime/config/files.h"
#include "runtime/config/sections.h"

namespace mayfly {
namespace {

FileReader reader_in(const std::string& dir) {
  return
      [dir](const std::string& path) { return read_file(path_from(dir, path), kArgFileBytesMax); };
}

// A document and all that the Values into it point at.
struct Document {
  Source source;
  YamlTree tree;
  Value root() const { return {source, &tree.root(), tree.root().line, ""}; }
};

absl::StatusOr<std::unique_ptr<Document>> open_document(const std::string& yaml, Source source) {
  auto tree = YamlTree::parse(yaml, source.file);
  if (!tree.ok()) return tree.status();
  return std::make_unique<Document>(Document{std::move(source), *std::move(tree)});
}

// `tenants: FILE` or the map itself. Null when there are none; owns what the map's Values point at.
struct TenantsPart {
  std::unique_ptr<Document> document;
  std::optional<Value> map;
};

TenantsPart find_tenants(const Value& value) {
  TenantsPart part;
  if (!value) return part;
  if (!value.is(YamlKind::scalar)) {
    part.map = value;
    return part;
  }
  const Source& outer = value.source();
  const std::string path = path_from(outer.dir, value.node()->text);
  const auto yaml = read_file(path, kYamlBytesMax);
  if (!yaml.ok()) {
    value.error(std::string(yaml.status().message()));
    return part;
  }
  const std::string dir = dir_of(path);
  auto document = open_document(*yaml, {path, dir, outer.errors, reader_in(dir)});
  if (!document.ok()) {
    outer.errors->report(document.status());
    return part;
  }
  part.document = *std::move(document);
  part.map = part.document->root();
  return part;
}

uint64_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Hands the compiled configurations to their owners, and checks that they fit the bind region.
void take_blobs(const CompileBatch& batch, const Source& source, Config& config) {
  size_t request = 0;
  uint64_t bytes = 0;
  absl::flat_hash_set<absl::string_view> distinct;
  const auto take = [&](std::vector<uint8_t>& blob) {
    blob = batch.blob(request++);
    const absl::string_view text(reinterpret_cast<const char*>(blob.data()), blob.size());
    if (distinct.insert(text).second) bytes += aligned(blob.size());
  };
  for (NfConfig& nf : config.nfs) take(nf.blob);
  for (TenantConfig& tenant : config.tenants)
    for (TenantNfArgs& nf : tenant.nfs) take(nf.blob);
  if (bytes > config.bind_bytes)
    source.error(1, fmt::format("memory.bind: the compiled arguments of all tenants take {} bytes, "
                                "the region has {}; write at least bind: {}MiB",
                                bytes, config.bind_bytes, bytes / (1u << 20) + 1));
}

std::vector<LocatedArgs> args_of(const Config& config, const Source& source) {
  std::vector<LocatedArgs> all;
  for (const NfConfig& nf : config.nfs)
    all.push_back({nf.args, std::vector<uint32_t>(nf.args.size(), nf.line),
                   std::vector<const Source*>(nf.args.size(), &source)});
  return all;
}

void require(const Map& root, std::initializer_list<std::pair<const char*, const char*>> keys) {
  for (const auto& [key, example] : keys) root.required(key, example);
}

absl::StatusOr<Config> read_config(const Document& document) {
  const Source& source = document.source;
  Config config;
  config.file = source.file;
  const Map root(document.root(), {"name", "cores", "vswitch", "memory", "ring", "downstream",
                                   "flow_table", "tenant", "ports", "nfs", "chains", "flows",
                                   "tenants", "wake"});
  require(root, {{"ports", "[{name: load, gen: {flows: 10}}]"},
                 {"nfs", "{fw: {image: firewall}}"},
                 {"chains", "{protect: {nfs: [fw]}}"},
                 {"flows", "[{chain: protect, out: load}]"}});
  ImageCatalog images;
  CompileBatch batch;
  read_host(root, config);
  read_ports(root["ports"], config);
  if (source.ok()) read_nfs(root["nfs"], config);
  if (source.ok()) read_chains(root["chains"], config);
  if (source.ok()) read_flows(root["flows"], config);
  if (source.ok()) read_images(root["nfs"], config, images, batch);
  if (!source.ok()) return source.errors->status();

  const TenantsPart tenants = find_tenants(root["tenants"]);
  if (tenants.map)
    read_tenants(*tenants.map, {config, args_of(config, source)}, images, batch, config.tenants);
  if (source.ok()) batch.run();
  if (source.ok()) take_blobs(batch, source, config);
  if (!source.ok()) return source.errors->status();
  return config;
}

absl::StatusOr<std::vector<TenantConfig>> read_tenants_alone(const std::string& yaml, Source source,
                                                             const Config& base) {
  const auto document = open_document(yaml, std::move(source));
  if (!document.ok()) return document.status();
  FirstError& errors = *(*document)->source.errors;
  const Source base_source{base.file, "", &errors, {}};
  std::vector<TenantConfig> tenants;
  ImageCatalog images;
  CompileBatch batch;
  read_tenants((*document)->root(), {base, args_of(base, base_source)}, images, batch, tenants);
  if (errors.ok()) batch.run();
  if (!errors.ok()) return errors.status();
  size_t request = 0;
  for (TenantConfig& tenant : tenants)
    for (TenantNfArgs& nf : tenant.nfs) nf.blob = batch.blob(request++);
  return tenants;
}

}  // namespace

absl::StatusOr<Config> parse_config_text(const std::string& yaml, const std::string& file_name,
                                         const std::string& dir) {
  FirstError errors;
  const auto document = open_document(yaml, {file_name, dir, &errors, reader_in(dir)});
  if (!document.ok()) return document.status();
  return read_config(**document);
}

absl::StatusOr<WakeConfig> parse_wake_text(const std::string& yaml, const std::string& file_name,
                                           const WakeConfig& inherited, uint32_t ring_entries) {
  FirstError errors;
  const auto document = open_document(yaml, {file_name, "", &errors, {}});
  if (!document.ok()) return document.status();
  const YamlNode& root = (*document)->tree.root();
  const WakeConfig wake = read_wake({(*document)->source, &root, root.line, "wake"}, inherited,
                                    ring_entries, nullptr, nullptr, false);
  if (!errors.ok()) return errors.status();
  return wake;
}

absl::StatusOr<Config> parse_config(const std::string& path) {
  const auto yaml = read_file(path, kYamlBytesMax, FileKind::regular_or_pipe);
  if (!yaml.ok()) return yaml.status();
  return parse_config_text(*yaml, path, dir_of(path));
}

absl::StatusOr<std::vector<TenantConfig>> parse_tenants_text(const std::string& yaml,
                                                             const std::string& file_name,
                                                             const std::string& dir,
                                                             const Config& base) {
  FirstError errors;
  return read_tenants_alone(yaml, {file_name, dir, &errors, reader_in(dir)}, base);
}

absl::StatusOr<std::vector<TenantConfig>> parse_tenants_text(const std::string& yaml,
                                                             const std::string& file_name,
                                                             const Config& base,
                                                             const FileReader& read_file) {
  FirstError errors;
  return read_tenants_alone(yaml, {file_name, "", &errors, read_file}, base);
}

}  // namespace mayfly
