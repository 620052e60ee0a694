// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Installed with the SDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "nfs/headers.h"

namespace mayfly {

// Sum of 16-bit words in memory order, not yet folded: add several, then finish. A piece of odd
// length may only come last.
inline uint64_t checksum_add(const uint8_t* p, size_t bytes, uint64_t sum = 0) {
  for (; bytes >= 4; p += 4, bytes -= 4) {
    uint32_t word;
    std::memcpy(&word, p, sizeof(word));
    sum += word;
  }
  uint32_t rest = 0;
  std::memcpy(&rest, p, bytes);
  return sum + rest;
}

inline uint16_t checksum_fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Writes the checksum of a header whose checksum field (at `field`) now counts as zero.
inline void checksum_finish(uint8_t* field, uint64_t sum) {
  const uint16_t value = static_cast<uint16_t>(~checksum_fold(sum));
  std::memcpy(field, &value, sizeof(value));
}

// A header with its checksum in place sums to all ones.
inline bool checksum_holds(const uint8_t* header, size_t bytes) {
  if (bytes == 20) return checksum_fold(checksum_add(header, 20)) == 0xffff;  // unrolled
  return checksum_fold(checksum_add(header, bytes)) == 0xffff;
}

// One 16-bit word under the checksum changed from `before` to `after` (host order):
// HC' = ~(~HC + ~m + m'), RFC 1624 equation 3, which unlike RFC 1141's never makes 0xffff of 0.
inline void checksum_update(uint8_t* field, uint16_t before, uint16_t after) {
  uint32_t sum = static_cast<uint16_t>(~load_be16(field));
  sum += static_cast<uint16_t>(~before);
  sum += after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(field, static_cast<uint16_t>(~sum));
}

}  // namespace mayfly
