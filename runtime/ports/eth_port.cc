// The packet path of a device port; opening one is in eth_open.cc.
#include "runtime/ports/eth_port.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "spdlog/spdlog.h"

namespace mayfly {
namespace {

constexpr uint32_t kAddressBytes = 12;  // two MAC addresses
constexpr uint32_t kEtherBytes = 14;
constexpr uint32_t kTagBytes = 4;
constexpr uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kTag = 0x8100, kServiceTag = 0x88a8;

uint16_t be16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
void put_be16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
bool is_tag(uint16_t ether_type) { return ether_type == kTag || ether_type == kServiceTag; }

}  // namespace

uint32_t EthPort::receive(Cycles now, Ledger& ledger, std::span<BufferId> out) {
  rte_mbuf* burst[kBurst];
  const auto wanted = static_cast<uint16_t>(std::min<size_t>(out.size(), kBurst));
  const uint16_t received = rte_eth_rx_burst(port_, 0, burst, wanted);
  uint32_t n = 0;
  for (uint16_t i = 0; i < received; ++i) {
    const uint32_t bytes = burst[i]->pkt_len;
    counters_.rx_bytes += bytes;
    ledger.rx_bytes += bytes;
    const BufferId b = take(burst[i], ledger);
    if (b == kNone<BufferId>) continue;
    PacketMeta& meta = arena_.meta(b);
    meta.due_tsc = now.n;
    meta.port_in = raw(id());
    out[n++] = b;
  }
  counters_.rx += received;
  ledger.rx += received;
  return n;
}

// One received mbuf: a held buffer, or nothing and a counted drop.
BufferId EthPort::take(rte_mbuf* mbuf, Ledger& ledger) {
  const uint64_t flags = mbuf->ol_flags;
  const uint16_t inner = mbuf->vlan_tci, outer = mbuf->vlan_tci_outer;
  BufferId b;
  // A small frame does not keep a jumbo buffer; a frame at the start of its buffer has no room for
  // its tags. Both are copied.
  const bool in_place = arena_.adoptable(mbuf) && mbuf->data_off >= 2 * kTagBytes &&
                        (!device_.rx_jumbo || mbuf->pkt_len > kSmallFrameBytesMax);
  if (in_place) {
    b = arena_.adopt(mbuf);
  } else {
    b = copy(mbuf, ledger);
    if (b == kNone<BufferId>) return b;
  }
  PacketMeta& meta = arena_.meta(b);
  const bool cut = device_.suspect_bytes != 0 && meta.length >= device_.suspect_bytes &&
                   looks_cut(arena_.buffer(b) + meta.offset, meta.length);
  if (cut) warn_cut(meta.length);
  if (cut || meta.length == 0) {
    ledger.drop(Drop::rx_truncated);
    arena_.free(b);
    return kNone<BufferId>;
  }
  if (flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED)) {
    if (!put_tags_back(b, outer, inner, (flags & RTE_MBUF_F_RX_QINQ_STRIPPED) != 0)) {
      ledger.drop(Drop::rx_oversize);
      arena_.free(b);
      return kNone<BufferId>;
    }
  }
  return b;
}

BufferId EthPort::copy(rte_mbuf* mbuf, Ledger& ledger) {
  const uint32_t bytes = mbuf->pkt_len;
  BufferId b = kNone<BufferId>;
  if (bytes > kFrameBytesMax) {
    ledger.drop(Drop::rx_oversize);
  } else {
    b = arena_.alloc_for(bytes);
    if (b == kNone<BufferId>) {
      ledger.drop(bytes > kSmallFrameBytesMax ? Drop::rx_no_jumbo : Drop::rx_no_buffer);
    }
  }
  if (b != kNone<BufferId>) {
    uint8_t* to = arena_.packet(b);
    for (const rte_mbuf* m = mbuf; m != nullptr; m = m->next) {
      std::memcpy(to, rte_pktmbuf_mtod(m, const void*), m->data_len);
      to += m->data_len;
    }
    arena_.meta(b).length = static_cast<uint16_t>(bytes);
  }
  rte_pktmbuf_free(mbuf);
  return b;
}

