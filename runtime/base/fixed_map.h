// A hash map that is sized once: after construction it neither allocates nor rehashes, whatever
// comes and goes. (absl::flat_hash_map leaves tombstones; when they have used up its room it
// rehashes, in place or into new memory, in the middle of somebody's turn.)
//
// Theory. Open addressing with linear probing: an entry lies at its home place, or as near behind
// it as there was room. Erasing closes the gap: later entries of the run move back, each no further
// than its home (Knuth, TAOCP 3, section 6.4, algorithm R).
//
//     home of   c        a b            c is erased: a stays, it is at home; b, whose home is a's
//     places  . c b a ...               place or before, moves into the gap
//
// Invariant: no place between an entry's home and the entry itself is empty. So a search ends at
// the first empty place, and its length depends on what is in the map now, not on what once was.
// At most three quarters of the places are taken: a search that fails looks at 8.5 on average.
//
// `Hash` must be keyed by a secret where strangers choose the keys.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/base/check.h"

namespace mayfly {

template <class Key, class Value, class Hash>
class FixedMap {
 public:
  explicit FixedMap(size_t capacity, Hash hash = Hash{})
      : hash_(std::move(hash)),
        capacity_(capacity),
        places_(std::bit_ceil(capacity + capacity / 3 + 1)),
        mask_(places_.size() - 1) {}

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Null if absent. Valid until the next insert or erase.
  const Value* find(const Key& key) const {
    const size_t at = search(key, tag(key));
    return places_[at].tag == 0 ? nullptr : &places_[at].value;
  }
  // Inserts, or replaces the value of a key that is there. Never more than `capacity` keys.
  void put(const Key& key, const Value& value) {
    const uint32_t its_tag = tag(key);
    Place& place = places_[search(key, its_tag)];
    if (place.tag == 0) {
      MAYFLY_CHECK(size_ < capacity_);
      ++size_;
      place.tag = its_tag;
      place.key = key;
    }
    place.value = value;
  }
  void erase(const Key& key) {  // no-op if absent
    size_t gap = search(key, tag(key));
    if (places_[gap].tag == 0) return;
    --size_;
    for (size_t at = next(gap); places_[at].tag != 0; at = next(at)) {
      // It may fill the gap unless its home lies behind the gap.
      const size_t from_home = (at - places_[at].tag) & mask_;
      if (from_home < ((at - gap) & mask_)) continue;
      places_[gap] = places_[at];
      gap = at;
    }
    places_[gap].tag = 0;
  }

 private:
  struct Place {
    uint32_t tag = 0;  // 0: empty; otherwise the hash, whose low bits are the home
    Key key{};
    Value value{};
  };

  uint32_t tag(const Key& key) const {
    const auto hash = static_cast<uint32_t>(hash_(key));
    return hash == 0 ? 1 : hash;
  }
  size_t next(size_t at) const { return (at + 1) & mask_; }
  // Where the key is, or the empty place where it would go.
  size_t search(const Key& key, uint32_t its_tag) const {
    size_t at = its_tag & mask_;
    while (places_[at].tag != 0 && !(places_[at].tag == its_tag && places_[at].key == key))
      at = next(at);
    return at;
  }

  const Hash hash_;
  const size_t capacity_;
  size_t size_ = 0;
  std::vector<Place> places_;
  const size_t mask_;
};

}  // namespace mayfly
