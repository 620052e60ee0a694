// The flow table: masked packet keys -> flow entries, for one vSwitch lcore. Fixed size, no
// allocation after construction, no tombstones, hash keyed by a secret so that nobody can choose
// colliding flows.
//
// Look-up is staged for a burst so that the cache misses of its packets overlap:
//   hash() all -> prefetch(hash) all -> find() all
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "flowdir/packet_key.h"
#include "runtime/base/types.h"

namespace mayfly {

// What the vSwitch keeps per flow; the table stores it, and does not look inside.
struct FlowState {
  BindingId binding{};      // the bound chain
  RuleId rule{};
  PortId out{};             // kNone<PortId>: no port after the chain
  uint8_t closing = 0;      // FIN or RST seen: lingers
  uint64_t packets = 0;
  uint64_t bytes = 0;
  Cycles last_seen{};
  uint32_t tenant = 0xffffffff;
  uint32_t reserved = 0;
};

struct alignas(64) FlowEntry {
  PacketKey key;
  FlowState state;
  uint64_t hash;            // kept so that erase and resize need no rehash
};
static_assert(sizeof(FlowEntry) == 128);

class FlowTable {
 public:
  // Room for at least `flow_count_max` flows. `secret` seeds the hash (random at start, fixed in
  // tests).
  FlowTable(uint32_t flow_count_max, uint64_t secret);
  ~FlowTable();

  uint64_t hash(const PacketKey& masked) const;
  void prefetch(uint64_t hash) const;              // the bucket
  void prefetch_entry(uint64_t hash) const;        // the likely entry; after prefetch() landed
  FlowId find(const PacketKey& masked, uint64_t hash) const;     // kNone<FlowId> if absent
  FlowId insert(const PacketKey& masked, uint64_t hash);         // kNone<FlowId> if full
  void erase(FlowId flow);

  FlowEntry& entry(FlowId flow);
  bool live(FlowId flow) const;
  uint32_t size() const;
  uint32_t capacity() const;

 private:
  struct Bucket;
  // ... (owner of flowdir/ fills this in)
};

// Datagrams in fragments (RFC 791, 8200): whichever fragment comes first decides for all of them
// where they go: with the ports of the first fragment when that came first, without ports when a
// later one did. Fixed size, oldest forgotten first.
class FragmentTable {
 public:
  explicit FragmentTable(uint32_t datagram_count);
  // Rewrites parsed.key's ports so that all fragments of its datagram agree. Only for packets
  // whose fragment is not `none`.
  void steer(ParsedPacket& parsed, Cycles now, Cycles lifetime);
};

}  // namespace mayfly
