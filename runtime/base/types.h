// Strong types for everything that crosses a function boundary. An index, a count and a size are
// three words; a bare integer is none of them.
#pragma once

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace mayfly {

// Identifiers: dense indices, starting at 0, into the table that their name says.
enum class SlotId : uint32_t {};     // one NF instance's slot (and wake entry, and doorbell bit)
enum class BufferId : uint32_t {};   // one packet buffer of a domain's arena
enum class FlowId : uint32_t {};     // one entry of the flow table
enum class BindingId : uint32_t {};  // one bound service chain: (chain, key) -> instances
enum class TenantId : uint32_t {};
enum class BlobId : uint32_t {};     // one compiled configuration in the bind region
enum class NfId : uint16_t {};       // an entry of the configuration's `nfs:`
enum class ChainId : uint16_t {};
enum class RuleId : uint16_t {};
enum class CoreId : uint16_t {};     // a CPU number of the host
enum class PortId : uint8_t {};      // an entry of the configuration's `ports:`

template <class E>
inline constexpr E kNone = static_cast<E>(static_cast<std::underlying_type_t<E>>(-1));

template <class E>
  requires std::is_enum_v<E>
constexpr std::underlying_type_t<E> raw(E id) {
  return static_cast<std::underlying_type_t<E>>(id);
}
template <class E>
  requires std::is_enum_v<E>
constexpr std::size_t index(E id) {
  return static_cast<std::size_t>(id);
}

// A span of wall-clock time.
struct Nanos {
  int64_t n = 0;
  constexpr auto operator<=>(const Nanos&) const = default;
  constexpr Nanos operator+(Nanos o) const { return {n + o.n}; }
  constexpr Nanos operator-(Nanos o) const { return {n - o.n}; }
};
constexpr Nanos micros(int64_t us) { return {us * 1000}; }
constexpr Nanos millis(int64_t ms) { return {ms * 1000 * 1000}; }
constexpr Nanos seconds(int64_t s) { return {s * 1000 * 1000 * 1000}; }

// A reading of, or a span on, the time stamp counter. One host, one frequency (clock.h).
struct Cycles {
  uint64_t n = 0;
  constexpr auto operator<=>(const Cycles&) const = default;
  constexpr Cycles operator+(Cycles o) const { return {n + o.n}; }
  constexpr Cycles operator-(Cycles o) const { return {n - o.n}; }
};

// Network byte order, as it lies in a packet.
template <class T>
struct BigEndian {
  T wire = 0;
  static constexpr BigEndian of(T host) { return {swap(host)}; }
  constexpr T host() const { return swap(wire); }
  constexpr bool operator==(const BigEndian&) const = default;

 private:
  static constexpr T swap(T v) {
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(v);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(v);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(v);
  }
};
using Be16 = BigEndian<uint16_t>;
using Be32 = BigEndian<uint32_t>;
using Be64 = BigEndian<uint64_t>;
static_assert(std::endian::native == std::endian::little);

inline constexpr std::size_t kCacheLineBytes = 64;

}  // namespace mayfly
