// Runs an NF in the process that includes this: for unit tests and benchmarks of NFs, in this tree
// and out of it. Installed with the SDK; header only; throws std::runtime_error when a test is
// written wrongly (an argument the image does not declare, an image that is none).
//
//   NfHarness nf(NfHarness::load("build/my_nf.so"));     // or NfHarness nf(kImage)
//   ASSERT_FALSE(nf.configure({{"limit", "10"}}));       // an ArgError if compile() refuses
//   nf.bind();                                           // as for a new flow; reset() is
//   nf.reset() auto sent = nf.process({frame}, now_ns);             // verdicts, bytes, originated
//   packets
//
// Like the runtime it gives the NF 64 packets at a time at most, keeps blank buffers ready, and
// binds with a configuration that nobody writes to. Unlike the runtime it puts every packet in a
// heap block that ends where the packet ends (tailroom 0, unless asked for), so that a sanitizer
// sees the first byte read too far.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nfs/nf.h"

namespace mayfly {

using Frame = std::vector<uint8_t>;

// What became of a packet.
struct Sent {
  Verdict verdict = Verdict::next;
  uint8_t out_port = 0;  // of Verdict::out
  bool originated = false;
  Frame bytes;
};

class NfHarness {
 public:
  using Given = std::vector<std::pair<std::string, std::string>>;  // as one would write them

  static constexpr uint32_t kHeadroom = 128;  // as the runtime's buffers have it
  static constexpr uint32_t kBlankBytes = 2048;

  explicit NfHarness(const NfImage& image) : image_(image) {
    if (image.sdk_version != kSdkVersion) throw std::runtime_error("image of another SDK version");
  }

  // Loads a shared object, for good.
  static const NfImage& load(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(dlerror());
    auto* entry = reinterpret_cast<const NfImage* (*)()>(dlsym(handle, "mayfly_nf_image"));
    if (entry == nullptr) throw std::runtime_error(path + " is not an NF image");
    return *entry();
  }

  // compile(), and the first time create(). The next bind() brings the result.
  std::optional<ArgError> configure(const Given& given = {}) {
    const HarnessArgs args(image_.args, given);
    std::vector<std::byte> blob;
    ArgError error;
    if (image_.compile != nullptr && !image_.compile(args, blob, error)) return error;
    if (blob.size() > 64 * 1024) throw std::runtime_error("more than 64 KiB of configuration");
    configs_.emplace_back(blob);  // earlier ones stay: the NF may be bound to one
    if (nf_ == nullptr) nf_.reset(image_.create(configs_.back().bytes()));
    if (nf_ == nullptr) throw std::runtime_error("create() failed");
    return std::nullopt;
  }

  void bind(uint32_t tenant = kNoTenant) {
    Binding binding;
    binding.key_kind = 6;
    binding.key = key_;
    binding.tenant = tenant;
    binding.config = configs_.back().bytes();
    nf_->bind(binding);
  }
  void bind_to(std::span<const std::byte> config) {
    Binding binding;
    binding.config = config;
    nf_->bind(binding);
  }
  void reset() { nf_->reset(); }
  void tick(uint64_t now_ns) { nf_->tick(now_ns); }

  NetworkFunction& nf() { return *nf_; }
  const NfImage& image() const { return image_; }
  std::span<const std::byte> config() const { return configs_.back().bytes(); }

  // Settings of the packets that follow.
  uint8_t port_in = 0;
  uint32_t tailroom = 0;
  uint32_t blank_count = UINT32_MAX;  // at hand for each burst; at most what the image asks for

  // In the order of the frames; what the NF originated after those of its burst.
  std::vector<Sent> process(const std::vector<Frame>& frames, uint64_t now_ns = 1) {
    std::vector<Sent> sent;
    for (size_t at = 0; at < frames.size(); at += kBurst)
      process_burst({frames.data() + at, std::min(kBurst, frames.size() - at)}, now_ns, sent);
    return sent;
  }
  Sent process_one(const Frame& frame, uint64_t now_ns = 1) { return process({frame}, now_ns)[0]; }

 private:
  static constexpr size_t kBurst = 64;

