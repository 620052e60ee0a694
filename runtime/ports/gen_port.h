// The built-in source and sink (`gen:`). What is sent out of it is counted, timed and freed.
//
// Flow i (of `flows`, at most 2^24) is an IPv4 UDP flow of its own, and by its source address a
// tenant of its own:
//
//   source MAC   02:00 and the source address     destination MAC   02:4d:46:00:00:01
//   802.1Q       first_vlan + i, when that is set
//   source       10.(i >> 16).(i >> 8 & 255).(i & 255)     destination   192.168.0.1
//   source port  1024 + i % 60000                          destination port   9
//   payload      Be32 number of the packet in its flow, from 0; Be32 i; the rest as it lay in the
//                buffer (zero up to frame byte 64)
//
// The IPv4 header checksum is valid; the UDP checksum is 0, which means none. A packet costs a
// 64-byte copy and a few stores: flows need no memory but their next number.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/ports/gen_schedule.h"
#include "runtime/ports/gen_zipf.h"
#include "runtime/ports/port.h"

namespace mayfly {

class GenPort final : public Port {
 public:
  static absl::StatusOr<std::unique_ptr<Port>> open(const PortConfig& config, PortId id,
                                                    Arena& arena, uint64_t tsc_hz);
  GenPort(const PortConfig& config, PortId id, Arena& arena, uint64_t tsc_hz);

  // With `rate: max` a lack of buffers ends the burst and counts one rx_no_buffer; with a rate,
  // every packet that is due and finds no buffer counts.
  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override;
  void queue(BufferId b, Ledger&) override { sunk_[sunk_count_++] = b; }
  void flush(Cycles now, Ledger& ledger, Histogram& latency) override;
  uint32_t queued() const override { return sunk_count_; }
  void discard_queued(Ledger& ledger, Drop reason) override;
  bool exhausted() const override { return stopped_; }
  void stop() override { stopped_ = true; }
  void set_rate(double pps) override { schedule_.set_rate(pps); }
  PortCounters counters() const override { return counters_; }
  uint32_t frame_bytes_max() const override { return 65535; }

  static constexpr uint32_t kFlowCountMax = 1u << 24;
  static constexpr uint32_t kHeaderCopyBytes = 64;

 private:
  struct Due {
    BufferId buffer;
    uint32_t flow;
    uint16_t bytes;
    uint64_t tsc;
  };
  static constexpr uint32_t kBurst = 64;

  uint32_t collect(Cycles now, Ledger& ledger, uint32_t wanted, Due* due);
  uint32_t next_flow() {
    if (zipf_) return zipf_->next(random_);
    if (uniform_) return random_.below(flow_count_);
    const uint32_t flow = next_flow_++;
    if (next_flow_ == flow_count_) next_flow_ = 0;
    return flow;
  }
  void build_header();
  void write(const Due& due);

  Arena& arena_;
  GenSchedule schedule_;
  GenSizes sizes_;
  Random random_;
  uint32_t flow_count_;
  uint32_t next_flow_ = 0;
  bool uniform_;
  std::optional<Zipf> zipf_;
  bool stopped_ = false;
  uint16_t first_vlan_;
  uint32_t ip_at_ = 14;         // of the IPv4 header in the frame
  uint32_t checksum_base_ = 0;  // sum over the words that are the same in every packet
  alignas(kCacheLineBytes) std::array<uint8_t, kHeaderCopyBytes> header_{};
  std::vector<uint32_t> numbers_;  // next number, per flow
  std::vector<BufferId> sunk_;     // as many as there are buffers: cannot overflow
  uint32_t sunk_count_ = 0;
  PortCounters counters_;
};

}  // namespace mayfly
