// The Mayfly SDK: everything a network function (NF) needs, in one header. No DPDK, no threads,
// no allocation on the packet path. docs/writing-an-nf.md is the guided tour.
//
// An NF is a class with four calls, built into a shared object (an "image") that a small parent
// process loads once and then forks into thousands of instances, one process each:
//
//   create(config)        once, in the parent, before any fork: the one-time init()
//   bind(binding)         this instance now serves that tenant or flow, with that configuration
//   process(burst)        packets in, verdicts out
//   tick(now)             every `tick_period_ns`, while bound
//   reset()               the flow has ended: forget it; the next call is a bind() for another
//
// One instance is single-threaded: no two of these calls ever overlap. A call must return: one
// that never does keeps the packets its instance holds (a ring's worth at most) until it is killed.
// A call that has to wait for something (a disk, a lock, another process) does so in
// without_core(): else every other NF of its core may wait with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mayfly {

inline constexpr uint32_t kSdkVersion = 2;  // an image of another version is refused by name

// ---------------------------------------------------------------------------------------------
// Packets

// What becomes of a packet once process() returns.
enum class Verdict : uint8_t {
  next,  // the default: on to the chain's next NF, or out of the flow's port after the last one
  drop,  // counted as `nf_drop`
  out,   // leaves the chain here, by the port given to Packet::out()
};

// One packet (a whole Ethernet frame, tags included) in its buffer:
//
//   buffer |<-- headroom -->|<-- data(), size() -->|<-- tailroom -->| end
//
// Everything between buffer and end is the NF's to write while it holds the packet. A Packet is
// valid during the process() or tick() call it was given to, not after.
class Packet {
 public:
  Packet() = default;
  // For the runtime and for tests: `buffer` of `capacity` bytes with the packet at `offset`.
  Packet(uint8_t* buffer, uint32_t capacity, uint32_t offset, uint32_t size, uint8_t port_in)
      : buffer_(buffer), capacity_(capacity), offset_(offset), size_(size), port_in_(port_in) {}

  uint8_t* data() { return buffer_ + offset_; }
  const uint8_t* data() const { return buffer_ + offset_; }
  uint32_t size() const { return size_; }  // bytes
  std::span<uint8_t> bytes() { return {data(), size_}; }
  std::span<const uint8_t> bytes() const { return {data(), size_}; }

  // The configured port it came in by, counted from 0 in the order of `ports:`.
  uint8_t port_in() const { return port_in_; }

  uint32_t headroom() const { return offset_; }
  uint32_t tailroom() const { return capacity_ - offset_ - size_; }

  // Grow or shrink at either end, in bytes. False, and nothing changed, if there is no room. New
  // bytes are not initialised. A packet never exceeds 65,535 bytes, nor starts past byte 2,047 of
  // its buffer.
  bool prepend(uint32_t n) {
    if (n > headroom() || size_ + n > kSizeMax) return false;
    offset_ -= n, size_ += n;
    return true;
  }
  bool append(uint32_t n) {
    if (n > tailroom() || size_ + n > kSizeMax) return false;
    size_ += n;
    return true;
  }
  bool strip_front(uint32_t n) {
    if (n > size_ || offset_ + n > kOffsetMax) return false;
    offset_ += n, size_ -= n;
    return true;
  }
  bool strip_back(uint32_t n) {
    if (n > size_) return false;
    size_ -= n;
    return true;
  }

  void next() { verdict_ = Verdict::next; }
  void drop() { verdict_ = Verdict::drop; }
  void out(uint8_t port) { verdict_ = Verdict::out, out_port_ = port; }

  Verdict verdict() const { return verdict_; }
  uint8_t out_port() const { return out_port_; }  // of Verdict::out
  uint32_t offset() const { return offset_; }

 private:
  static constexpr uint32_t kSizeMax = 65535;
  static constexpr uint32_t kOffsetMax = 2047;

