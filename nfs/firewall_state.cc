#include "nfs/firewall_state.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace mayfly {
namespace {

uint64_t mixed(uint64_t v) {  // splitmix64's finisher
  v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9;
  v = (v ^ (v >> 27)) * 0x94d049bb133111eb;
  return v ^ (v >> 31);
}

uint64_t end_hash(const Address6& address, uint16_t port) {
  return mixed(address.high ^ mixed(address.low + port));
}

}  // namespace

StateTable::StateTable(uint32_t entry_count)
    : set_mask_(std::bit_ceil(std::max(entry_count, kSetEntries)) / kSetEntries - 1),
      // calloc: a page that no flow was ever written to costs no memory in any instance.
      entries_(static_cast<Entry*>(std::calloc((set_mask_ + 1) * kSetEntries, sizeof(Entry)))),
      dirty_(set_mask_ / 64 + 1) {
  if (entries_ == nullptr) throw std::bad_alloc();
}

// A sum: the same for both directions.
uint32_t StateTable::set_of(const FlowTuple& t) const {
  const uint64_t hash =
      end_hash(t.source, t.source_port) + end_hash(t.destination, t.destination_port) + t.protocol;
  return static_cast<uint32_t>(hash >> 32) & set_mask_;
}

StateTable::Entry* StateTable::find(const FlowTuple& tuple, Ways ways, uint64_t now_ns) {
  const uint32_t set = set_of(tuple);
  if (!is_dirty(set)) return nullptr;
  for (uint32_t way = 0; way < kSetEntries; ++way) {
    Entry& e = entries_[set * kSetEntries + way];
    if (e.expires_ns <= now_ns) continue;
    if (e.tuple == tuple || (ways == Ways::both && e.tuple == tuple.reversed())) return &e;
  }
  return nullptr;
}

bool StateTable::refresh(const FlowTuple& tuple, Ways ways, uint64_t now_ns, uint64_t idle_ns,
                         bool closing) {
  Entry* e = find(tuple, ways, now_ns);
  if (e == nullptr) return false;
  if (tuple.is_fragment) return true;
  const bool began_closing = closing && !e->closing;
  e->closing |= closing;
  if (began_closing) e->expires_ns = now_ns + std::min(kClosingNs, idle_ns);
  if (!e->closing) e->expires_ns = now_ns + idle_ns;
  return true;
}

void StateTable::remember(const FlowTuple& tuple, uint64_t now_ns, uint64_t idle_ns) {
  Entry* e = find(tuple, Ways::one, now_ns);
  if (e == nullptr) {
    const uint32_t set = set_of(tuple);
    Entry* first = &entries_[set * kSetEntries];
    e = std::min_element(first, first + kSetEntries, [](const Entry& a, const Entry& b) {
      return a.expires_ns < b.expires_ns;
    });
    dirty_[set / 64] |= uint64_t{1} << (set % 64);
    ++written_;
  }
  *e = {tuple, now_ns + idle_ns, false};
}

void StateTable::reset() {
  if (empty()) return;
  for (uint32_t set = 0; set <= set_mask_; ++set) {
    if (is_dirty(set))
      std::memset(static_cast<void*>(&entries_[set * kSetEntries]), 0, kSetEntries * sizeof(Entry));
  }
  std::fill(dirty_.begin(), dirty_.end(), 0);
  written_ = 0;
}

}  // namespace mayfly
