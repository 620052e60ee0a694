// A packet as it crosses between the vSwitch and an NF: 8 bytes by value.
//
//   63      56 55  53 52  49 48         38 37           22 21                    0
//  +----------+------+------+-------------+---------------+-----------------------+
//  | argument | op   | gen  | offset (11) | length (16)   | buffer index (22)     |
//  +----------+------+------+-------------+---------------+-----------------------+
//
// buffer index  the arena's small buffers (2 KiB) first, then its jumbo buffers (64 KiB)
// length        bytes of the packet, 0..65535
// offset        where the packet begins in its buffer, 0..2047, in either class
// gen           generation of the buffer's present loan: a replayed descriptor is recognised
// op, argument  to the NF: what this is; from the NF: its verdict (enums below)
//
// An NF can write anything here. The vSwitch reads a descriptor once into a local, checks it
// against its private record of who holds which buffer, and only then uses it.
#pragma once

#include <cstdint>

#include "runtime/base/limits.h"
#include "runtime/base/types.h"

namespace mayfly {

// vSwitch -> NF.
enum class ToNf : uint8_t {
  packet = 0,  // argument: the port it came in by
  blank = 1,   // an empty buffer on loan, for originating; length 0, offset = kHeadroomBytes
};

// NF -> vSwitch.
enum class FromNf : uint8_t {
  next = 0,            // on to the next NF of the chain, or out of the rule's port after the last
  drop = 1,
  out = 2,             // argument: port; leaves the chain here
  service = 3,         // argument: entry of the chain's steering table (reserved; a violation today)
  originate_next = 4,  // a blank now holds a packet: on from this NF's place in the chain
  originate_out = 5,   // argument: port
  return_blank = 6,    // an unused blank comes back
  ask_blanks = 7,      // argument: how many; carries no buffer (index, length, offset 0)
};
inline constexpr uint8_t kFromNfCount = 8;

struct Descriptor {
  uint64_t bits = 0;

  static constexpr uint32_t kIndexMask = (1u << kBufferIndexBits) - 1;

  static constexpr Descriptor make(BufferId buffer, uint32_t generation, uint32_t offset,
                                   uint32_t length, uint8_t op, uint8_t argument) {
    return {uint64_t{raw(buffer)} | (uint64_t{length} << 22) | (uint64_t{offset} << 38) |
            (uint64_t{generation & 0xf} << 49) | (uint64_t{op} << 53) |
            (uint64_t{argument} << 56)};
  }
  constexpr BufferId buffer() const { return BufferId{static_cast<uint32_t>(bits) & kIndexMask}; }
  constexpr uint32_t length() const { return static_cast<uint32_t>(bits >> 22) & 0xffff; }
  constexpr uint32_t offset() const { return static_cast<uint32_t>(bits >> 38) & 0x7ff; }
  constexpr uint32_t generation() const { return static_cast<uint32_t>(bits >> 49) & 0xf; }
  constexpr uint8_t op() const { return static_cast<uint8_t>(bits >> 53) & 0x7; }
  constexpr uint8_t argument() const { return static_cast<uint8_t>(bits >> 56); }

  constexpr Descriptor with(FromNf op, uint8_t argument, uint32_t offset, uint32_t length) const {
    return make(buffer(), generation(), offset, length, static_cast<uint8_t>(op), argument);
  }
};
static_assert(sizeof(Descriptor) == 8);
static_assert(kBufferIndexBits == 22, "the shifts above");
static_assert(kSmallBufferBytes == 2048, "an 11-bit offset reaches all of a small buffer");
static_assert(kPortCountMax <= 250, "a port fits the argument");

}  // namespace mayfly
