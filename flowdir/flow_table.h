// The flow table: masked packet keys -> flow entries, for one vSwitch lcore. Fixed size, no
// allocation after construction, no tombstones, hash keyed by a secret so that nobody can choose
// colliding flows (key_hash.h).
//
// Look-up is staged for a burst so that the cache misses of its packets overlap:
//   hash() all -> prefetch(hash) all -> prefetch_entry(hash) all -> find() all
//
// Theory. Two arrays. `entries_` holds the flows (128 bytes each; FlowId is the index, it never
// moves). `buckets_` says where: a bucket is one cache line with ten 16-bit tags and ten 32-bit
// entry numbers, so ten candidates are told apart by one compare before any entry is touched.
//
//   hash  63........48 47......20 19........0      a bucket
//         tag          step       home             | 10 tags | strays | 10 entry numbers |
//
// A flow lies in its home bucket, or, when that was full, in its second one (home ^ step, never the
// same). `strays` of the home bucket counts those: when it is 0, a look-up that finds nothing is
// over after one line. With at most eight flows a bucket on average some 95 % of the flows are at
// home. When both are full, a flow of either moves to its own other bucket, or makes room there in
// the same way (two steps at most, so at most 220 buckets are looked at: with 80 % of the places
// taken the first few attempts succeed; insert() says "full" otherwise, and the packet is counted).
//
// Invariants: a tag of 0 marks an empty place; strays(b) = live flows with home b outside b; an
// entry number stands in exactly one bucket while its entry is live.
#pragma once

#include <emmintrin.h>
#include <smmintrin.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "flowdir/key_hash.h"
#include "flowdir/packet_key.h"
#include "runtime/base/types.h"

namespace mayfly {

// What the vSwitch keeps per flow; the table stores it, and does not look inside.
struct FlowState {
  BindingId binding{};  // the bound chain
  RuleId rule{};
  PortId out{};         // kNone<PortId>: no port after the chain
  uint8_t closing = 0;  // FIN or RST seen: lingers
  uint64_t packets = 0;
  uint64_t bytes = 0;
  Cycles last_seen{};
  uint32_t tenant = 0xffffffff;
  uint32_t reserved = 0;
};

struct alignas(64) FlowEntry {
  PacketKey key;
  FlowState state;
  uint64_t hash;       // kept so that erase and moves need no rehash
  uint32_t next_free;  // the table's own: kLive, or the next entry of the free list
};
static_assert(sizeof(FlowEntry) == 128);

class FlowTable {
 public:
  // Room for `flow_count_max` flows. `secret` seeds the hash (fresh_secret() at start, fixed in
  // tests). Takes and touches all its memory here: 128 bytes a flow and 64 for every four to eight.
  // Throws std::bad_alloc.
  FlowTable(uint32_t flow_count_max, uint64_t secret);
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  uint64_t hash(const PacketKey& masked) const { return hash_(masked); }
  void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[home(hash)]); }  // the bucket
  void prefetch_entry(uint64_t hash) const;  // the likely entry; after prefetch() landed
  FlowId find(const PacketKey& masked, uint64_t hash) const;  // kNone<FlowId> if absent
  // kNone<FlowId> if full. The key must be absent. The entry's state is as constructed.
  FlowId insert(const PacketKey& masked, uint64_t hash);
  void erase(FlowId flow);  // must be live

  FlowEntry& entry(FlowId flow) { return entries_[index(flow)]; }
  const FlowEntry& entry(FlowId flow) const { return entries_[index(flow)]; }
  bool live(FlowId flow) const {
    return index(flow) < used_ && entries_[index(flow)].next_free == kLive;
  }
  uint32_t size() const { return size_; }
  uint32_t capacity() const { return capacity_; }
  // All live flows have ids below this: the bound of a walk over them (`flow ls`).
  uint32_t id_bound() const { return used_; }
  // Walks the whole table and says whether the invariants above hold: for tests.
  bool invariants_hold() const;

 private:
  static constexpr uint32_t kPlaces = 10;
  static constexpr uint32_t kLive = 0xffffffff;
  static constexpr uint32_t kEndOfList = 0xfffffffe;
  static constexpr uint32_t kMoves = 2;

  struct alignas(kCacheLineBytes) Bucket {
    uint16_t tags[kPlaces];  // 0: empty
    uint32_t strays;
    uint32_t flows[kPlaces];
  };
  static_assert(sizeof(Bucket) == kCacheLineBytes);

  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };
  template <class T>
  using Mapped = std::unique_ptr<T[], Unmap>;
  template <class T>
  static Mapped<T> map_zeroed(size_t count);

  uint32_t home(uint64_t hash) const { return static_cast<uint32_t>(hash) & bucket_mask_; }
  uint32_t other(uint32_t bucket, uint64_t hash) const {
    return bucket ^ ((static_cast<uint32_t>(hash >> 20) & bucket_mask_) | 1);
  }
  static uint16_t tag(uint64_t hash) {
    const uint16_t top = static_cast<uint16_t>(hash >> 48);
    return top + (top == 0);
  }
  // Bit i: place i holds this tag.
  static uint32_t places_of(const Bucket& bucket, uint16_t tag);
  static bool same(const PacketKey& a, const PacketKey& b);
  FlowId find_in(const Bucket& bucket, uint16_t tag, const PacketKey& masked) const;
  void prefetch_lines(uint32_t flow) const;

  uint32_t place_with_room(uint32_t bucket, uint32_t moves);
  bool put(uint32_t bucket, uint32_t moves, uint32_t flow, uint64_t hash);
  void take_out(uint32_t bucket, uint32_t place, uint64_t hash);

  const KeyHash hash_;
  const uint32_t capacity_;
  const uint32_t bucket_mask_;
  uint32_t size_ = 0;
  uint32_t used_ = 0;                // entries that were ever live
  uint32_t free_list_ = kEndOfList;  // of those below used_; last freed first, it is warm
  Mapped<Bucket> buckets_;
  Mapped<FlowEntry> entries_;
};

