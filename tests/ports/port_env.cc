#include "tests/ports/port_env.h"

#include <unistd.h>

#include <cstring>

#include "fmt/format.h"

namespace mayfly {
namespace {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    Config config;
    config.file = "test.yaml";
    config.packets = 4096;
    config.jumbo_packets = 64;
    config.hugepages = Huge::off;
    const absl::Status s = start_eal(config, fmt::format("mayfly-test-{}", getpid()));
    ASSERT_TRUE(s.ok()) << s;
  }
  void TearDown() override { stop_eal(); }
};

testing::Environment* const kEal = testing::AddGlobalTestEnvironment(new EalEnvironment);

void put16(uint8_t* p, uint32_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}

}  // namespace

Frame udp_frame(uint32_t bytes, uint32_t seed) {
  Frame f(bytes);
  for (uint32_t i = 0; i < bytes; ++i) f[i] = static_cast<uint8_t>(seed * 31 + i * 7 + i / 256);
  const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  std::memcpy(f.data(), macs, 12);
  put16(&f[12], 0x0800);
  uint8_t* ip = &f[14];
  ip[0] = 0x45;
  ip[1] = 0;
  put16(ip + 2, bytes - 14);
  put16(ip + 6, 0x4000);
  ip[8] = 64;
  ip[9] = 17;
  put16(ip + 20, 1000 + seed);
  put16(ip + 22, 9);
  put16(ip + 24, bytes - 34);
  put16(ip + 26, 0);
  return f;
}

Frame tagged(const Frame& frame, std::vector<std::pair<uint16_t, uint16_t>> tags) {
  Frame f(frame.begin(), frame.begin() + 12);
  for (const auto& [tpid, tci] : tags) {
    for (const uint16_t v : {tpid, tci}) {
      f.push_back(static_cast<uint8_t>(v >> 8));
      f.push_back(static_cast<uint8_t>(v));
    }
  }
  f.insert(f.end(), frame.begin() + 12, frame.end());
  return f;
}

void PortTest::SetUp() {
  auto arena = Arena::create({kPackets, kJumboPackets, false, false});
  ASSERT_TRUE(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
}

void PortTest::TearDown() {
  if (arena_ != nullptr && !HasFatalFailure()) expect_balance();
}

std::unique_ptr<Port> PortTest::open(const PortConfig& config) {
  auto port = open_port(config, PortId{7}, *arena_, kHz);
  EXPECT_TRUE(port.ok()) << port.status();
  return port.ok() ? *std::move(port) : nullptr;
}

std::unique_ptr<Port> PortTest::open(const std::string& dev) {
  PortConfig config;
  config.name = "p";
  config.dev = dev;
  return open(config);
}

std::string PortTest::error_of(const std::string& dev) {
  PortConfig config;
  config.name = "p";
  config.dev = dev;
  const auto port = open_port(config, PortId{7}, *arena_, kHz);
  const std::string message(port.status().message());
  EXPECT_FALSE(port.ok()) << dev;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_NE(message.find("port p ("), std::string::npos) << message;
  return message;
}

std::vector<BufferId> PortTest::receive(Port& port, uint32_t n) {
  std::vector<BufferId> out(n);
  out.resize(port.receive(now_, ledger_, out));
  return out;
}

Frame PortTest::frame(BufferId b) {
  const uint8_t* p = arena_->packet(b);
  return Frame(p, p + arena_->meta(b).length);
}

BufferId PortTest::make(const Frame& frame) {
  const BufferId b = arena_->alloc_for(static_cast<uint32_t>(frame.size()));
  EXPECT_NE(b, kNone<BufferId>);
  std::memcpy(arena_->packet(b), frame.data(), frame.size());
  arena_->meta(b).length = static_cast<uint16_t>(frame.size());
  arena_->meta(b).due_tsc = now_.n;
  ++ledger_.originated;
  return b;
}

void PortTest::send(Port& port, const Frame& frame) {
  port.queue(make(frame), ledger_);
  flush(port);
}

void PortTest::free(const std::vector<BufferId>& buffers, Drop reason) {
  for (const BufferId b : buffers) arena_->free(b);
  ledger_.drop(reason, buffers.size());
}

bool PortTest::within(std::chrono::milliseconds limit, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(200);
  }
  return true;
}

void PortTest::expect_balance() {
  EXPECT_EQ(ledger_.held(), static_cast<int64_t>(arena_->count_held()));
}

}  // namespace mayfly
