// net_af_packet over a veth pair and net_tap, in a network namespace of the test's own. Root only.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "fmt/format.h"
#include "tests/ports/port_env.h"

namespace mayfly {
namespace {

using std::chrono::milliseconds;

// The far end of a wire: a packet socket on a kernel interface.
class FarEnd {
 public:
  explicit FarEnd(const std::string& interface)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll a{};
    a.sll_family = AF_PACKET;
    a.sll_protocol = htons(ETH_P_ALL);
    a.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    const int on = 1;
    setsockopt(fd_, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
    setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  }
  ~FarEnd() { close(fd_); }

  bool send(const Frame& f) {
    return write(fd_, f.data(), f.size()) == static_cast<ssize_t>(f.size());
  }

  // The next frame, the kernel's stripped tag put back; empty when none waits.
  Frame receive() {
    Frame f(70'000);
    alignas(cmsghdr) char control[256];
    iovec iov{f.data(), f.size()};
    msghdr m{};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(fd_, &m, 0);
    if (n <= 0) return {};
    f.resize(static_cast<size_t>(n));
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA) continue;
      tpacket_auxdata aux;
      std::memcpy(&aux, CMSG_DATA(c), sizeof aux);
      if (aux.tp_status & TP_STATUS_VLAN_VALID) {
        return tagged(f, {{aux.tp_vlan_tpid, aux.tp_vlan_tci}});
      }
    }
    return f;
  }

 private:
  int fd_;
};

class KernelPortTest : public PortTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    static const bool apart = unshare(CLONE_NEWNET) == 0;
    if (!apart) GTEST_SKIP() << "SKIPPED: no network namespaces here";
    PortTest::SetUp();
  }
  static void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  void wire(uint32_t mtu) {
    run("ip link del near 2>/dev/null; true");
    run(fmt::format("ip link add near mtu {} type veth peer name far mtu {}", mtu, mtu));
    run("sysctl -qw net.ipv6.conf.near.disable_ipv6=1 net.ipv6.conf.far.disable_ipv6=1 || true");
    run("ip link set near up && ip link set far up");
  }
  // Receives until `n` packets of ours are there (the kernel's own chatter is dropped).
  std::vector<Frame> collect(Port& port, size_t n, milliseconds limit = milliseconds(2000)) {
    std::vector<Frame> frames;
    within(limit, [&] {
      const auto got = receive(port, 32);
      for (const BufferId b : got) {
        const Frame f = frame(b);
        if (ours(f)) frames.push_back(f);
      }
      free(got);
      return frames.size() >= n;
    });
    return frames;
  }
  std::vector<Frame> collect(FarEnd& far, size_t n, milliseconds limit = milliseconds(2000)) {
    std::vector<Frame> frames;
    within(limit, [&] {
      for (Frame f = far.receive(); !f.empty(); f = far.receive()) {
        if (ours(f)) frames.push_back(f);
      }
      return frames.size() >= n;
    });
    return frames;
  }
  static bool ours(const Frame& f) {
    const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
    return f.size() >= 12 && std::memcmp(f.data(), macs, 12) == 0;
  }
};

TEST_F(KernelPortTest, AfPacketBothWays) {
  wire(1500);
  auto port = open("net_af_packet0,iface=near");
  ASSERT_NE(port, nullptr);
  FarEnd far("far");
  std::vector<Frame> frames;
  for (uint32_t i = 0; i < 600; ++i) frames.push_back(udp_frame(60 + i * 2, i));
  std::vector<Frame> got;
  for (size_t i = 0; i < frames.size(); ++i) {
    ASSERT_TRUE(far.send(frames[i]));
    if (i % 100 == 99) {
      for (Frame& f : collect(*port, 100)) got.push_back(std::move(f));
    }
  }
  EXPECT_EQ(got, frames);
  got.clear();
  for (size_t i = 0; i < frames.size(); ++i) {
    send(*port, frames[i]);
    if (i % 50 != 49) continue;  // before the far end's socket buffer is full
    for (Frame& f : collect(far, 50)) got.push_back(std::move(f));
  }
  EXPECT_EQ(got, frames);
  EXPECT_EQ(ledger_.tx, frames.size());
}

TEST_F(KernelPortTest, AfPacketPutsTagsBack) {
  wire(1500);
  auto port = open("net_af_packet0,iface=near");
  ASSERT_NE(port, nullptr);
  FarEnd far("far");
  const Frame plain = udp_frame(100, 1);
  const std::vector<Frame> frames = {plain, tagged(plain, {{0x8100, 0x2065}}),
                                     tagged(plain, {{0x88a8, 200}, {0x8100, 7}}),
                                     tagged(udp_frame(1514, 2), {{0x8100, 5}})};
  for (const Frame& f : frames) ASSERT_TRUE(far.send(f));
  EXPECT_EQ(collect(*port, frames.size()), frames);
  for (const Frame& f : frames) send(*port, f);
  EXPECT_EQ(collect(far, frames.size()), frames);
}