  uint8_t* buffer_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t offset_ = 0;
  uint32_t size_ = 0;
  uint8_t port_in_ = 0;
  Verdict verdict_ = Verdict::next;
  uint8_t out_port_ = 0;
};

// What process() is given: 1 to 64 packets in arrival order, and the means to send new ones.
class Burst {
 public:
  Burst(std::span<Packet> packets, std::span<Packet> blanks, uint64_t now_ns)
      : packets_(packets), blanks_(blanks), now_ns_(now_ns) {}

  Packet* begin() { return packets_.data(); }
  Packet* end() { return packets_.data() + packets_.size(); }
  size_t size() const { return packets_.size(); }
  Packet& operator[](size_t i) { return packets_[i]; }

  // Monotonic, from an arbitrary start, read once per burst.
  uint64_t now_ns() const { return now_ns_; }

  // A new packet of `size` uninitialised bytes, to be filled and given a verdict before process()
  // returns: next() (the default: on from this NF's place in the chain) or out(port). drop() or
  // no call at all gives the buffer back. Null when no blank buffer is at hand: an image that
  // originates packets says so in NfImage::blank_buffers, and the runtime then keeps that many
  // ready; treat null as congestion and go on without.
  Packet* originate(uint32_t size) {
    if (originated_ == blanks_.size()) return nullptr;
    Packet& blank = blanks_[originated_];
    if (!blank.append(size)) return nullptr;
    ++originated_;
    return &blank;
  }
  size_t originated() const { return originated_; }

 private:
  std::span<Packet> packets_;
  std::span<Packet> blanks_;
  size_t originated_ = 0;
  uint64_t now_ns_;
};

// ---------------------------------------------------------------------------------------------
// Binding

// The configuration as the struct that compile() wrote at its front; null if it is too short.
template <class T>
const T* config_as(std::span<const std::byte> config) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 64);
  return config.size() < sizeof(T) ? nullptr : reinterpret_cast<const T*>(config.data());
}

inline constexpr uint32_t kNoTenant = 0xffffffff;

// What this instance serves from now on. `config` is what the image's compile() made of the
// tenant's arguments, at most 64 KiB, read-only, 64-byte aligned, shared by all instances of the
// tenant, and valid until the next bind() or reset(): use it in place, do not copy it.
//
// bind() comes again without a reset() when the tenant's arguments change while the flow lives:
// take over the new configuration, keep your state. `key` is then the same.
struct Binding {
  // How `key` reads: 1 MAC (6 bytes); 2 VLAN tags (two big-endian uint16, outer, inner or 0);
  // 3 address (16 bytes, IPv4 as ::ffff:a.b.c.d); 4 pair of addresses (smaller first);
  // 5 five-tuple (address, port; address, port; protocol; smaller end first); 6 rule (uint16).
  uint8_t key_kind = 0;
  std::span<const uint8_t> key;
  uint32_t tenant = kNoTenant;  // the tenant's number in this run
  std::span<const std::byte> config;

  template <class T>
  const T* config_as() const {
    return mayfly::config_as<T>(config);
  }
};

class NetworkFunction {
 public:
  virtual ~NetworkFunction() = default;
  virtual void bind(const Binding& binding) { (void)binding; }
  virtual void process(Burst& burst) = 0;
  virtual void tick(uint64_t now_ns) { (void)now_ns; }
  virtual void reset() {}
};

// ---------------------------------------------------------------------------------------------
// Waiting

// What the runtime has put into the image; not for NFs.
struct CoreHandle {
  void (*release)(void* loop) = nullptr;  // null: there is no core to give up
  void (*regain)(void* loop) = nullptr;
  void* loop = nullptr;
};
inline CoreHandle core_handle;

