// A port on a DPDK device: one receive and one transmit queue, promiscuous.
//
// Received mbufs become buffers without a copy where they can: one segment, in our arena, nobody
// else's reference. Chained ones (net_tap, net_memif, net_pcap with large frames) and foreign ones
// are copied into one buffer, small or jumbo by their length. A tag that the driver stripped is put
// back in front of the EtherType; the driver does not tell which TPID it had, so 0x8100 is assumed,
// or 0x88a8 (802.1ad) when another tag follows.
#pragma once

#include <array>
#include <memory>

#include "runtime/ports/eth_device.h"
#include "runtime/ports/port.h"

namespace mayfly {

class EthPort final : public Port {
 public:
  static absl::StatusOr<std::unique_ptr<Port>> open(const PortConfig& config, PortId id,
                                                    Arena& arena);
  ~EthPort() override;

  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override;
  void queue(BufferId b, Ledger& ledger) override;
  void flush(Cycles now, Ledger& ledger, Histogram& latency) override;
  uint32_t queued() const override { return tx_count_; }
  void discard_queued(Ledger& ledger, Drop reason) override;
  PortCounters counters() const override;
  uint32_t frame_bytes_max() const override { return device_.frame_bytes_max; }

 private:
  static constexpr uint32_t kBurst = 64;  // mbufs handed to a driver at once, either way

  EthPort(std::string name, PortId id, Arena& arena, EthDevice device)
      : Port(std::move(name), id), arena_(arena), device_(std::move(device)) {}

  absl::Status probe();      // the driver makes the device
  absl::Status configure();  // queues
  absl::Status start();
  absl::Status map_for_dma();
  void drain();
  absl::Status failed(const char* step, int error) const;

  BufferId take(rte_mbuf* mbuf, Ledger& ledger);
  BufferId copy(rte_mbuf* mbuf, Ledger& ledger);
  bool put_tags_back(BufferId b, uint16_t outer, uint16_t inner, bool two);
  bool looks_cut(const uint8_t* frame, uint32_t bytes) const;
  void warn_cut(uint32_t bytes);
  bool sendable(BufferId b, Ledger& ledger);

  Arena& arena_;
  EthDevice device_;
  uint16_t port_ = UINT16_MAX;  // DPDK's number
  bool started_ = false;
  bool warned_cut_ = false;
  uint32_t tx_count_ = 0;
  std::array<BufferId, kTxQueueMax> tx_;
  PortCounters counters_;
};

}  // namespace mayfly
