// What the firewall remembers of traffic that a `keep-state` rule let through, so that the answers
// pass as well.
//
// A bounded, set-associative table: the flow's two ends and protocol (hashed so that both
// directions meet) name a set of four entries; a full set forgets the entry that would have expired
// first. No lists, no timers, no allocation: an entry is valid while its time has not come.
//
//   sets_ -> | e e e e | e e e e | ...      dirty_: one bit per set that was ever written, so that
//                                           reset() costs what was used
//
// Entries are of two kinds: flows (ports are the transport's, or an ICMP echo's identifier twice),
// and fragments (ports hold the datagram's identification): a first fragment that passed lets the
// later ones of its datagram pass for kFragmentNs. Later fragments that overtake the first are
// dropped.
//
// A bound instance may lose a state early when its tenant opens more flows than fit; it never
// gains one: an entry holds all of the tuple, not a hash of it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "nfs/firewall_rules.h"

namespace mayfly {

struct FlowTuple {
  Address6 source, destination;  // IPv4 as ::ffff:a.b.c.d
  uint16_t source_port, destination_port;
  uint8_t protocol;
  bool is_ipv6;  // an IPv6 packet may carry mapped addresses, too
  bool is_fragment;
  bool operator==(const FlowTuple&) const = default;

  FlowTuple reversed() const {
    return {destination, source, destination_port, source_port, protocol, is_ipv6, is_fragment};
  }
};

enum class Ways : uint8_t { one, both };  // as remembered; or also reversed

class StateTable {
 public:
  static constexpr uint64_t kFragmentNs = 15'000'000'000;  // as RFC 791's reassembly timer
  static constexpr uint64_t kClosingNs = 10'000'000'000;   // after FIN or RST
  static constexpr uint32_t kSetEntries = 4;

  explicit StateTable(uint32_t entry_count);  // rounded up to a power of two, at least 4

  bool empty() const { return written_ == 0; }

  // Is this packet of a remembered flow? Then its time begins anew, unless `closing` (FIN or RST)
  // ends it.
  bool refresh(const FlowTuple& tuple, Ways ways, uint64_t now_ns, uint64_t idle_ns, bool closing);

  // The same, but nothing changes. (What an ICMP error quotes.)
  bool knows(const FlowTuple& tuple, Ways ways, uint64_t now_ns) {
    return find(tuple, ways, now_ns) != nullptr;
  }

  void remember(const FlowTuple& tuple, uint64_t now_ns, uint64_t idle_ns);

  // Forgets what `keep(tuple)` refuses (rules have changed).
  template <class Keep>
  void prune(Keep keep) {
    for (uint32_t set = 0; set <= set_mask_ && !empty(); ++set) {
      if (!is_dirty(set)) continue;
      for (uint32_t way = 0; way < kSetEntries; ++way) {
        Entry& e = entries_[set * kSetEntries + way];
        if (e.expires_ns != 0 && !keep(e.tuple)) e.expires_ns = 0;
      }
    }
  }

  void reset();

 private:
  struct Entry {
    FlowTuple tuple;
    uint64_t expires_ns;  // 0: empty
    bool closing;
  };
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  Entry* find(const FlowTuple& tuple, Ways ways, uint64_t now_ns);
  uint32_t set_of(const FlowTuple& tuple) const;
  bool is_dirty(uint32_t set) const { return dirty_[set / 64] >> (set % 64) & 1; }

  uint32_t set_mask_;
  uint32_t written_ = 0;  // entries ever written since reset
  std::unique_ptr<Entry[], Free> entries_;
  std::vector<uint64_t> dirty_;
};

}  // namespace mayfly
