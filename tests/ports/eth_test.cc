// Device ports that need no privilege: net_null, net_ring, net_pcap; and what cannot be opened.
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "runtime/ports/eth_device.h"
#include "runtime/ports/eth_port.h"
#include "tests/ports/pcap_file.h"

namespace mayfly {
namespace {

using EthTest = PortTest;

uint16_t device(const char* name) {
  uint16_t port = UINT16_MAX;
  EXPECT_EQ(rte_eth_dev_get_port_by_name(name, &port), 0);
  return port;
}

TEST_F(EthTest, NullTakesAndGives) {
  auto port = open("net_null0,size=100");
  ASSERT_NE(port, nullptr);
  for (int round = 0; round < 200; ++round) {
    const auto got = receive(*port, 32);
    ASSERT_EQ(got.size(), 32u);
    EXPECT_EQ(arena_->meta(got[0]).length, 100);
    EXPECT_EQ(arena_->meta(got[0]).offset, kHeadroomBytes);
    EXPECT_EQ(arena_->meta(got[0]).port_in, 7);
    EXPECT_EQ(arena_->meta(got[0]).due_tsc, now_.n);
    now_.n += 700;
    for (const BufferId b : got) port->queue(b, ledger_);
    flush(*port);
  }
  EXPECT_EQ(ledger_.rx, 6400u);
  EXPECT_EQ(ledger_.tx, 6400u);
  EXPECT_EQ(latency_.quantile(1), 700u);
  EXPECT_EQ(port->counters().tx, 6400u);
  EXPECT_EQ(port->counters().tx_bytes, 640'000u);
}

TEST_F(EthTest, NullWithoutBuffersGivesNothingAndLosesNothing) {
  auto port = open("net_null0,size=100");
  std::vector<BufferId> all;
  for (auto got = receive(*port, 32); !got.empty(); got = receive(*port, 32)) {
    all.insert(all.end(), got.begin(), got.end());
  }
  EXPECT_GE(all.size(), kPackets - 1600);  // the rest in caches and the arena's own stack
  EXPECT_EQ(ledger_.held(), static_cast<int64_t>(all.size()));
  free(all);
  EXPECT_EQ(receive(*port, 32).size(), 32u);
  ledger_.rx -= 32;  // deliberately left behind: TearDown counts buffers
  ledger_.originated += 32;
}

TEST_F(EthTest, RingReturnsEveryFrameInOrder) {
  auto port = open("net_ring0");
  ASSERT_NE(port, nullptr);
  uint32_t next = 0;
  for (uint32_t round = 0; round < 100; ++round) {
    for (uint32_t i = 0; i < 20; ++i) {
      port->queue(make(udp_frame(i % 5 == 0 ? 5000 : 60 + i, round * 20 + i)), ledger_);
      if (i % 5 == 4) flush(*port);
    }
    flush(*port);
    const auto got = receive(*port, 64);
    ASSERT_EQ(got.size(), 20u);
    for (uint32_t i = 0; i < 20; ++i, ++next) {
      ASSERT_EQ(frame(got[i]), udp_frame(i % 5 == 0 ? 5000 : 60 + i, next));
    }
    free(got);
  }
}

TEST_F(EthTest, AFullRingKeepsThenCounts) {
  auto port = open("net_ring0");
  uint32_t accepted = 0;
  for (uint32_t i = 0; i < kPackets - 100; ++i) {
    const uint64_t full = drops(Drop::tx_full);
    port->queue(make(udp_frame(60, i)), ledger_);
    flush(*port);
    accepted += drops(Drop::tx_full) == full;
  }
  EXPECT_EQ(port->queued(), Port::kTxQueueMax);
  EXPECT_EQ(accepted, 1023 + Port::kTxQueueMax);  // a ring of 1,024 holds 1,023
  EXPECT_EQ(drops(Drop::tx_full), kPackets - 100 - accepted);
  expect_balance();
  // What was kept goes out, in order, once there is room.
  uint32_t next = 0;
  while (true) {
    const auto got = receive(*port, 64);
    flush(*port);
    if (got.empty()) break;
    for (const BufferId b : got) ASSERT_EQ(frame(b), udp_frame(60, next++));
    free(got);
  }
  EXPECT_EQ(next, accepted);
  EXPECT_EQ(port->queued(), 0u);
}

TEST_F(EthTest, DiscardQueuedCountsWhatIsStuck) {
  auto port = open("net_ring0");
  for (uint32_t i = 0; i < 1023 + 10; ++i) send(*port, udp_frame(60, i));
  EXPECT_EQ(port->queued(), 10u);
  port->discard_queued(ledger_, Drop::shutdown);
  EXPECT_EQ(port->queued(), 0u);
  EXPECT_EQ(drops(Drop::shutdown), 10u);
}

TEST_F(EthTest, RuntsAndOversizeAreCounted) {
  auto port = open("net_ring0");
  send(*port, Frame(13, 1));
  EXPECT_EQ(drops(Drop::tx_runt), 1u);
  send(*port, Frame(14, 1));
  send(*port, Frame(65'407, 1));
  EXPECT_EQ(ledger_.tx, 2u);
  const auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 2u);
  free(got);
}

// Frames as awkward drivers deliver them, put into a net_ring's queue by hand.
class RxShapes : public PortTest {
 protected:
  void SetUp() override {
    PortTest::SetUp();
    port_ = open("net_ring0");
    ASSERT_NE(port_, nullptr);
    device_ = device("net_ring0");
  }
  void TearDown() override {
    port_.reset();
    PortTest::TearDown();
  }
  void inject(rte_mbuf* m) { ASSERT_EQ(rte_eth_tx_burst(device_, 0, &m, 1), 1); }
  rte_mbuf* mbuf(rte_mempool* pool, const Frame& f, uint32_t segment_bytes) {
    rte_mbuf* head = nullptr;
    for (size_t at = 0; at < f.size(); at += segment_bytes) {
      rte_mbuf* m = rte_pktmbuf_alloc(pool);
      const size_t n = std::min<size_t>(segment_bytes, f.size() - at);
      std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(n)), &f[at], n);
      if (head == nullptr) {
        head = m;
      } else {
        rte_pktmbuf_chain(head, m);
      }
    }
    return head;
  }
  std::unique_ptr<Port> port_;
  uint16_t device_ = 0;
};

TEST_F(RxShapes, ChainsBecomeOneBuffer) {
  for (const uint32_t bytes : {300u, 1920u, 1921u, 37'506u, 65'407u}) {
    const Frame f = udp_frame(bytes, bytes);
    inject(mbuf(arena_->small_pool(), f, bytes < 2000 ? 100 : 1900));
    const auto got = receive(*port_, 32);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(frame(got[0]), f);
    EXPECT_EQ(raw(got[0]) >= kPackets, bytes > kSmallFrameBytesMax);
    free(got);
  }
}

TEST_F(RxShapes, AChainLargerThanAnyBufferIsCounted) {
  inject(mbuf(arena_->small_pool(), Frame(65'408, 1), 1900));
  EXPECT_EQ(receive(*port_, 32).size(), 0u);
  EXPECT_EQ(drops(Drop::rx_oversize), 1u);
}

TEST_F(RxShapes, WithoutJumboBuffersLargeFramesAreCounted) {
  std::vector<BufferId> all;
  for (BufferId b; (b = arena_->alloc_jumbo()) != kNone<BufferId>;) all.push_back(b);
  ledger_.originated += all.size();
  inject(mbuf(arena_->small_pool(), udp_frame(5000, 1), 1900));
  EXPECT_EQ(receive(*port_, 32).size(), 0u);
  EXPECT_EQ(drops(Drop::rx_no_jumbo), 1u);
  free(all);
}

TEST_F(RxShapes, ForeignMbufsAreCopied) {
  rte_mempool* other = rte_pktmbuf_pool_create("other", 255, 0, 0, 2048 + 128, SOCKET_ID_ANY);
  const Frame f = udp_frame(500, 1);
  inject(mbuf(other, f, 2000));
  const auto got = receive(*port_, 32);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(frame(got[0]), f);
  EXPECT_EQ(rte_mempool_avail_count(other), 255u);
  free(got);
  rte_mempool_free(other);
}

TEST_F(RxShapes, StrippedTagsArePutBack) {
  const Frame f = udp_frame(60, 1);
  rte_mbuf* one = mbuf(arena_->small_pool(), f, 2000);
  one->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  one->vlan_tci = 0x6065;  // priority 3, VLAN 101
  inject(one);
  rte_mbuf* inner_left = mbuf(arena_->small_pool(), tagged(f, {{0x8100, 7}}), 2000);
  inner_left->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  inner_left->vlan_tci = 200;
  inject(inner_left);
  rte_mbuf* two = mbuf(arena_->small_pool(), f, 2000);
  two->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ |
                   RTE_MBUF_F_RX_QINQ_STRIPPED;
  two->vlan_tci = 7;
  two->vlan_tci_outer = 200;
  inject(two);
  const auto got = receive(*port_, 32);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(frame(got[0]), tagged(f, {{0x8100, 0x6065}}));
  EXPECT_EQ(frame(got[1]), tagged(f, {{0x88a8, 200}, {0x8100, 7}}));
  EXPECT_EQ(frame(got[2]), tagged(f, {{0x88a8, 200}, {0x8100, 7}}));
  EXPECT_EQ(arena_->meta(got[0]).offset, kHeadroomBytes - 4);
  for (const BufferId b : got) {
    port_->queue(b, ledger_);  // and once more around: no flag is left that would tag twice
  }
  flush(*port_);
  const auto again = receive(*port_, 32);
  ASSERT_EQ(again.size(), 3u);
  EXPECT_EQ(frame(again[0]), tagged(f, {{0x8100, 0x6065}}));
  free(again);
}

TEST_F(RxShapes, NoHeadroomIsMade) {
  const Frame f = udp_frame(60, 1);
  rte_mbuf* m = rte_pktmbuf_alloc(arena_->small_pool());
  m->data_off = 0;
  std::memcpy(rte_pktmbuf_append(m, 60), f.data(), 60);
  inject(m);
  const auto got = receive(*port_, 32);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(frame(got[0]), f);
  EXPECT_EQ(arena_->meta(got[0]).offset, kHeadroomBytes);
  free(got);
}

TEST_F(EthTest, PcapDriverKeepsLargeFramesWhole) {
  const std::string in = scratch_file("in.pcap"), out = scratch_file("out.pcap");
  std::vector<Frame> frames;
  for (const uint32_t bytes : {60u, 1514u, 9000u, 16'128u, 16'129u, 37'506u, 65'407u}) {
    frames.push_back(udp_frame(bytes, bytes));
  }
  write_capture(in, frames);
  auto port = open(fmt::format("net_pcap0,rx_pcap={},tx_pcap={}", in, out));
  ASSERT_NE(port, nullptr);
  for (int i = 0; i < 20; ++i) {
    for (const BufferId b : receive(*port, 4)) port->queue(b, ledger_);
    flush(*port);
  }
  EXPECT_EQ(ledger_.rx, frames.size());
  const uint64_t refused = drops(Drop::tx_oversize);
  EXPECT_EQ(ledger_.tx + refused, frames.size());
  port.reset();
  const std::vector<Frame> written = read_capture(out);
  // Whole or not at all.
  ASSERT_EQ(written.size(), frames.size() - refused);
  for (size_t i = 0; i < written.size(); ++i) EXPECT_EQ(written[i], frames[i]);
  unlink(in.c_str());
  unlink(out.c_str());
}

TEST_F(EthTest, APortCanBeOpenedAgainAfterItWasClosed) {
  for (int i = 0; i < 3; ++i) {
    auto port = open("net_null3,size=64");
    ASSERT_NE(port, nullptr);
    free(receive(*port, 32));
  }
}

TEST_F(EthTest, ErrorsSayWhatToDo) {
  EXPECT_NE(error_of("net_nosuch0").find("net_af_packet0"), std::string::npos);
  EXPECT_NE(error_of("net_null0,nonsense=1").find("nonsense"), std::string::npos);
  EXPECT_NE(error_of("net_af_packet0").find("iface="), std::string::npos);
  EXPECT_NE(error_of("net_af_packet0,iface=nosuch").find("no interface nosuch"), std::string::npos);
  EXPECT_NE(error_of("net_pcap0,rx_pcap=/nonexistent/a.pcap").find("/nonexistent/a.pcap"),
            std::string::npos);
  EXPECT_NE(error_of("net_memif0,zero-copy=yes").find("zero-copy"), std::string::npos);
  EXPECT_NE(error_of("net_tun0").find("net_tap"), std::string::npos);
  EXPECT_NE(error_of("0000:ff:1f.7").find("vfio-pci"), std::string::npos);
  auto first = open("net_null0");
  EXPECT_NE(error_of("net_null0").find("number of its own"), std::string::npos);
}

TEST(EthDevice, PciAddresses) {
  for (const char* yes : {"0000:03:00.0", "03:00.1", "0000:03:00.0,mac=1", "abcd:ef:1f.7"}) {
    EXPECT_TRUE(is_pci_address(yes)) << yes;
  }
  for (const char* no : {"", "net_null0", "net_af_packet0,iface=eth0.1",
                         "net_pcap0,rx_pcap=a:b:c.0", "03.0", "1.2"}) {
    EXPECT_FALSE(is_pci_address(no)) << no;
  }
}

TEST(EthDevice, AfPacketRingFitsTheBuffers) {
  if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
  const auto lo = describe_device("net_af_packet0,iface=lo");  // MTU 65,536
  ASSERT_TRUE(lo.ok()) << lo.status();
  EXPECT_TRUE(lo->rx_jumbo);
  EXPECT_NE(lo->args.find("framesz=61440,blocksz=61440"), std::string::npos);
  const auto odd = describe_device("net_af_packet0,iface=lo,framesz=1936");
  ASSERT_FALSE(odd.ok());
  EXPECT_NE(odd.status().message().find("divide"), absl::string_view::npos);
  const auto given = describe_device("net_af_packet0,iface=lo,framesz=2048");
  ASSERT_TRUE(given.ok());
  EXPECT_TRUE(given->rx_jumbo);  // 2,048 less its header is more than 1,920
  EXPECT_EQ(given->frame_bytes_max, 2016u);
}

}  // namespace
}  // namespace mayfly
