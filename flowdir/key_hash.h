// A keyed 64-bit hash of a PacketKey, for tables that a stranger fills.
//
// First stage: NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", CRYPTO 1999) over the seven
// 64-bit words of the key, with secret words k:
//
//     sum = (w0 + k0)(w1 + k1) + (w2 + k2)(w3 + k3) + (w4 + k4)(w5 + k5) + (w6 + k6) k7   mod 2^128
//
// For any two different keys, over the choice of the secret, the sums are equal with probability
// 2^-64 at most: whoever does not know the secret cannot choose flows that collide. The four
// products do not wait for each other. Second stage: the 128 bits are folded to 64 so that every
// bit of them moves bucket and tag.
//
// What breaks if a rule is dropped: with fixed k's an attacker computes collisions offline and
// every look-up walks full buckets; without the second stage the low bits of the hash depend on the
// low bits of the fields alone.
#pragma once

#include <cstdint>
#include <cstring>

#include "flowdir/packet_key.h"

namespace mayfly {

// A number nobody can guess, from the kernel.
uint64_t fresh_secret();

class KeyHash {
 public:
  explicit KeyHash(uint64_t secret) {
    for (uint64_t& word : secret_) word = next(secret);
    secret_[7] |= 1;
  }

  uint64_t operator()(const PacketKey& key) const {
    uint64_t w[7];
    std::memcpy(w, &key, sizeof w);
    const Wide sum = product(w[0] + secret_[0], w[1] + secret_[1]) +
                     product(w[2] + secret_[2], w[3] + secret_[3]) +
                     product(w[4] + secret_[4], w[5] + secret_[5]) +
                     product(w[6] + secret_[6], secret_[7]);
    const Wide folded = product(static_cast<uint64_t>(sum) ^ secret_[8],
                                static_cast<uint64_t>(sum >> 64) ^ secret_[9]);
    const uint64_t mixed = (static_cast<uint64_t>(folded) ^ static_cast<uint64_t>(folded >> 64));
    return (mixed ^ (mixed >> 32)) * 0x9e3779b97f4a7c15;
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static Wide product(uint64_t a, uint64_t b) { return static_cast<Wide>(a) * b; }
  // splitmix64 (Steele, Lea, Flood, OOPSLA 2014): the secret words from one seed.
  static uint64_t next(uint64_t& state) {
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t secret_[10];
};
static_assert(sizeof(PacketKey) == 64, "seven words that count and one that is zero");

}  // namespace mayfly
