#include "instrument/load/raw_wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "fmt/format.h"

namespace mayfly::load {
namespace {

constexpr uint32_t kRingFrameBytes = 256;  // header of the kernel, and the first bytes of a frame
constexpr uint32_t kRingFrameCount = 1u << 15;
constexpr uint32_t kRingBlockBytes = 1u << 20;
constexpr uint32_t kRingBytes = kRingFrameBytes * kRingFrameCount;
constexpr int kSendBufferBytes = 8 << 20;

absl::Status failed(const std::string& what) {
  return absl::InternalError(fmt::format("{}: {}", what, std::strerror(errno)));
}

// The calling thread visits a network namespace for as long as this lives.
class Visit {
 public:
  explicit Visit(const std::string& netns)
      : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const int there = open(netns.c_str(), O_RDONLY | O_CLOEXEC);
    ok_ = home_ >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0;
    if (there >= 0) close(there);
  }
  ~Visit() {
    if (ok_) setns(home_, CLONE_NEWNET);
    if (home_ >= 0) close(home_);
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  bool ok() const { return ok_; }

 private:
  int home_;
  bool ok_ = false;
};

template <class T>
bool set(int fd, int level, int option, const T& value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

class RawWire final : public Wire {
 public:
  ~RawWire() override {
    if (ring_ != nullptr) munmap(ring_, kRingBytes);
    if (tx_ >= 0) close(tx_);
    if (rx_ >= 0) close(rx_);
  }

  absl::Status open_source(const RawPlan& plan) {
    const Visit visit(plan.source_netns);
    if (!visit.ok()) return failed(plan.source_netns);
    for (uint32_t i = 0; i < plan.tenant_count; ++i) {
      const std::string name = fmt::format("{}{}", plan.interface, i);
      interfaces_.push_back(static_cast<int>(if_nametoindex(name.c_str())));
      if (interfaces_.back() == 0) return failed(name);
    }
    tx_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (tx_ < 0) return failed("packet socket");
    if (!set(tx_, SOL_PACKET, PACKET_QDISC_BYPASS, 1)) return failed("PACKET_QDISC_BYPASS");
    set(tx_, SOL_SOCKET, SO_SNDBUFFORCE, kSendBufferBytes);
    for (uint32_t i = 0; i < kBurst; ++i) {
      addresses_[i] = {};
      addresses_[i].sll_family = AF_PACKET;
      addresses_[i].sll_protocol = htons(ETH_P_IP);
      vectors_[i].iov_base = frames_[i].data();
      messages_[i] = {};
      messages_[i].msg_hdr.msg_name = &addresses_[i];
      messages_[i].msg_hdr.msg_namelen = sizeof addresses_[i];
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
    return absl::OkStatus();
  }

  absl::Status open_sink(const RawPlan& plan) {
    const Visit visit(plan.sink_netns);
    if (!visit.ok()) return failed(plan.sink_netns);
    rx_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (rx_ < 0) return failed("packet socket");
    const tpacket_req request{kRingBlockBytes, kRingBytes / kRingBlockBytes, kRingFrameBytes,
                              kRingFrameCount};
    if (!set(rx_, SOL_PACKET, PACKET_VERSION, int{TPACKET_V2}) ||
        !set(rx_, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) ||
        !set(rx_, SOL_PACKET, PACKET_RX_RING, request)) {
      return failed("receive ring");
    }
    void* at = mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, rx_, 0);
    if (at == MAP_FAILED) return failed("mmap of the receive ring");
    ring_ = static_cast<uint8_t*>(at);
    sockaddr_ll any{};
    any.sll_family = AF_PACKET;
    any.sll_protocol = htons(ETH_P_IP);
    if (bind(rx_, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) return failed("bind");
    return absl::OkStatus();
  }

  uint32_t send(const FrameFormat& format, std::span<const Due> due) override {
    for (size_t i = 0; i < due.size(); ++i) {
      format.write(frames_[i].data(), due[i]);
      vectors_[i].iov_len = due[i].bytes;
      addresses_[i].sll_ifindex = interfaces_[due[i].tenant];
    }
    uint32_t taken = 0;
    for (size_t at = 0; at < due.size();) {
      const int n =
          sendmmsg(tx_, &messages_[at], static_cast<unsigned>(due.size() - at), MSG_DONTWAIT);
      if (n > 0) {
        taken += static_cast<uint32_t>(n);
        at += static_cast<size_t>(n);
      } else {
        ++at;  // the first of them was refused: lost
      }
    }
    return taken;
  }

  bool receive(Sink& sink) override {
    uint32_t n = 0;
    for (; n < kBurst; ++n) {
      uint8_t* slot = ring_ + size_t{next_} * kRingFrameBytes;
      auto* header = reinterpret_cast<tpacket2_hdr*>(slot);
      // acquire: the frame's bytes were written before the kernel gave it to us.
      if ((__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) break;
      sink.take(slot + header->tp_mac, header->tp_snaplen, header->tp_len, tsc_now());
      // release: we have read it before the kernel may write the next one there.
      __atomic_store_n(&header->tp_status, uint32_t{TP_STATUS_KERNEL}, __ATOMIC_RELEASE);
      next_ = (next_ + 1) % kRingFrameCount;
    }
    return n > 0;
  }

  uint64_t missed() override {
    tpacket_stats stats{};
    socklen_t bytes = sizeof stats;
    getsockopt(rx_, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes);
    return stats.tp_drops;
  }

 private:
  int tx_ = -1, rx_ = -1;
  std::vector<int> interfaces_;
  std::array<std::array<uint8_t, kFrameBytesMax>, kBurst> frames_{};
  std::array<mmsghdr, kBurst> messages_;
  std::array<iovec, kBurst> vectors_;
  std::array<sockaddr_ll, kBurst> addresses_;
  uint8_t* ring_ = nullptr;
  uint32_t next_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Wire>> open_raw(const RawPlan& plan) {
  auto wire = std::make_unique<RawWire>();
  if (absl::Status s = wire->open_source(plan); !s.ok()) return s;
  if (absl::Status s = wire->open_sink(plan); !s.ok()) return s;
  return wire;
}

}  // namespace mayfly::load
