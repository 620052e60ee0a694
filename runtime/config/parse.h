// YAML -> Config.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/config/config.h"
#include "runtime/config/image.h"

namespace mayfly {

// Reads and validates a configuration and everything it names (tenants file, images, argument
// files): references, units, bounds, unknown and duplicate keys, NF arguments through their image.
// The error is the one line to print.
absl::StatusOr<Config> parse_config(const std::string& path);
absl::StatusOr<Config> parse_config_text(const std::string& yaml, const std::string& file_name,
                                         const std::string& dir);

// The `tenants:` document alone (also what `mayfly tenant add FILE` reads), against an already
// valid configuration (`base`): arguments are merged over those of `base.nfs` and compiled.
absl::StatusOr<std::vector<TenantConfig>> parse_tenants_text(const std::string& yaml,
                                                             const std::string& file_name,
                                                             const std::string& dir,
                                                             const Config& base);

// The same with file arguments from elsewhere: the API server finds their content in the request.
// `path` is as written in the document.
using FileReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;
absl::StatusOr<std::vector<TenantConfig>> parse_tenants_text(const std::string& yaml,
                                                             const std::string& file_name,
                                                             const Config& base,
                                                             const FileReader& read_file);

// A `wake:` map without dispatch ({batch, aging}) over `inherited`: a change at run time.
absl::StatusOr<WakeConfig> parse_wake_text(const std::string& yaml, const std::string& file_name,
                                           const WakeConfig& inherited, uint32_t ring_entries);

// "101" and "100.7" (VLAN tags), "10.0.0.5", "2001:db8::5", "02:00:00:00:00:01".
absl::StatusOr<InstanceKey> parse_tenant_key(std::string_view text);

// Units, shared with the command line. All refuse a missing unit where one is needed.
absl::StatusOr<Nanos> parse_duration(std::string_view text);      // 200us, 30s, 5ms, 1m; "off"
absl::StatusOr<uint64_t> parse_size(std::string_view text);       // 64KiB, 2MiB, 1GiB, 1500B
absl::StatusOr<double> parse_packet_rate(std::string_view text);  // 100pps, 20kpps, 1.5Mpps, max
absl::StatusOr<uint64_t> parse_bit_rate(std::string_view text);   // 800kbps, 100Mbps, 10Gbps

// The other way: what the functions above read as the same value.
std::string duration_text(Nanos duration);   // "200us", "off"
std::string packet_rate_text(double pps);    // "1500000pps", "max"

}  // namespace mayfly