// Gives the core up while it lives. For work that waits: under `dispatch: baton` the others of this
// core go on meanwhile, and this NF joins them again, at its turn, when it is destroyed; nobody
// takes it for one that keeps the core too long. Under every other dispatch, in create() and in
// tests it does nothing. In process(), tick(), bind() and reset(), as deep as one likes; not for
// work that computes: that would take the core from whoever has it.
//
// The packets of the burst stay as they are meanwhile, and others wait in this NF's ring. It costs
// a hand-over and a wake-up, some microseconds, and the wait for the next turn: for what takes
// longer than that.
class CoreRelease {
 public:
  CoreRelease() {
    if (core_handle.release != nullptr) core_handle.release(core_handle.loop);
  }
  ~CoreRelease() {
    if (core_handle.regain != nullptr) core_handle.regain(core_handle.loop);
  }
  CoreRelease(const CoreRelease&) = delete;
  CoreRelease& operator=(const CoreRelease&) = delete;
};

//   const int error = mayfly::without_core([&] { return fsync(log_); });
template <class Work>
decltype(auto) without_core(Work&& work) {
  const CoreRelease released;
  return std::forward<Work>(work)();
}

// ---------------------------------------------------------------------------------------------
// Arguments

// One argument the configuration may give. The runtime checks presence, type, unit and bounds and
// reports errors with file and line; compile() sees only valid values.
enum class ArgType : uint8_t {
  integer,   // 42
  boolean,   // true
  rate,      // 20Mpps, 100Mbps; stored per second, in packets or bits
  duration,  // 30s, 200us; stored in nanoseconds
  size,      // 64KiB; stored in bytes
  text,      // any string
  file,      // a path, relative to the configuration; compile() gets the file's content
};

struct NfArg {
  const char* name;
  ArgType type;
  const char* help;      // one line, with the unit
  const char* fallback;  // the value if absent, as one would write it; null: required
  uint64_t min = 0;      // of the stored number
  uint64_t max = UINT64_MAX;
};

// Validated arguments, every one of NfImage::args present (given or by its fallback).
class Args {
 public:
  virtual ~Args() = default;
  virtual uint64_t number(std::string_view name) const = 0;        // all numeric types, boolean 0/1
  virtual std::string_view text(std::string_view name) const = 0;  // text; a file's content
};

// Why compile() refuses a value. `line` counts from 1 within the content of a file argument, 0
// otherwise. The runtime prints "FILE:LINE: message".
struct ArgError {
  std::string arg;
  uint32_t line = 0;
  std::string message;
};

// ---------------------------------------------------------------------------------------------
// The image

struct NfImage {
  uint32_t sdk_version = kSdkVersion;
  const char* name;     // lower_snake_case
  const char* summary;  // one line
  std::span<const NfArg> args;

  // Turns arguments into the bytes that bind() will see (at most 64 KiB). Runs in a process of its
  // own, never beside packets. True, or false with `error` filled. Null: the NF has no
  // configuration.
  bool (*compile)(const Args& args, std::vector<std::byte>& config, ArgError& error);

  // Builds the NF, once per parent process, with the compiled arguments of `nfs:`; all instances
  // begin as copies of it. Null on failure (the reason on stderr).
  NetworkFunction* (*create)(std::span<const std::byte> config);

  uint64_t tick_period_ns = 0;  // 0: no tick()
  uint32_t blank_buffers = 0;   // kept ready for originate(), at most 16

  CoreHandle* core = &core_handle;  // as it is
};

// For compile(): appends a trivially copyable value to the configuration.
template <class T>
void append_config(std::vector<std::byte>& config, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  config.insert(config.end(), begin, begin + sizeof(T));
}

}  // namespace mayfly

// Put once at the end of an image's source: MAYFLY_NF_IMAGE(kImage);
#define MAYFLY_NF_IMAGE(image)                                                                   \
  extern "C" __attribute__((visibility("default"))) const ::mayfly::NfImage* mayfly_nf_image() { \
    return &(image);                                                                             \
  }                                                                                              \
  static_assert(true)
