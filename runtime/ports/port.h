// A port: where packets come from and go to. One queue each way, polled by the vSwitch lcore, which
// alone may call anything here (also counters()).
//
//   gen: {...}              GenPort    built-in source and sink        gen_port.h
//   pcap: {in, out}         PcapPort   built-in capture reader, writer pcap_port.h
//   a DPDK device, or PCI   EthPort    any DPDK driver                 eth_port.h
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/arena/arena.h"
#include "runtime/arena/ledger.h"
#include "runtime/base/histogram.h"
#include "runtime/base/types.h"
#include "runtime/config/config.h"

namespace mayfly {

struct PortCounters {  // this port alone; the ledger has the sums
  uint64_t rx = 0, tx = 0, rx_bytes = 0, tx_bytes = 0;
  uint64_t rx_missed = 0;  // lost before Mayfly (hardware, kernel ring), where the driver tells
  uint64_t tx_errors = 0;  // lost by the driver after it took them (link down), where it tells
  uint64_t late = 0;       // generator: packets sent out later than due by more than one burst
};

class Port {
 public:
  virtual ~Port() = default;

  // Takes up to out.size() packets. Each is counted in ledger.rx; what cannot be taken whole is
  // dropped here under its reason (rx_truncated, rx_oversize, rx_no_jumbo, rx_no_buffer). For each
  // returned buffer meta has offset, length, port_in and due_tsc (`now`, or when the generator's
  // schedule said), holder kHeldBySwitch. A VLAN tag that the driver stripped is back in the frame.
  virtual uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) = 0;

  // Takes over `b`, sent at the next flush(). Counts tx_oversize or tx_full where it cannot.
  virtual void queue(BufferId b, Ledger& ledger) = 0;

  // Sends what is queued, as far as the driver takes it (the rest stays for the next flush, at
  // most kTxQueueMax). Counts ledger.tx and records now - due_tsc of each sent packet in `latency`.
  virtual void flush(Cycles now, Ledger& ledger, Histogram& latency) = 0;

  // Packets accepted by queue() and not sent yet.
  virtual uint32_t queued() const = 0;
  // Drops them under `reason`: at the end of a run, those that a stuck port never took.
  virtual void discard_queued(Ledger& ledger, Drop reason) = 0;
  // The source has no more to give (a capture read to its end, a stopped generator).
  virtual bool exhausted() const { return false; }
  // No more packets from here: generators and captures stop, others are no longer polled.
  virtual void stop() {}
  // Generator: a new offered rate in packets/s from now on (0: as fast as taken; what was due and
  // not yet given is forgotten); others ignore it.
  virtual void set_rate(double pps) { (void)pps; }

  virtual PortCounters counters() const = 0;
  virtual uint32_t frame_bytes_max() const = 0;  // largest it can send whole

  const std::string& name() const { return name_; }
  PortId id() const { return id_; }

  static constexpr uint32_t kTxQueueMax = 512;

 protected:
  Port(std::string name, PortId id) : name_(std::move(name)), id_(id) {}

 private:
  std::string name_;
  PortId id_;
};

// Initialises EAL for these ports: vSwitch lcore on `core`, huge pages or --no-huge --no-shconf,
// PCI scanned only if a port is a PCI address, telemetry on, `file_prefix` its own.
// Its own messages go to stderr, errors only. Once per process.
absl::Status start_eal(const Config& config, const std::string& file_prefix);
// After the last port and arena are gone: leaves no socket or directory behind.
void stop_eal();

// Opens one port. The error names the port, the device and what to do.
absl::StatusOr<std::unique_ptr<Port>> open_port(const PortConfig& config, PortId id, Arena& arena,
                                                uint64_t tsc_hz);

}  // namespace mayfly
