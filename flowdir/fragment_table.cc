#include <algorithm>
#include <bit>

#include "flowdir/flow_table.h"

namespace mayfly {
namespace {

constexpr uint16_t kEtherIpv6 = 0x86dd;

}  // namespace

FragmentTable::FragmentTable(uint32_t datagram_count, uint64_t secret)
    : hash_(secret),
      datagrams_(std::max(datagram_count, 1u)),
      chains_(std::bit_ceil(datagrams_.size()), kEnd) {}

// What all fragments of one datagram have in common. In IPv6 the protocol is not among it: behind
// the fragment header of the first one more headers may follow.
PacketKey FragmentTable::datagram_of(const ParsedPacket& parsed) {
  PacketKey id = parsed.key;
  std::fill(std::begin(id.src_mac), std::end(id.src_mac), 0);
  std::fill(std::begin(id.dst_mac), std::end(id.dst_mac), 0);
  id.src_port.wire = static_cast<uint16_t>(parsed.fragment_id);
  id.dst_port.wire = static_cast<uint16_t>(parsed.fragment_id >> 16);
  if (id.ethertype == kEtherIpv6) id.protocol = 0;
  return id;
}

FragmentTable::Datagram* FragmentTable::find(const PacketKey& id, uint64_t hash) {
  for (uint32_t i = chain(hash); i != kEnd; i = datagrams_[i].next) {
    if (datagrams_[i].hash == hash && datagrams_[i].id == id) return &datagrams_[i];
  }
  return nullptr;
}

void FragmentTable::unchain(uint32_t datagram) {
  uint32_t* link = &chain(datagrams_[datagram].hash);
  while (*link != datagram) link = &datagrams_[*link].next;
  *link = datagrams_[datagram].next;
}

FragmentTable::Datagram& FragmentTable::replace_oldest(const PacketKey& id, uint64_t hash) {
  const uint32_t at = oldest_;
  oldest_ = at + 1 == datagrams_.size() ? 0 : at + 1;
  Datagram& datagram = datagrams_[at];
  if (datagram.used) unchain(at);
  datagram.id = id;
  datagram.hash = hash;
  datagram.used = true;
  datagram.next = chain(hash);
  chain(hash) = at;
  return datagram;
}

void FragmentTable::steer(ParsedPacket& parsed, Cycles now, Cycles lifetime) {
  const PacketKey id = datagram_of(parsed);
  const uint64_t hash = hash_(id);
  Datagram* known = find(id, hash);
  if (known != nullptr && now.n - known->first_seen.n >= lifetime.n) {
    unchain(static_cast<uint32_t>(known - datagrams_.data()));  // the identification came round
    known->used = false;
    known = nullptr;
  }
  if (known == nullptr) {
    Datagram& fresh = replace_oldest(id, hash);
    fresh.first_seen = now;
    fresh.src_port = parsed.key.src_port;
    fresh.dst_port = parsed.key.dst_port;
    fresh.protocol = parsed.key.protocol;
    return;
  }
  // A connection's FIN or RST must not end the flow that all its portless fragments share.
  if (parsed.key.src_port != known->src_port || parsed.key.dst_port != known->dst_port) {
    parsed.tcp_flags = 0;
  }
  parsed.key.src_port = known->src_port;
  parsed.key.dst_port = known->dst_port;
  parsed.key.protocol = known->protocol;
}

}  // namespace mayfly
