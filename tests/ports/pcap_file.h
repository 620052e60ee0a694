// Captures for tests: written and read with libpcap directly.
#pragma once

#include <pcap/pcap.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "tests/ports/port_env.h"

namespace mayfly {

inline std::string scratch_file(const std::string& name) {
  return (std::filesystem::temp_directory_path() / fmt::format("mayfly-{}-{}", getpid(), name))
      .string();
}

inline void write_capture(const std::string& file, const std::vector<Frame>& frames,
                          int link_type = DLT_EN10MB) {
  pcap_t* format = pcap_open_dead(link_type, 262144);
  pcap_dumper_t* dumper = pcap_dump_open(format, file.c_str());
  for (const Frame& f : frames) {
    pcap_pkthdr header{};
    header.caplen = header.len = static_cast<bpf_u_int32>(f.size());
    pcap_dump(reinterpret_cast<u_char*>(dumper), &header, f.data());
  }
  pcap_dump_close(dumper);
  pcap_close(format);
}

inline std::vector<Frame> read_capture(const std::string& file) {
  std::vector<Frame> frames;
  char why[PCAP_ERRBUF_SIZE];
  pcap_t* reader = pcap_open_offline(file.c_str(), why);
  if (reader == nullptr) return frames;
  pcap_pkthdr* header;
  const u_char* bytes;
  while (pcap_next_ex(reader, &header, &bytes) == 1) {
    frames.emplace_back(bytes, bytes + header->caplen);
  }
  pcap_close(reader);
  return frames;
}

}  // namespace mayfly
