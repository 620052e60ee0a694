// The built-in capture reader and writer (`pcap: {in, out}`), with libpcap: pcap and pcapng in,
// pcap with nanosecond times out, frames up to kFrameBytesMax whole in both directions (net_pcap
// has neither the times nor an end of file).
//
// A capture can wait, so it is read in a closed loop: as long as kWindow packets or more are inside
// Mayfly (ledger.held()), no more come in, and no ring overflows for lack of patience. Where
// nothing moves for a millisecond (an NF that waits for a larger batch), a burst comes in
// regardless; the next ones every 100 ms, because it may also be that the NFs do not get their core.
//
// A frame that the capture itself holds in part (its snapshot length) passes as what is there.
#pragma once

#include <memory>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/ports/port.h"

struct pcap;
struct pcap_dumper;
struct pcap_pkthdr;

namespace mayfly {

class PcapPort final : public Port {
 public:
  static absl::StatusOr<std::unique_ptr<Port>> open(const PortConfig& config, PortId id,
                                                    Arena& arena, uint64_t tsc_hz);
  ~PcapPort() override;

  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override;
  // Without `out` there is nowhere to go: no_out_port.
  void queue(BufferId b, Ledger& ledger) override;
  void flush(Cycles now, Ledger& ledger, Histogram& latency) override;
  uint32_t queued() const override { return queued_count_; }
  void discard_queued(Ledger& ledger, Drop reason) override;
  bool exhausted() const override { return reader_ == nullptr || ended_; }
  void stop() override { ended_ = true; }
  PortCounters counters() const override { return counters_; }
  uint32_t frame_bytes_max() const override { return 65535; }

  static constexpr uint32_t kWindow = 64;
  static constexpr Nanos kPatience = millis(1);
  static constexpr Nanos kPatienceNext = millis(100);

 private:
  PcapPort(const PortConfig& config, PortId id, Arena& arena, uint64_t tsc_hz);

  absl::Status open_reader(const std::string& file);
  absl::Status open_writer(const std::string& file);
  uint32_t window(Cycles now, const Ledger& ledger);
  bool read_ahead();
  BufferId take(Ledger& ledger);
  bool write(const PacketMeta& meta, const uint8_t* frame, Cycles now);

  Arena& arena_;
  TscRate rate_;
  pcap* reader_ = nullptr;
  pcap_dumper* writer_ = nullptr;
  std::string out_file_;
  bool ended_ = false;
  bool write_failed_ = false;
  // The frame that was read and not yet taken (no buffer was free); libpcap keeps its bytes.
  const pcap_pkthdr* ahead_ = nullptr;
  const uint8_t* ahead_bytes_ = nullptr;
  uint64_t gone_last_ = 0;  // packets sent or dropped when that was last looked at
  Cycles last_moved_{0};
  Nanos patience_ = kPatience;
  Cycles clock_zero_{0};      // when the wall clock said ...
  int64_t wall_zero_ns_ = 0;  // ... this
  std::vector<BufferId> queue_;
  uint32_t queued_count_ = 0;
  PortCounters counters_;
};

}  // namespace mayfly