// Datagrams in fragments (RFC 791, 8200): whichever fragment comes first decides for all of them
// where they go: with the ports of the first fragment when that came first, without ports when a
// later one did. Fixed size, oldest forgotten first.
//
// A ring of datagrams in the order in which they were first seen, and a hash table of chains over
// it; both of fixed size, each step O(1).
class FragmentTable {
 public:
  explicit FragmentTable(uint32_t datagram_count, uint64_t secret = fresh_secret());
  // Rewrites parsed.key's ports (and protocol, where IPv6 headers behind the fragment header hide
  // it from later fragments) so that all fragments of its datagram agree. Only for packets whose
  // fragment is not `none`.
  void steer(ParsedPacket& parsed, Cycles now, Cycles lifetime);

 private:
  static constexpr uint32_t kEnd = 0xffffffff;

  struct alignas(64) Datagram {
    PacketKey id;  // addresses, tags, port, IPv4 protocol; identification for ports
    Cycles first_seen;
    uint64_t hash;
    uint32_t next = kEnd;     // in its chain
    Be16 src_port, dst_port;  // what all fragments go by
    uint8_t protocol = 0;
    bool used = false;
  };

  static PacketKey datagram_of(const ParsedPacket& parsed);
  Datagram* find(const PacketKey& id, uint64_t hash);
  Datagram& replace_oldest(const PacketKey& id, uint64_t hash);
  void unchain(uint32_t datagram);
  uint32_t& chain(uint64_t hash) { return chains_[hash & (chains_.size() - 1)]; }

  const KeyHash hash_;
  std::vector<Datagram> datagrams_;
  std::vector<uint32_t> chains_;  // first datagram of each
  uint32_t oldest_ = 0;
};

inline uint32_t FlowTable::places_of(const Bucket& bucket, uint16_t tag) {
  const auto* lines = reinterpret_cast<const __m128i*>(&bucket);
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
  const __m128i hits = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(lines), wanted),
                                       _mm_cmpeq_epi16(_mm_load_si128(lines + 1), wanted));
  return static_cast<uint32_t>(_mm_movemask_epi8(hits)) & ((1u << kPlaces) - 1);
}

inline bool FlowTable::same(const PacketKey& a, const PacketKey& b) {
  const auto* x = reinterpret_cast<const __m128i*>(&a);
  const auto* y = reinterpret_cast<const __m128i*>(&b);
  __m128i difference = _mm_xor_si128(_mm_load_si128(x), _mm_load_si128(y));
  for (int i = 1; i < 4; ++i) {
    difference =
        _mm_or_si128(difference, _mm_xor_si128(_mm_load_si128(x + i), _mm_load_si128(y + i)));
  }
  return _mm_testz_si128(difference, difference);
}

inline FlowId FlowTable::find_in(const Bucket& bucket, uint16_t tag,
                                 const PacketKey& masked) const {
  for (uint32_t places = places_of(bucket, tag); places != 0; places &= places - 1) {
    const uint32_t flow = bucket.flows[std::countr_zero(places)];
    if (same(entries_[flow].key, masked)) return FlowId{flow};
  }
  return kNone<FlowId>;
}

inline FlowId FlowTable::find(const PacketKey& masked, uint64_t hash) const {
  const Bucket& first = buckets_[home(hash)];
  const FlowId at_home = find_in(first, tag(hash), masked);
  if (at_home != kNone<FlowId> || first.strays == 0) return at_home;
  return find_in(buckets_[other(home(hash), hash)], tag(hash), masked);
}

inline void FlowTable::prefetch_lines(uint32_t flow) const {
  const char* entry = reinterpret_cast<const char*>(&entries_[flow]);
  __builtin_prefetch(entry);
  __builtin_prefetch(entry + kCacheLineBytes);
}

inline void FlowTable::prefetch_entry(uint64_t hash) const {
  const Bucket& first = buckets_[home(hash)];
  const uint32_t places = places_of(first, tag(hash));
  if (places != 0) return prefetch_lines(first.flows[std::countr_zero(places)]);
  if (first.strays != 0) __builtin_prefetch(&buckets_[other(home(hash), hash)]);
}

}  // namespace mayfly