TEST_F(KernelPortTest, AfPacketSendsWholeOrCounts) {
  wire(1500);
  auto port = open("net_af_packet0,iface=near");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->frame_bytes_max(), 1518u);
  FarEnd far("far");
  send(*port, udp_frame(1514, 1));
  send(*port, udp_frame(1515, 2));                         // above the MTU, and no tag
  send(*port, tagged(udp_frame(1514, 3), {{0x8100, 1}}));  // a tag may come on top
  send(*port, udp_frame(1519, 4));
  send(*port, udp_frame(9000, 5));
  const auto got = collect(far, 2);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].size(), 1514u);
  EXPECT_EQ(got[1].size(), 1518u);
  EXPECT_EQ(ledger_.tx, 2u);
  EXPECT_EQ(drops(Drop::tx_oversize), 3u);
}

TEST_F(KernelPortTest, AfPacketWithJumboMtu) {
  wire(9000);
  auto port = open("net_af_packet0,iface=near");
  ASSERT_NE(port, nullptr);
  FarEnd far("far");
  const std::vector<Frame> frames = {udp_frame(60, 1), udp_frame(1920, 2), udp_frame(1921, 3),
                                     udp_frame(9014, 4)};
  for (const Frame& f : frames) ASSERT_TRUE(far.send(f));
  std::vector<BufferId> got;
  EXPECT_TRUE(within(milliseconds(2000), [&] {
    for (const BufferId b : receive(*port, 32)) got.push_back(b);
    return got.size() >= frames.size();
  }));
  ASSERT_EQ(got.size(), frames.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(frame(got[i]), frames[i]);
    EXPECT_EQ(raw(got[i]) >= kPackets, frames[i].size() > kSmallFrameBytesMax);
    port->queue(got[i], ledger_);
  }
  flush(*port);
  EXPECT_EQ(collect(far, frames.size()), frames);
}

TEST_F(KernelPortTest, AfPacketDropsWhatTheDriverCut) {
  // The peer's larger MTU stands for a segmentation offload: frames that the ring cannot hold.
  wire(1500);
  auto port = open("net_af_packet0,iface=near");
  ASSERT_NE(port, nullptr);
  run("ip link set far mtu 9000 && ip link set near mtu 9000");
  FarEnd far("far");
  ASSERT_TRUE(far.send(udp_frame(1800, 1)));
  ASSERT_TRUE(far.send(udp_frame(1900, 2)));
  ASSERT_TRUE(far.send(udp_frame(9000, 3)));
  Frame opaque = udp_frame(4000, 4);
  opaque[12] = 0x12;  // not IP: nothing says how long it was
  ASSERT_TRUE(far.send(opaque));
  ASSERT_TRUE(far.send(udp_frame(64, 5)));
  EXPECT_EQ(collect(*port, 2), (std::vector<Frame>{udp_frame(1800, 1), udp_frame(64, 5)}));
  EXPECT_EQ(drops(Drop::rx_truncated), 3u);
}

TEST_F(KernelPortTest, TapBothWaysUpToItsMtu) {
  auto port = open("net_tap0,iface=maytap0");
  if (port == nullptr) GTEST_SKIP() << "SKIPPED: no tap device here";
  run("sysctl -qw net.ipv6.conf.maytap0.disable_ipv6=1 || true");
  run("ip link set maytap0 up");
  FarEnd far("maytap0");
  const Frame plain = udp_frame(200, 9);
  const std::vector<Frame> frames = {udp_frame(60, 1), udp_frame(1514, 2),
                                     tagged(plain, {{0x8100, 101}}),
                                     tagged(plain, {{0x88a8, 200}, {0x8100, 7}})};
  for (const Frame& f : frames) ASSERT_TRUE(far.send(f));
  EXPECT_EQ(collect(*port, frames.size()), frames);
  for (const Frame& f : frames) send(*port, f);
  EXPECT_EQ(collect(far, frames.size()), frames);
  const uint64_t sent = ledger_.tx;
  send(*port, udp_frame(port->frame_bytes_max() + 1, 3));
  EXPECT_EQ(drops(Drop::tx_oversize), 1u);
  send(*port, udp_frame(100, 4));  // and the queue is not stuck behind it
  EXPECT_EQ(ledger_.tx, sent + 1);
  EXPECT_EQ(collect(far, 1), std::vector<Frame>{udp_frame(100, 4)});
}

TEST_F(KernelPortTest, TapTakesFramesLargerThanABuffer) {
  auto port = open("net_tap0,iface=maytap0");
  if (port == nullptr) GTEST_SKIP() << "SKIPPED: no tap device here";
  run("ip link set maytap0 mtu 9000 && ip link set maytap0 up");
  FarEnd far("maytap0");
  ASSERT_TRUE(far.send(udp_frame(9000, 1)));
  EXPECT_EQ(collect(*port, 1), std::vector<Frame>{udp_frame(9000, 1)});
}

TEST_F(KernelPortTest, AnInterfaceThatIsNotThereIsNamed) {
  EXPECT_NE(error_of("net_af_packet0,iface=near9").find("near9"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
