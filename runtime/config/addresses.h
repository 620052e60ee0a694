// Addresses as people write them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "flowdir/rules.h"

namespace mayfly {

using Mac = std::array<uint8_t, 6>;
using Ip = std::array<uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d

std::optional<Mac> parse_mac(std::string_view text);  // 02:00:00:00:00:01
std::optional<Ip> parse_ip(std::string_view text);    // 10.0.0.1, 2001:db8::1

// 10.0.0.0/8, 2001:db8::/32, or one address. Bits set past the prefix are an error.
absl::StatusOr<Prefix> parse_prefix(std::string_view text);

}  // namespace mayfly
