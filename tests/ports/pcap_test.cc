#include "runtime/ports/pcap_port.h"

#include <fstream>

#include "tests/ports/pcap_file.h"

namespace mayfly {
namespace {

class PcapTest : public PortTest {
 protected:
  void TearDown() override {
    PortTest::TearDown();
    for (const std::string& f : files_) unlink(f.c_str());
  }
  std::string file(const std::string& name) {
    files_.push_back(scratch_file(name));
    return files_.back();
  }
  std::unique_ptr<Port> pcap(const std::string& in, const std::string& out) {
    PortConfig config;
    config.name = "cap";
    config.pcap_in = in;
    config.pcap_out = out;
    return open(config);
  }
  std::string pcap_error(const std::string& in, const std::string& out) {
    PortConfig config;
    config.name = "cap";
    config.pcap_in = in;
    config.pcap_out = out;
    const auto port = open_port(config, PortId{0}, *arena_, kHz);
    EXPECT_FALSE(port.ok());
    return std::string(port.status().message());
  }
  // Everything from `in` out of `out`, 32 at a time.
  void pass(Port& in, Port& out) {
    while (!in.exhausted()) {
      now_.n += 1000;
      for (const BufferId b : receive(in, 32)) out.queue(b, ledger_);
      flush(out);
    }
  }
  std::vector<std::string> files_;
};

TEST_F(PcapTest, FramesOfEverySizePassWhole) {
  std::vector<Frame> frames;
  for (const uint32_t bytes : {1u, 13u, 14u, 60u, 1514u, 1920u, 1921u, 9000u, 37'506u, 65'407u}) {
    frames.push_back(bytes < 50 ? Frame(bytes, 0xab) : udp_frame(bytes, bytes));
  }
  const std::string in = file("in.pcap"), out = file("out.pcap");
  write_capture(in, frames);
  auto port = pcap(in, out);
  pass(*port, *port);
  port.reset();
  EXPECT_EQ(read_capture(out), frames);
  EXPECT_EQ(ledger_.rx, frames.size());
  EXPECT_EQ(ledger_.tx, frames.size());
  EXPECT_EQ(ledger_.rx_bytes, ledger_.tx_bytes);
}

TEST_F(PcapTest, LargerThanABufferIsCounted) {
  const std::string in = file("in.pcap");
  write_capture(in, {udp_frame(60, 1), Frame(65'408, 1), Frame(100'000, 1), udp_frame(60, 2)});
  auto port = pcap(in, "");
  const auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 2u);
  EXPECT_EQ(drops(Drop::rx_oversize), 2u);
  EXPECT_EQ(ledger_.rx, 4u);
  free(got);
}

TEST_F(PcapTest, AnEmptyFrameIsCounted) {
  const std::string in = file("in.pcap");
  write_capture(in, {Frame{}, udp_frame(60, 2)});
  auto port = pcap(in, "");
  const auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 1u);
  EXPECT_EQ(drops(Drop::rx_truncated), 1u);
  free(got);
}

TEST_F(PcapTest, ItIsExhaustedAtTheEnd) {
  const std::string in = file("in.pcap");
  write_capture(in, {udp_frame(60, 1)});
  auto port = pcap(in, "");
  EXPECT_FALSE(port->exhausted());
  const auto got = receive(*port, 32);
  EXPECT_TRUE(port->exhausted());
  EXPECT_EQ(receive(*port, 32).size(), 0u);
  free(got);
  auto writer = pcap("", file("out.pcap"));
  EXPECT_TRUE(writer->exhausted());
}

TEST_F(PcapTest, WaitsForWhatIsInside) {
  const std::string in = file("in.pcap");
  write_capture(in, std::vector<Frame>(500, udp_frame(60, 1)));
  auto port = pcap(in, "");
  std::vector<BufferId> inside;
  for (int i = 0; i < 10; ++i) {
    now_.n += 1000;
    for (const BufferId b : receive(*port, 32)) inside.push_back(b);
  }
  EXPECT_EQ(inside.size(), PcapPort::kWindow);
  free(inside);
  inside = receive(*port, 64);
  EXPECT_EQ(inside.size(), 64u);
  EXPECT_EQ(receive(*port, 64).size(), 0u);
  now_.n += 2'000'000;  // nothing moved for 2 ms
  const auto more = receive(*port, 64);
  EXPECT_EQ(more.size(), kRxBurst);
  free(more);
  free(inside);
}

