#include "instrument/load/frame.h"

#include <cstring>

namespace mayfly::load {
namespace {

constexpr uint32_t kIp = 14, kUdp = 34, kPayload = 42;
constexpr uint32_t kSourceNet = 10u << 24;     // 10.0.0.0/8
constexpr uint32_t kDestination = 0xc0a80001;  // 192.168.0.1
constexpr uint8_t kMacs[12] = {0x02, 0x4d, 0x46, 0, 0, 1, 0x02, 0x4d, 0x46, 0, 0, 0};
constexpr uint16_t kDiscardPort = 9;

void put16(uint8_t* p, uint32_t v) {
  const Be16 be = Be16::of(static_cast<uint16_t>(v));
  std::memcpy(p, &be, sizeof be);
}
void put32(uint8_t* p, uint32_t v) {
  const Be32 be = Be32::of(v);
  std::memcpy(p, &be, sizeof be);
}
uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

}  // namespace

FrameFormat::FrameFormat(uint32_t token) : token_(token) {
  uint8_t* h = header_.data();
  std::memcpy(h, kMacs, sizeof kMacs);
  put16(h + 12, 0x0800);
  h[kIp] = 0x45;
  put16(h + kIp + 6, 0x4000);  // do not fragment
  h[kIp + 8] = 64;             // TTL
  h[kIp + 9] = 17;             // UDP
  put32(h + kIp + 16, kDestination);
  put16(h + kUdp + 2, kDiscardPort);
  std::memcpy(h + kPayload + 12, &token_, sizeof token_);
  checksum_base_ =
      0x4500 + 0x4000 + (64 << 8 | 17) + (kDestination >> 16) + (kDestination & 0xffff);
}

void FrameFormat::write(uint8_t* frame, const Due& due) const {
  std::memcpy(frame, header_.data(), header_.size());
  const uint32_t source = kSourceNet | due.tenant;
  const uint32_t ip_bytes = due.bytes - kIp;
  put16(frame + kIp + 2, ip_bytes);
  put16(frame + kIp + 10, ~fold(checksum_base_ + ip_bytes + (source >> 16) + (source & 0xffff)));
  put32(frame + kIp + 12, source);
  put16(frame + kUdp, 1024 + due.tenant % 60000);
  put16(frame + kUdp + 4, due.bytes - kUdp);
  std::memcpy(frame + kPayload, &due.tsc, sizeof due.tsc);
  std::memcpy(frame + kPayload + 8, &due.tenant, sizeof due.tenant);
}

std::optional<Due> FrameFormat::read(const uint8_t* frame, uint32_t captured,
                                     uint32_t bytes) const {
  if (captured < kPayload + 16) return std::nullopt;
  // The token is random; anything else on the wire does not carry it at this place.
  if (std::memcmp(frame + kPayload + 12, &token_, sizeof token_) != 0) return std::nullopt;
  Due due{0, 0, bytes};
  std::memcpy(&due.tsc, frame + kPayload, sizeof due.tsc);
  std::memcpy(&due.tenant, frame + kPayload + 8, sizeof due.tenant);
  return due;
}

}  // namespace mayfly::load
