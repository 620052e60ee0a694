// The frames of mayfly-load: those of a gen: port, but for the payload, which carries its own
// clock.
//
//   MACs           02:4d:46:00:00:01 <- 02:4d:46:00:00:00
//   IPv4           10.(t >> 16).(t >> 8 & 255).(t & 255) -> 192.168.0.1, for tenant t; valid
//   checksum UDP            1024 + t % 60000 -> 9, no checksum payload        TSC at which the
//   packet was due (8 bytes), tenant (4), token of this process (4)
//
// Bytes past byte 58 are zero.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "runtime/base/types.h"

namespace mayfly::load {

inline constexpr uint32_t kFrameBytesMin = 60;
inline constexpr uint32_t kFrameBytesMax = 1514;

struct Due {
  uint64_t tsc;
  uint32_t tenant;
  uint32_t bytes;
};

class FrameFormat {
 public:
  explicit FrameFormat(uint32_t token);
  // Writes the first kFrameBytesMin bytes of `due`'s frame.
  void write(uint8_t* frame, const Due& due) const;
  // The due time and tenant of a frame of ours, of which `captured` bytes are there.
  std::optional<Due> read(const uint8_t* frame, uint32_t captured, uint32_t bytes) const;

 private:
  std::array<uint8_t, kFrameBytesMin> header_{};
  uint32_t checksum_base_ = 0;
  uint32_t token_;
};

}  // namespace mayfly::load