TEST_F(PcapTest, WaitsForAFreeBuffer) {
  const std::string in = file("in.pcap");
  write_capture(in, std::vector<Frame>(kJumboPackets + 3, udp_frame(5000, 1)));
  auto port = pcap(in, "");
  auto got = receive(*port, 64);
  EXPECT_EQ(got.size(), kJumboPackets);
  EXPECT_EQ(ledger_.dropped(), 0u);
  free(got);
  got = receive(*port, 64);
  EXPECT_EQ(got.size(), 3u);
  EXPECT_EQ(frame(got[2]), udp_frame(5000, 1));
  free(got);
}

TEST_F(PcapTest, ReadsPcapng) {
  // Section header, interface description (Ethernet), one enhanced packet: by the specification.
  const Frame f = udp_frame(64, 3);
  std::string ng;
  const auto put = [&ng](std::initializer_list<uint32_t> words) {
    for (const uint32_t w : words) ng.append(reinterpret_cast<const char*>(&w), 4);
  };
  put({0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28});
  put({1, 20, 1, 0, 20});
  put({6, 32 + 64, 0, 0, 0, 64, 64});
  ng.append(f.begin(), f.end());
  put({32 + 64});
  const std::string in = file("in.pcapng");
  std::ofstream(in, std::ios::binary) << ng;
  auto port = pcap(in, "");
  const auto got = receive(*port, 32);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(frame(got[0]), f);
  free(got);
}

TEST_F(PcapTest, WritesNanosecondTimes) {
  const std::string out = file("out.pcap");
  auto port = pcap("", out);
  send(*port, udp_frame(60, 1));
  port.reset();
  uint32_t magic = 0;
  std::ifstream(out, std::ios::binary).read(reinterpret_cast<char*>(&magic), 4);
  EXPECT_EQ(magic, 0xa1b23c4d);
}

TEST_F(PcapTest, WithoutOutThereIsNoWayOut) {
  const std::string in = file("in.pcap");
  write_capture(in, {udp_frame(60, 1)});
  auto port = pcap(in, "");
  pass(*port, *port);
  EXPECT_EQ(drops(Drop::no_out_port), 1u);
}

TEST_F(PcapTest, ADamagedCaptureEnds) {
  const std::string in = file("in.pcap");
  write_capture(in, {udp_frame(60, 1), udp_frame(60, 2)});
  std::filesystem::resize_file(in, std::filesystem::file_size(in) - 10);
  auto port = pcap(in, "");
  const auto got = receive(*port, 32);
  EXPECT_EQ(got.size(), 1u);
  EXPECT_TRUE(port->exhausted());
  free(got);
}

TEST_F(PcapTest, AFullDiskIsCounted) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "SKIPPED: no /dev/full";
  auto port = pcap("", "/dev/full");
  for (int i = 0; i < 100; ++i) send(*port, udp_frame(1000, 1));
  EXPECT_GT(drops(Drop::tx_full), 50u);
}

TEST_F(PcapTest, ErrorsNameFileAndRemedy) {
  const std::string text = file("text"), raw_ip = file("raw.pcap");
  std::ofstream(text) << "this is no capture, it is a line of text";
  write_capture(raw_ip, {Frame(60, 1)}, DLT_RAW);
  EXPECT_NE(pcap_error("/nonexistent/x.pcap", "").find("/nonexistent/x.pcap"), std::string::npos);
  EXPECT_NE(pcap_error(text, "").find("pcap"), std::string::npos);
  EXPECT_NE(pcap_error(raw_ip, "").find("Ethernet"), std::string::npos);
  EXPECT_NE(pcap_error("", "/nonexistent/x.pcap").find("/nonexistent/x.pcap"), std::string::npos);
}

}  // namespace
}  // namespace mayfly
