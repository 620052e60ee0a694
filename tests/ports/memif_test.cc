// net_memif: two ports of this process against each other, and dpdk-testpmd as a peer.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "fmt/format.h"
#include "tests/ports/port_env.h"

namespace mayfly {
namespace {

using std::chrono::milliseconds;

class MemifTest : public PortTest {
 protected:
  void TearDown() override {
    PortTest::TearDown();
    for (const int n : {0, 1, 3}) unlink(socket(n).c_str());
  }
  // Every test has its own numbers: a server's device lives as long as the process.
  static std::string socket(int server) {
    return fmt::format("/tmp/mayfly-memif-{}-{}.sock", getpid(), server);
  }
  static std::string server(int n) {
    return fmt::format("net_memif{},role=server,id=0,socket={},socket-abstract=no", n, socket(n));
  }
  static std::string client(int n, int of) {
    return fmt::format("net_memif{},role=client,id=0,socket={},socket-abstract=no", n, socket(of));
  }
};

TEST_F(MemifTest, WithoutAPeerWhatIsSentWaitsThenCounts) {
  auto port = open(server(0));
  ASSERT_NE(port, nullptr);
  for (uint32_t i = 0; i < Port::kTxQueueMax + 20; ++i) send(*port, udp_frame(60, i));
  EXPECT_EQ(ledger_.tx, 0u);
  EXPECT_EQ(port->queued(), Port::kTxQueueMax);
  EXPECT_EQ(drops(Drop::tx_full), 20u);
  EXPECT_EQ(receive(*port, 32).size(), 0u);
  port->discard_queued(ledger_, Drop::shutdown);
}

TEST_F(MemifTest, TwoPortsExchangeFramesOfAnySize) {
  auto near = open(server(1));
  auto far = open(client(2, 1));
  ASSERT_NE(near, nullptr);
  ASSERT_NE(far, nullptr);
  // The first packet goes when the link is up and the client has offered buffers by polling.
  send(*near, udp_frame(60, 0));
  std::vector<BufferId> first;
  EXPECT_TRUE(within(milliseconds(5000), [&] {
    flush(*near);
    first = receive(*far, 32);
    return !first.empty();
  }));
  free(first);
  std::vector<Frame> sent, got;
  for (const uint32_t bytes : {61u, 1514u, 1920u, 1921u, 9000u, 37'506u, 65'407u, 64u}) {
    sent.push_back(udp_frame(bytes, bytes));
    send(*near, sent.back());
  }
  EXPECT_TRUE(within(milliseconds(2000), [&] {
    flush(*near);
    const auto burst = receive(*far, 32);
    for (const BufferId b : burst) {
      got.push_back(frame(b));
      far->queue(b, ledger_);
    }
    flush(*far);
    return got.size() >= sent.size();
  }));
  EXPECT_EQ(got, sent);
  got.clear();
  EXPECT_TRUE(within(milliseconds(2000), [&] {
    const auto burst = receive(*near, 32);
    for (const BufferId b : burst) got.push_back(frame(b));
    free(burst);
    return got.size() >= sent.size();
  }));
  EXPECT_EQ(got, sent);
}

// testpmd, looping everything that it receives back: an implementation that is not ours.
class Testpmd {
 public:
  explicit Testpmd(const std::string& vdev) {
    int stdin_pipe[2];
    if (pipe2(stdin_pipe, O_CLOEXEC) != 0) return;
    const std::string prefix = fmt::format("--file-prefix=mayfly-testpmd-{}", getpid());
    const std::string device = "--vdev=" + vdev;
    pid_ = fork();
    if (pid_ == 0) {
      dup2(stdin_pipe[0], 0);
      const int null = ::open("/dev/null", O_WRONLY);
      dup2(null, 1);
      dup2(null, 2);
      execlp("dpdk-testpmd", "dpdk-testpmd", "--lcores", "0@1,1@1", "--no-huge", "--no-shconf",
             "-m", "256", "--no-pci", prefix.c_str(), device.c_str(), "--", "--forward-mode=io",
             "--port-topology=loop", "--auto-start", "--total-num-mbufs=8192", nullptr);
      _exit(127);
    }
    close(stdin_pipe[0]);
    stdin_ = stdin_pipe[1];
  }
  ~Testpmd() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(stdin_);
    // Killed, it leaves its telemetry socket.
    for (const char* run : {"/run/dpdk", "/tmp/dpdk"}) {
      std::error_code ignored;
      std::filesystem::remove_all(fmt::format("{}/mayfly-testpmd-{}", run, getpid()), ignored);
    }
  }

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;
};

TEST_F(MemifTest, TestpmdReturnsEveryFrame) {
  if (std::system("command -v dpdk-testpmd > /dev/null") != 0) {
    GTEST_SKIP() << "SKIPPED: no dpdk-testpmd here";
  }
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "SKIPPED: testpmd needs a second CPU";
  auto port = open(server(3));
  ASSERT_NE(port, nullptr);
  Testpmd peer("net_memif0,role=client,id=0,socket-abstract=no,socket=" + socket(3));
  // Until the first one comes back: testpmd starts, connects, and loses what comes meanwhile.
  std::vector<BufferId> first;
  uint32_t probes = 0;
  ASSERT_TRUE(within(milliseconds(20'000), [&] {
    if (port->queued() == 0 && ++probes % 16 == 0) send(*port, udp_frame(60, 9999));
    flush(*port);
    first = receive(*port, 32);
    return !first.empty();
  }));
  free(first);
  std::vector<Frame> sent, got;
  for (uint32_t i = 0; i < 400; ++i) {
    sent.push_back(udp_frame(60 + i * 4, i));
    port->queue(make(sent.back()), ledger_);
  }
  EXPECT_TRUE(within(milliseconds(5'000), [&] {
    flush(*port);
    const auto burst = receive(*port, 32);
    for (const BufferId b : burst) {
      const Frame f = frame(b);
      if (f != udp_frame(60, 9999)) got.push_back(f);
    }
    free(burst);
    return got.size() >= sent.size();
  }));
  EXPECT_EQ(got, sent);
}

}  // namespace
}  // namespace mayfly
