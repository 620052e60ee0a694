#include "instrument/load/memif_wire.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "runtime/ports/dpdk_log.h"

namespace mayfly::load {
namespace {

constexpr uint32_t kMbufCount = 16383;
constexpr uint16_t kDescriptors = 4096;
constexpr auto kConnectTime = std::chrono::seconds(20);

absl::Status start_dpdk(const MemifPlan& plan) {
  std::vector<std::string> args = {
      "mayfly-load",
      fmt::format("--lcores=0@{}", plan.cpu),
      "--file-prefix=" + plan.file_prefix,
      "--log-level=error",
      "--no-pci",
      "--no-telemetry",
      fmt::format("--vdev=net_memif0,role=server,id=0,socket-abstract=no,socket={}", plan.socket)};
  if (plan.huge_pages) {
    args.insert(args.end(), {"--in-memory", "-m64"});
  } else {
    // No packet crosses a page here, so that each takes one of 4 KiB.
    args.insert(args.end(), {"--no-huge", "--no-shconf", "-m96"});
  }
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);
  const DpdkLogCapture log;
  if (rte_eal_init(static_cast<int>(args.size()), argv.data()) < 0) {
    return absl::InternalError(
        fmt::format("DPDK does not start: {} ({})", log.first_line(), rte_strerror(rte_errno)));
  }
  return absl::OkStatus();
}

class MemifWire final : public Wire {
 public:
  absl::Status start() {
    pool_ = rte_pktmbuf_pool_create("load", kMbufCount, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (pool_ == nullptr) return absl::InternalError("no memory for packets");
    const rte_eth_conf config{};
    int error = rte_eth_dev_configure(0, 1, 1, &config);
    if (error == 0) error = rte_eth_rx_queue_setup(0, 0, kDescriptors, 0, nullptr, pool_);
    if (error == 0) error = rte_eth_tx_queue_setup(0, 0, kDescriptors, 0, nullptr);
    if (error == 0) error = rte_eth_dev_start(0);
    if (error != 0) return absl::InternalError(fmt::format("memif: {}", rte_strerror(-error)));
    // A peer that comes before this is turned away, and may not come again.
    std::cout << "listening" << std::endl;
    return wait_for_link();
  }

  // Gives the thread a number of its own, and with it a cache of free buffers.
  void attach() override { rte_thread_register(); }

  uint32_t send(const FrameFormat& format, std::span<const Due> due) override {
    rte_mbuf* mbufs[kBurst];
    const auto n = static_cast<uint16_t>(due.size());
    if (rte_pktmbuf_alloc_bulk(pool_, mbufs, n) != 0) return 0;
    for (uint16_t i = 0; i < n; ++i) {
      auto* frame = reinterpret_cast<uint8_t*>(
          rte_pktmbuf_append(mbufs[i], static_cast<uint16_t>(due[i].bytes)));
      format.write(frame, due[i]);
    }
    const uint16_t taken = rte_eth_tx_burst(0, 0, mbufs, n);
    if (taken < n) rte_pktmbuf_free_bulk(mbufs + taken, n - taken);
    return taken;
  }

  bool receive(Sink& sink) override {
    rte_mbuf* mbufs[kBurst];
    const uint16_t n = rte_eth_rx_burst(0, 0, mbufs, kBurst);
    if (n == 0) return false;
    const Cycles now = tsc_now();
    for (uint16_t i = 0; i < n; ++i) {
      sink.take(rte_pktmbuf_mtod(mbufs[i], const uint8_t*), mbufs[i]->data_len, mbufs[i]->pkt_len,
                now);
    }
    rte_pktmbuf_free_bulk(mbufs, n);
    return true;
  }

 private:
  absl::Status wait_for_link() {
    const auto until = std::chrono::steady_clock::now() + kConnectTime;
    rte_eth_link link{};
    while (std::chrono::steady_clock::now() < until) {
      if (rte_eth_link_get_nowait(0, &link) == 0 && link.link_status == RTE_ETH_LINK_UP)
        return absl::OkStatus();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return absl::DeadlineExceededError("memif: no peer connected");
  }

  rte_mempool* pool_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Wire>> open_memif(const MemifPlan& plan) {
  if (absl::Status s = start_dpdk(plan); !s.ok()) return s;
  auto wire = std::make_unique<MemifWire>();
  if (absl::Status s = wire->start(); !s.ok()) return s;
  return wire;
}

}  // namespace mayfly::load