// The headroom takes the tags: the addresses move down by 4 or 8 bytes.
bool EthPort::put_tags_back(BufferId b, uint16_t outer, uint16_t inner, bool two) {
  PacketMeta& meta = arena_.meta(b);
  const uint32_t add = two ? 2 * kTagBytes : kTagBytes;
  if (meta.length < kEtherBytes) return true;  // no Ethernet header to put it in
  if (meta.length + add > UINT16_MAX) return false;
  uint8_t* from = arena_.buffer(b) + meta.offset;
  const bool tag_follows = is_tag(be16(from + kAddressBytes));
  uint8_t* to = from - add;
  std::memmove(to, from, kAddressBytes);
  uint8_t* tag = to + kAddressBytes;
  put_be16(tag, two || tag_follows ? kServiceTag : kTag);
  put_be16(tag + 2, two ? outer : inner);
  if (two) {
    put_be16(tag + 4, kTag);
    put_be16(tag + 6, inner);
  }
  meta.offset = static_cast<uint16_t>(meta.offset - add);
  meta.length = static_cast<uint16_t>(meta.length + add);
  return true;
}

// A frame that filled what the driver had for it: whole only if its IP header says so.
bool EthPort::looks_cut(const uint8_t* frame, uint32_t bytes) const {
  uint32_t at = kAddressBytes;
  for (int tags = 0; tags < 2 && is_tag(be16(frame + at)); ++tags) at += kTagBytes;
  const uint16_t ether_type = be16(frame + at);
  const uint8_t* ip = frame + at + 2;
  const uint32_t captured = bytes - (at + 2);
  if (ether_type == kIpv4) return be16(ip + 2) > captured || be16(ip + 2) == 0;
  if (ether_type == kIpv6) return be16(ip + 4) + 40u > captured || be16(ip + 4) == 0;
  return true;
}

void EthPort::warn_cut(uint32_t bytes) {
  if (warned_cut_) return;
  warned_cut_ = true;
  const std::string& on = device_.interface;
  spdlog::warn(
      "port {}: {} delivers packets larger than it can pass on ({} bytes kept of one), "
      "dropped as rx_truncated; turn merging and segmentation offload off here and on its "
      "peer: ethtool -K {} gro off lro off; ethtool -K PEER tso off gso off tx off",
      name(), on, bytes, on);
}

bool EthPort::sendable(BufferId b, Ledger& ledger) {
  const PacketMeta& meta = arena_.meta(b);
  if (meta.length < kEtherBytes) {
    ledger.drop(Drop::tx_runt);
    return false;
  }
  if (meta.length > device_.untagged_bytes_max) {
    const bool tagged = is_tag(be16(arena_.buffer(b) + meta.offset + kAddressBytes));
    if (!tagged || meta.length > device_.frame_bytes_max) {
      ledger.drop(Drop::tx_oversize);
      return false;
    }
  }
  if (tx_count_ == kTxQueueMax) {
    ledger.drop(Drop::tx_full);
    return false;
  }
  return true;
}

void EthPort::queue(BufferId b, Ledger& ledger) {
  if (!sendable(b, ledger)) return arena_.free(b);
  tx_[tx_count_++] = b;
}

void EthPort::flush(Cycles now, Ledger& ledger, Histogram& latency) {
  uint32_t done = 0;
  while (done < tx_count_) {
    rte_mbuf* burst[kBurst];
    const auto n = static_cast<uint16_t>(std::min(tx_count_ - done, kBurst));
    for (uint16_t i = 0; i < n; ++i) burst[i] = arena_.release(tx_[done + i]);
    const uint16_t sent = rte_eth_tx_burst(port_, 0, burst, n);
    for (uint16_t i = 0; i < sent; ++i) {
      // The mbuf is the driver's now; meta still has what it was.
      const PacketMeta& meta = arena_.meta(tx_[done + i]);
      ledger.tx_bytes += meta.length;
      counters_.tx_bytes += meta.length;
      latency.record(now.n > meta.due_tsc ? now.n - meta.due_tsc : 0);
    }
    for (uint16_t i = sent; i < n; ++i) arena_.take_back(tx_[done + i]);
    ledger.tx += sent;
    counters_.tx += sent;
    done += sent;
    if (sent < n) break;
  }
  if (done == 0) return;
  std::copy(tx_.begin() + done, tx_.begin() + tx_count_, tx_.begin());
  tx_count_ -= done;
}

void EthPort::discard_queued(Ledger& ledger, Drop reason) {
  ledger.drop(reason, tx_count_);
  for (uint32_t i = 0; i < tx_count_; ++i) arena_.free(tx_[i]);
  tx_count_ = 0;
}

PortCounters EthPort::counters() const {
  PortCounters c = counters_;
  rte_eth_stats stats;
  if (rte_eth_stats_get(port_, &stats) == 0) {
    c.rx_missed = stats.imissed + stats.ierrors + stats.rx_nombuf;
    c.tx_errors = stats.oerrors;
  }
  return c;
}

}  // namespace mayfly
