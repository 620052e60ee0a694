#include "runtime/ports/gen_port.h"

#include <algorithm>
#include <cstring>

#include "fmt/format.h"

namespace mayfly {
namespace {

constexpr uint32_t kIpBytes = 20, kUdpBytes = 8;
constexpr uint32_t kSourceNet = 10u << 24;     // 10.0.0.0/8
constexpr uint32_t kDestination = 0xc0a80001;  // 192.168.0.1
constexpr uint8_t kDestinationMac[6] = {0x02, 0x4d, 0x46, 0, 0, 1};
constexpr uint32_t kPrefetch = 8;  // packets ahead

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

absl::StatusOr<std::unique_ptr<Port>> GenPort::open(const PortConfig& config, PortId id,
                                                    Arena& arena, uint64_t tsc_hz) {
  const GenConfig& gen = *config.gen;
  const uint32_t least = gen.first_vlan != 0 ? 64 : 60;
  if (gen.flows == 0 || gen.flows > kFlowCountMax) {
    return absl::InvalidArgumentError(
        fmt::format("flows: {}; 1 to {} are possible", gen.flows, kFlowCountMax));
  }
  if (gen.mix == SizeMix::fixed && (gen.size_bytes < least || gen.size_bytes > kFrameBytesMax)) {
    return absl::InvalidArgumentError(fmt::format("size: {}; {} to {} bytes are possible",
                                                  gen.size_bytes, least, kFrameBytesMax));
  }
  if (gen.first_vlan != 0 && uint64_t{gen.first_vlan} + gen.flows > 4095) {
    return absl::InvalidArgumentError(
        fmt::format("{} flows from VLAN {} on; VLANs end at 4094", gen.flows, gen.first_vlan));
  }
  return std::make_unique<GenPort>(config, id, arena, tsc_hz);
}

GenPort::GenPort(const PortConfig& config, PortId id, Arena& arena, uint64_t tsc_hz)
    : Port(config.name, id),
      arena_(arena),
      schedule_(*config.gen, tsc_hz),
      sizes_(*config.gen),
      random_(config.gen->seed),
      flow_count_(config.gen->flows),
      uniform_(config.gen->order == FlowOrder::uniform),
      first_vlan_(config.gen->first_vlan),
      numbers_(config.gen->flows, 0),
      sunk_(arena.buffer_count()) {
  if (config.gen->order == FlowOrder::zipf) zipf_.emplace(flow_count_, config.gen->zipf);
  build_header();
}

// The bytes that all packets share; write() patches the others.
void GenPort::build_header() {
  uint8_t* h = header_.data();
  std::memcpy(h, kDestinationMac, 6);
  h[6] = 0x02;
  uint8_t* type = h + 12;
  if (first_vlan_ != 0) {
    put16(type, 0x8100);
    type += 4;
    ip_at_ += 4;
  }
  put16(type, 0x0800);
  uint8_t* ip = h + ip_at_;
  ip[0] = 0x45;
  put16(ip + 6, 0x4000);  // do not fragment
  ip[8] = 64;             // TTL
  ip[9] = 17;             // UDP
  put32(ip + 16, kDestination);
  put16(ip + kIpBytes + 2, 9);
  checksum_base_ =
      0x4500 + 0x4000 + (64 << 8 | 17) + (kDestination >> 16) + (kDestination & 0xffff);
}

void GenPort::write(const Due& due) {
  uint8_t* p = arena_.buffer(due.buffer) + kHeadroomBytes;
  std::memcpy(p, header_.data(), kHeaderCopyBytes);
  const uint32_t source = kSourceNet | due.flow;
  const uint32_t ip_bytes = due.bytes - ip_at_;
  put32(p + 8, source);
  if (first_vlan_ != 0) put16(p + 14, first_vlan_ + due.flow);
  uint8_t* ip = p + ip_at_;
  put16(ip + 2, ip_bytes);
  put16(ip + 10, ~fold(checksum_base_ + ip_bytes + (source >> 16) + (source & 0xffff)));
  put32(ip + 12, source);
  uint8_t* udp = ip + kIpBytes;
  put16(udp, 1024 + due.flow % 60000);
  put16(udp + 4, ip_bytes - kIpBytes);
  put32(udp + kUdpBytes, numbers_[due.flow]++);
  put32(udp + kUdpBytes + 4, due.flow);

  PacketMeta& meta = arena_.meta(due.buffer);
  meta.due_tsc = due.tsc;
  meta.length = due.bytes;
  meta.port_in = raw(id());
}

// Takes packets off the schedule and a buffer for each, and prefetches what write() will touch.
uint32_t GenPort::collect(Cycles now, Ledger& ledger, uint32_t wanted, Due* due) {
  const uint64_t late_cycles = schedule_.gaps(kRxBurst).n;
  uint32_t n = 0, offered = 0;
  for (; offered < wanted; ++offered) {
    if (!schedule_.is_due(now)) break;
    const uint32_t bytes = sizes_.next(random_);
    const BufferId b = arena_.alloc_for(bytes);
    const uint64_t tsc = schedule_.due(now).n;
    if (now.n - tsc > late_cycles) ++counters_.late;
    schedule_.advance();
    if (b == kNone<BufferId>) {
      ledger.drop(bytes > kSmallFrameBytesMax ? Drop::rx_no_jumbo : Drop::rx_no_buffer);
      if (!schedule_.unlimited()) continue;
      ++offered;
      break;
    }
    due[n] = {b, next_flow(), static_cast<uint16_t>(bytes), tsc};
    __builtin_prefetch(arena_.buffer(b) + kHeadroomBytes, 1);
    __builtin_prefetch(&numbers_[due[n].flow], 1);
    ++n;
  }
  ledger.rx += offered;
  counters_.rx += offered;
  return n;
}

uint32_t GenPort::receive(Cycles now, Ledger& ledger, std::span<BufferId> out) {
  if (stopped_) return 0;
  if (!schedule_.started()) schedule_.restart(now);
  Due due[kBurst];
  const auto wanted = static_cast<uint32_t>(std::min<size_t>(out.size(), kBurst));
  const uint32_t n = collect(now, ledger, wanted, due);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n; ++i) {
    write(due[i]);
    bytes += due[i].bytes;
    out[i] = due[i].buffer;
  }
  ledger.rx_bytes += bytes;
  counters_.rx_bytes += bytes;
  return n;
}

void GenPort::flush(Cycles now, Ledger& ledger, Histogram& latency) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < sunk_count_; ++i) {
    if (i + kPrefetch < sunk_count_) __builtin_prefetch(&arena_.meta(sunk_[i + kPrefetch]), 1);
    const PacketMeta& meta = arena_.meta(sunk_[i]);
    bytes += meta.length;
    latency.record(now.n > meta.due_tsc ? now.n - meta.due_tsc : 0);
    arena_.free(sunk_[i]);
  }
  ledger.tx += sunk_count_;
  ledger.tx_bytes += bytes;
  counters_.tx += sunk_count_;
  counters_.tx_bytes += bytes;
  sunk_count_ = 0;
}

void GenPort::discard_queued(Ledger& ledger, Drop reason) {
  ledger.drop(reason, sunk_count_);
  for (uint32_t i = 0; i < sunk_count_; ++i) arena_.free(sunk_[i]);
  sunk_count_ = 0;
}

}  // namespace mayfly
