// A single-producer single-consumer ring of descriptors between two processes.
//
//        consumer index                producer index
//             v                             v
//   entries: [ ][d][d][d][d][d][ ][ ][ ][ ]       both indices run free (mod 2^32);
//                                                  entry of index i = entries[i & mask]
//
// The indices live in the slot, each on the cache line of the side that writes it. Each side
// keeps a private copy of its own index and a cached one of the other's, which it re-reads only
// when the ring looks full (producer) or empty (consumer).
//
// Memory order: the producer writes entries, then publishes its index with release; the consumer
// reads it with acquire, then the entries. The consumer publishes its index with release after
// it has read the entries, the producer reads it with acquire before it overwrites them.
//
// Trust: the vSwitch takes the other side's index through `checked_distance`, so a scribbled
// index is a violation, never an overrun.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "runtime/abi/descriptor.h"

namespace mayfly {

using RingIndex = std::atomic<uint32_t>;
static_assert(RingIndex::is_always_lock_free && sizeof(RingIndex) == 4);

// `peer - mine` if it is a possible fill (0..capacity), nothing if the peer's index is a lie.
constexpr std::optional<uint32_t> checked_distance(uint32_t peer, uint32_t mine,
                                                   uint32_t capacity) {
  const uint32_t distance = peer - mine;
  if (distance > capacity) return std::nullopt;
  return distance;
}

// The producing end. `entries` has a power-of-two `mask + 1` entries.
class RingProducer {
 public:
  RingProducer() = default;
  RingProducer(Descriptor* entries, uint32_t mask) : entries_(entries), mask_(mask) {}

  uint32_t capacity() const { return mask_ + 1; }
  uint32_t written() const { return index_; }
  uint32_t known_fill() const { return index_ - peer_; }

  // Room for one more? Re-reads the consumer's index only when the ring looks full. False also
  // when that index is impossible: `lied()` then tells.
  bool has_room(const RingIndex& consumer) {
    if (known_fill() < capacity()) return true;
    // acquire pairs with the consumer's release: it has finished reading what we overwrite.
    const uint32_t now = consumer.load(std::memory_order_acquire);
    if (index_ - now > capacity() || now - peer_ > capacity()) {
      lied_ = true;
      return false;
    }
    peer_ = now;
    return known_fill() < capacity();
  }
  bool lied() const { return lied_; }

  // Only after has_room(). Not visible to the consumer before publish().
  void write(Descriptor d) { entries_[index_++ & mask_] = d; }

  // release pairs with the consumer's acquire of this index: it sees the entries.
  void publish(RingIndex& producer) const { producer.store(index_, std::memory_order_release); }

  void restart(uint32_t at = 0) { index_ = peer_ = at, lied_ = false; }

 private:
  Descriptor* entries_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t index_ = 0;
  uint32_t peer_ = 0;
  bool lied_ = false;
};

// The consuming end.
class RingConsumer {
 public:
  RingConsumer() = default;
  RingConsumer(const Descriptor* entries, uint32_t mask) : entries_(entries), mask_(mask) {}

  uint32_t capacity() const { return mask_ + 1; }
  uint32_t taken() const { return index_; }

  // How many entries wait; nothing if the producer's index is impossible.
  std::optional<uint32_t> waiting(const RingIndex& producer) const {
    // acquire pairs with the producer's release: the entries below its index are written.
    return checked_distance(producer.load(std::memory_order_acquire), index_, capacity());
  }
  // Reads the next entry, once. Only while waiting() said so.
  Descriptor take() {
    const volatile uint64_t* cell = &entries_[index_++ & mask_].bits;
    return {*cell};
  }
  // release pairs with the producer's acquire: we no longer need the entries.
  void publish(RingIndex& consumer) const { consumer.store(index_, std::memory_order_release); }

  void restart(uint32_t at = 0) { index_ = at; }

 private:
  const Descriptor* entries_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t index_ = 0;
};

}  // namespace mayfly