  class HarnessArgs final : public Args {
   public:
    HarnessArgs(std::span<const NfArg> specs, const Given& given) {
      for (const auto& [name, text] : given) put(spec_of(specs, name), text);
      for (const NfArg& spec : specs) {
        if (has(spec.name)) continue;
        if (spec.fallback == nullptr)
          throw std::runtime_error("argument " + std::string(spec.name) + " is required");
        put(spec, spec.fallback);
      }
    }
    uint64_t number(std::string_view name) const override { return find(name).number; }
    std::string_view text(std::string_view name) const override { return find(name).text; }

   private:
    struct Value {
      std::string name, text;
      uint64_t number = 0;
    };

    static const NfArg& spec_of(std::span<const NfArg> specs, std::string_view name) {
      for (const NfArg& spec : specs)
        if (name == spec.name) return spec;
      throw std::runtime_error("no argument " + std::string(name));
    }
    bool has(std::string_view name) const {
      return std::any_of(values_.begin(), values_.end(),
                         [&](const Value& v) { return v.name == name; });
    }
    const Value& find(std::string_view name) const {
      for (const Value& value : values_)
        if (value.name == name) return value;
      throw std::runtime_error("compile() asks for the undeclared argument " + std::string(name));
    }

    void put(const NfArg& spec, const std::string& text) {
      Value value{spec.name, text, 0};
      if (spec.type != ArgType::text && spec.type != ArgType::file) {
        value.number = number_of(text);
        if (value.number < spec.min || value.number > spec.max)
          throw std::runtime_error(value.name + ": " + text + " is out of bounds");
      }
      values_.push_back(std::move(value));
    }

    static uint64_t number_of(const std::string& text) {
      if (text == "true" || text == "false") return text == "true";
      static constexpr std::pair<std::string_view, double> kUnits[] = {
          {"", 1},       {"ns", 1},     {"us", 1e3},   {"ms", 1e6},      {"s", 1e9},
          {"m", 60e9},   {"B", 1},      {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
          {"pps", 1},    {"kpps", 1e3}, {"Mpps", 1e6}, {"bps", 1},       {"kbps", 1e3},
          {"Mbps", 1e6}, {"Gbps", 1e9}};
      double value = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      for (const auto& [unit, factor] : kUnits)
        if (error == std::errc{} && unit == stop) return static_cast<uint64_t>(value * factor);
      throw std::runtime_error("'" + text + "' is not a number with a known unit");
    }

    std::vector<Value> values_;
  };

  // A compiled configuration as the bind region holds it: 64-byte aligned.
  class Config {
   public:
    explicit Config(std::span<const std::byte> bytes) : size_(bytes.size()) {
      data_.reset(static_cast<std::byte*>(::operator new (size_ + 1, std::align_val_t{64})));
      std::copy(bytes.begin(), bytes.end(), data_.get());
    }
    std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

   private:
    struct Free {
      void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
    };
    std::unique_ptr<std::byte, Free> data_;
    size_t size_;
  };

  void process_burst(std::span<const Frame> frames, uint64_t now_ns, std::vector<Sent>& sent) {
    std::vector<std::unique_ptr<uint8_t[]>> buffers;
    std::vector<Packet> packets, blanks;
    for (const Frame& frame : frames) {
      const auto size = static_cast<uint32_t>(frame.size());
      const uint32_t capacity = kHeadroom + size + tailroom;
      buffers.emplace_back(new uint8_t[capacity]());
      std::copy(frame.begin(), frame.end(), buffers.back().get() + kHeadroom);
      packets.emplace_back(buffers.back().get(), capacity, kHeadroom, size, port_in);
    }
    for (uint32_t i = 0; i < std::min(blank_count, image_.blank_buffers); ++i) {
      buffers.emplace_back(new uint8_t[kBlankBytes]());
      blanks.emplace_back(buffers.back().get(), kBlankBytes, kHeadroom, 0, 0xff);
    }
    Burst burst(packets, blanks, now_ns);
    nf_->process(burst);
    for (const Packet& packet : packets) sent.push_back(sent_of(packet, false));
    for (size_t i = 0; i < burst.originated(); ++i) sent.push_back(sent_of(blanks[i], true));
  }

  static Sent sent_of(const Packet& packet, bool originated) {
    const auto bytes = packet.bytes();
    return {packet.verdict(), packet.out_port(), originated, Frame(bytes.begin(), bytes.end())};
  }

  const NfImage& image_;
  std::vector<Config> configs_;
  std::unique_ptr<NetworkFunction> nf_;
  static constexpr uint8_t key_[2] = {0, 0};
};

}  // namespace mayfly
