// Real captures through the parser: it agrees with the reference on every frame, and all fragments
// of a datagram get one key. The captures are not part of the project: a folder of them is named by
// MAYFLY_PCAPS.
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "flowdir/flow_table.h"
#include "tests/fuzz/reference_parser.h"

namespace mayfly {
namespace {

std::vector<std::filesystem::path> captures() {
  const char* const named = std::getenv("MAYFLY_PCAPS");
  std::vector<std::filesystem::path> files;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(named ? named : MAYFLY_PCAPS_DEFAULT, none)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct Seen {
  uint32_t frames = 0, ip = 0, with_ports = 0, fragments = 0;
};

void check_frame(std::span<const uint8_t> frame, FragmentTable& fragments,
                 std::map<std::string, PacketKey>& datagrams, Seen& seen) {
  ParsedPacket packet;
  parse(frame, PortId{0}, packet);
  ASSERT_EQ(difference(packet, reference_parse(frame, PortId{0})), "") << seen.frames;
  ++seen.frames;
  seen.ip += packet.ip_length != 0;
  seen.with_ports += packet.key.src_port.wire != 0;
  if (packet.fragment == Fragment::none) return;
  ++seen.fragments;
  std::string datagram(reinterpret_cast<const char*>(packet.key.src_ip), 32);
  datagram.append(std::to_string(packet.fragment_id)).append("/");
  datagram.append(std::to_string(packet.key.ethertype == 0x86dd ? 0 : packet.key.protocol));
  fragments.steer(packet, Cycles{0}, Cycles{1});
  PacketKey key = packet.key;
  for (uint8_t* mac : {key.src_mac, key.dst_mac}) std::fill(mac, mac + 6, 0);
  EXPECT_TRUE(datagrams.emplace(datagram, key).first->second == key) << seen.frames;
}

void check_capture(const std::filesystem::path& file, Seen& seen) {
  char error[PCAP_ERRBUF_SIZE];
  pcap_t* const capture = pcap_open_offline(file.c_str(), error);
  ASSERT_NE(capture, nullptr) << error;
  FragmentTable fragments(1u << 16, 42);
  std::map<std::string, PacketKey> datagrams;
  pcap_pkthdr* header;
  const u_char* data;
  while (pcap_datalink(capture) == DLT_EN10MB && pcap_next_ex(capture, &header, &data) == 1) {
    check_frame({data, header->caplen}, fragments, datagrams, seen);
  }
  pcap_close(capture);
}

TEST(Captures, ParseAsTheReferenceDoes) {
  const auto files = captures();
  if (files.empty()) {
    GTEST_SKIP() << "NO CAPTURES: set MAYFLY_PCAPS to a folder of .pcap files to run this test";
  }
  Seen seen;
  for (const auto& file : files) {
    SCOPED_TRACE(file.string());
    check_capture(file, seen);
  }
  EXPECT_GT(seen.frames, 0u);
  std::printf("%u frames, %u of IP, %u with ports, %u fragments\n", seen.frames, seen.ip,
              seen.with_ports, seen.fragments);
}

}  // namespace
}  // namespace mayfly
