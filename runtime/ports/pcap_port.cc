#include "runtime/ports/pcap_port.h"

#include <pcap/pcap.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"
#include "spdlog/spdlog.h"

namespace mayfly {
namespace {

constexpr int kSnapshotBytes = 65535;

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> PcapPort::open(const PortConfig& config, PortId id,
                                                     Arena& arena, uint64_t tsc_hz) {
  std::unique_ptr<PcapPort> port(new PcapPort(config, id, arena, tsc_hz));
  if (!config.pcap_in.empty()) {
    if (absl::Status s = port->open_reader(config.pcap_in); !s.ok()) return s;
  }
  if (!config.pcap_out.empty()) {
    if (absl::Status s = port->open_writer(config.pcap_out); !s.ok()) return s;
  }
  return port;
}

PcapPort::PcapPort(const PortConfig& config, PortId id, Arena& arena, uint64_t tsc_hz)
    : Port(config.name, id), arena_(arena), rate_(tsc_hz), queue_(arena.buffer_count()) {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  clock_zero_ = tsc_now();
  wall_zero_ns_ = t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

absl::Status PcapPort::open_reader(const std::string& file) {
  char why[PCAP_ERRBUF_SIZE] = "";
  reader_ = pcap_open_offline_with_tstamp_precision(file.c_str(), PCAP_TSTAMP_PRECISION_NANO, why);
  if (reader_ == nullptr) {
    return absl::NotFoundError(fmt::format("in: {}; give a pcap or pcapng file", why));
  }
  if (const int type = pcap_datalink(reader_); type != DLT_EN10MB) {
    const char* what = pcap_datalink_val_to_description(type);
    return absl::InvalidArgumentError(
        fmt::format("in: {} holds {} frames; Mayfly reads Ethernet captures", file,
                    what != nullptr ? what : "unknown"));
  }
  return absl::OkStatus();
}

absl::Status PcapPort::open_writer(const std::string& file) {
  out_file_ = file;
  pcap_t* format =
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapshotBytes, PCAP_TSTAMP_PRECISION_NANO);
  if (format == nullptr) return absl::ResourceExhaustedError("out: no memory");
  writer_ = pcap_dump_open(format, file.c_str());
  const std::string why = writer_ == nullptr ? pcap_geterr(format) : "";
  pcap_close(format);
  if (writer_ != nullptr) return absl::OkStatus();
  return absl::PermissionDeniedError(
      fmt::format("out: {}; give a file in a directory that can be written", why));
}

PcapPort::~PcapPort() {
  for (uint32_t i = 0; i < queued_count_; ++i) arena_.free(queue_[i]);
  if (writer_ != nullptr) pcap_dump_close(writer_);
  if (reader_ != nullptr) pcap_close(reader_);
}

// How many more packets may come in now.
uint32_t PcapPort::window(Cycles now, const Ledger& ledger) {
  const int64_t held = ledger.held();
  const uint64_t gone = ledger.tx + ledger.dropped();
  if (gone != gone_last_ || last_moved_.n == 0) {  // or nothing was read before now
    gone_last_ = gone;
    last_moved_ = now;
    patience_ = kPatience;
  }
  if (held < kWindow) return static_cast<uint32_t>(kWindow - std::max<int64_t>(held, 0));
  if (now - last_moved_ < rate_.cycles(patience_)) return 0;
  last_moved_ = now;
  patience_ = kPatienceNext;
  return kRxBurst;
}

bool PcapPort::read_ahead() {
  if (ahead_ != nullptr) return true;
  pcap_pkthdr* header;
  const u_char* bytes;
  const int result = pcap_next_ex(reader_, &header, &bytes);
  if (result == 1) {
    ahead_ = header;
    ahead_bytes_ = bytes;
    return true;
  }
  ended_ = true;
  if (result == PCAP_ERROR) {
    spdlog::warn("port {}: the capture is damaged after {} packets: {}", name(), counters_.rx,
                 pcap_geterr(reader_));
  }
  return false;
}

// The frame read ahead becomes a buffer. kNone: dropped and counted, or (ahead_ still set) no
// buffer is free just now.
BufferId PcapPort::take(Ledger& ledger) {
  const uint32_t bytes = ahead_->caplen;
  BufferId b = kNone<BufferId>;
  if (bytes == 0) {
    ledger.drop(Drop::rx_truncated);
  } else if (bytes > kFrameBytesMax) {
    ledger.drop(Drop::rx_oversize);
  } else {
    b = arena_.alloc_for(bytes);
    if (b == kNone<BufferId>) return b;
    std::memcpy(arena_.packet(b), ahead_bytes_, bytes);
    arena_.meta(b).length = static_cast<uint16_t>(bytes);
  }
  ahead_ = nullptr;
  ++ledger.rx;
  ++counters_.rx;
  ledger.rx_bytes += bytes;
  counters_.rx_bytes += bytes;
  return b;
}

uint32_t PcapPort::receive(Cycles now, Ledger& ledger, std::span<BufferId> out) {
  if (exhausted()) return 0;
  const auto wanted = static_cast<uint32_t>(std::min<size_t>(out.size(), window(now, ledger)));
  uint32_t n = 0;
  while (n < wanted && read_ahead()) {
    const BufferId b = take(ledger);
    if (ahead_ != nullptr) break;  // it waits for a buffer
    if (b == kNone<BufferId>) continue;
    PacketMeta& meta = arena_.meta(b);
    meta.due_tsc = now.n;
    meta.port_in = raw(id());
    out[n++] = b;
  }
  return n;
}

void PcapPort::queue(BufferId b, Ledger& ledger) {
  if (writer_ == nullptr) {
    ledger.drop(Drop::no_out_port);
    return arena_.free(b);
  }
  queue_[queued_count_++] = b;
}

bool PcapPort::write(const PacketMeta& meta, const uint8_t* frame, Cycles now) {
  if (write_failed_) return false;
  const int64_t wall = wall_zero_ns_ + (now >= clock_zero_ ? rate_.nanos(now - clock_zero_).n : 0);
  pcap_pkthdr header{};
  header.caplen = header.len = meta.length;
  header.ts.tv_sec = wall / 1'000'000'000;
  header.ts.tv_usec = wall % 1'000'000'000;  // nanoseconds: the file says so
  pcap_dump(reinterpret_cast<u_char*>(writer_), &header, frame);
  if (ferror(pcap_dump_file(writer_)) == 0) return true;
  write_failed_ = true;
  spdlog::error("port {}: writing {} failed: {}; from here on packets are dropped as tx_full",
                name(), out_file_, std::strerror(errno));
  return false;
}

void PcapPort::flush(Cycles now, Ledger& ledger, Histogram& latency) {
  for (uint32_t i = 0; i < queued_count_; ++i) {
    const BufferId b = queue_[i];
    const PacketMeta& meta = arena_.meta(b);
    if (write(meta, arena_.packet(b), now)) {
      ++ledger.tx;
      ++counters_.tx;
      ledger.tx_bytes += meta.length;
      counters_.tx_bytes += meta.length;
      latency.record(now.n > meta.due_tsc ? now.n - meta.due_tsc : 0);
    } else {
      ledger.drop(Drop::tx_full);
    }
    arena_.free(b);
  }
  queued_count_ = 0;
}

void PcapPort::discard_queued(Ledger& ledger, Drop reason) {
  ledger.drop(reason, queued_count_);
  for (uint32_t i = 0; i < queued_count_; ++i) arena_.free(queue_[i]);
  queued_count_ = 0;
}

}  // namespace mayfly
