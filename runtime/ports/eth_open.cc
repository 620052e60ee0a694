// Opening and closing a device port.
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "fmt/format.h"
#include "runtime/ports/dpdk_log.h"
#include "runtime/ports/eth_port.h"

namespace mayfly {
namespace {

constexpr uint32_t kEtherBytes = 14;
constexpr uint32_t kTagBytes = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> EthPort::open(const PortConfig& config, PortId id,
                                                    Arena& arena) {
  absl::StatusOr<EthDevice> device = describe_device(config.dev);
  if (!device.ok()) return device.status();
  std::unique_ptr<EthPort> port(new EthPort(config.name, id, arena, *std::move(device)));
  arena.serve_drivers(port->device_.rx_jumbo);
  if (absl::Status s = port->probe(); !s.ok()) return s;
  if (absl::Status s = port->configure(); !s.ok()) return s;
  if (absl::Status s = port->start(); !s.ok()) return s;
  return port;
}

absl::Status EthPort::failed(const char* step, int error) const {
  return absl::FailedPreconditionError(
      fmt::format("{}: {}", step, rte_strerror(error < 0 ? -error : error)));
}

absl::Status EthPort::probe() {
  uint16_t existing;
  if (rte_eth_dev_get_port_by_name(device_.name.c_str(), &existing) == 0) {
    return absl::AlreadyExistsError(fmt::format(
        "{} is in use by another port; give every device a number of its own", device_.name));
  }
  DpdkLogCapture log;
  if (rte_dev_probe(device_.devargs().c_str()) != 0) {
    return absl::NotFoundError(fmt::format(
        "DPDK cannot open it: {}; devices are a PCI address bound to vfio-pci, or net_af_packet0, "
        "net_tap0, net_pcap0, net_memif0, net_ring0, net_null0 with their arguments",
        log.first_line()));
  }
  if (rte_eth_dev_get_port_by_name(device_.name.c_str(), &port_) == 0) return absl::OkStatus();
  rte_dev_iterator iterator;
  RTE_ETH_FOREACH_MATCHING_DEV(port_, device_.name.c_str(), &iterator) {
    rte_eth_iterator_cleanup(&iterator);
    return absl::OkStatus();
  }
  port_ = UINT16_MAX;
  return absl::NotFoundError(
      "no Ethernet driver took it; bind it to vfio-pci with dpdk-devbind.py");
}

absl::Status EthPort::configure() {
  DpdkLogCapture log;
  rte_eth_dev_info info;
  if (int e = rte_eth_dev_info_get(port_, &info); e != 0) return failed("no device info", e);
  rte_eth_conf conf{};
  if (device_.rx_vlan_strip) {
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
  }
  // A frame larger than a buffer may come in several.
  conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
  if (int e = rte_eth_dev_configure(port_, 1, 1, &conf); e != 0) {
    return failed(log.first_line().c_str(), e);
  }
  uint16_t rx_descriptors = device_.rx_descriptors, tx_descriptors = 512;
  rte_eth_dev_adjust_nb_rx_tx_desc(port_, &rx_descriptors, &tx_descriptors);
  rte_mempool* pool = device_.rx_jumbo ? arena_.jumbo_pool() : arena_.small_pool();
  if (pool == nullptr) {
    return absl::FailedPreconditionError(
        "its frames need 64 KiB buffers; set memory.jumbo_packets");
  }
  const int socket = rte_eth_dev_socket_id(port_);
  if (int e = rte_eth_rx_queue_setup(port_, 0, rx_descriptors, static_cast<unsigned>(socket),
                                     nullptr, pool);
      e != 0) {
    return failed(log.first_line().c_str(), e);
  }
  if (int e =
          rte_eth_tx_queue_setup(port_, 0, tx_descriptors, static_cast<unsigned>(socket), nullptr);
      e != 0) {
    return failed(log.first_line().c_str(), e);
  }
  return map_for_dma();
}

absl::Status EthPort::map_for_dma() {
  if (!device_.pci) return absl::OkStatus();
  rte_eth_dev_info info;
  if (int e = rte_eth_dev_info_get(port_, &info); e != 0) return failed("no device info", e);
  const int e = rte_dev_dma_map(info.device, arena_.base(),
                                reinterpret_cast<uintptr_t>(arena_.base()), arena_.bytes());
  // ENOTSUP: a bus or driver that sees all of our memory anyway.
  if (e == 0 || rte_errno == ENOTSUP) return absl::OkStatus();
  return failed("the device cannot be given the packet arena (IOMMU)", rte_errno);
}

absl::Status EthPort::start() {
  {
    DpdkLogCapture log;
    if (int e = rte_eth_dev_start(port_); e != 0) return failed(log.first_line().c_str(), e);
    started_ = true;
    rte_eth_promiscuous_enable(port_);  // virtual devices without the notion refuse; no harm
  }
  if (device_.frame_bytes_max == 0) {
    uint16_t mtu = 1500;
    rte_eth_dev_get_mtu(port_, &mtu);
    device_.untagged_bytes_max = mtu + kEtherBytes;
    device_.frame_bytes_max = mtu + kEtherBytes + kTagBytes;
  }
  return absl::OkStatus();
}

void EthPort::drain() {
  constexpr int kBurstsMax = 1 << 16;  // 2^22 packets: every buffer there can be
  rte_mbuf* burst[kBurst];
  for (int i = 0; i < kBurstsMax; ++i) {
    const uint16_t n = rte_eth_rx_burst(port_, 0, burst, kBurst);
    if (n == 0) return;
    rte_pktmbuf_free_bulk(burst, n);
  }
}

EthPort::~EthPort() {
  for (uint32_t i = 0; i < tx_count_; ++i) arena_.free(tx_[i]);
  if (port_ == UINT16_MAX) return;
  DpdkLogCapture quiet;
  rte_eth_dev_info info;
  const bool known = rte_eth_dev_info_get(port_, &info) == 0;
  if (started_) {
    if (device_.drain_on_close) drain();
    rte_eth_promiscuous_disable(port_);
    rte_eth_dev_stop(port_);
  }
  if (device_.leave_open) return;
  rte_eth_dev_close(port_);
  if (known && info.device != nullptr) rte_dev_remove(info.device);
}

}  // namespace mayfly
