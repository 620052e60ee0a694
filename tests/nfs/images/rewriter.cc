// Test image: changes the length of packets at either end, and originates copies of them.
//
// What is added at the front is a copy of the frame's first bytes (so MACs stay MACs) filled with
// 0xf0, at the back 0xb0. A packet that cannot grow (or be cut) that far is dropped. Copies are
// made of the packet as it was, have their last byte set to the copy's number, and go on along the
// chain, or out of `copies_out`.
#include <algorithm>

#include "nfs/nf.h"

namespace mayfly {
namespace {

inline constexpr uint64_t kNoPort = 255;

struct RewriterConfig {
  uint32_t cut_front, cut_back, add_front, add_back, copies;
  uint8_t copies_out;
};

class Rewriter final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override { config_ = binding.config_as<RewriterConfig>(); }
  void process(Burst& burst) override {
    if (config_ == nullptr) return;
    for (Packet& packet : burst) {
      for (uint32_t i = 0; i < config_->copies; ++i) copy(burst, packet, i + 1);
      if (!resize(packet)) packet.drop();
    }
  }
  void reset() override { config_ = nullptr; }

 private:
  void copy(Burst& burst, const Packet& packet, uint32_t number) {
    if (packet.size() == 0) return;
    Packet* copy = burst.originate(packet.size());
    if (copy == nullptr) return;
    std::memcpy(copy->data(), packet.data(), packet.size());
    copy->data()[packet.size() - 1] = static_cast<uint8_t>(number);
    if (config_->copies_out != kNoPort) copy->out(config_->copies_out);
  }

  bool resize(Packet& packet) const {
    if (!packet.strip_front(config_->cut_front) || !packet.strip_back(config_->cut_back))
      return false;
    const uint32_t old_size = packet.size();
    if (!packet.prepend(config_->add_front) || !packet.append(config_->add_back)) return false;
    uint8_t* data = packet.data();
    std::memset(data, 0xf0, config_->add_front);
    std::memmove(data, data + config_->add_front, std::min({12u, config_->add_front, old_size}));
    std::memset(data + config_->add_front + old_size, 0xb0, config_->add_back);
    return true;
  }

  const RewriterConfig* config_ = nullptr;
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError&) {
  const auto number = [&](const char* name) { return static_cast<uint32_t>(args.number(name)); };
  append_config(blob, RewriterConfig{.cut_front = number("cut_front"),
                                     .cut_back = number("cut_back"),
                                     .add_front = number("add_front"),
                                     .add_back = number("add_back"),
                                     .copies = number("copies"),
                                     .copies_out = static_cast<uint8_t>(number("copies_out"))});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Rewriter; }

constexpr NfArg kArgs[] = {
    {"cut_front", ArgType::integer, "bytes to take away in front", "0", 0, 65535},
    {"cut_back", ArgType::integer, "bytes to take away at the end", "0", 0, 65535},
    {"add_front", ArgType::integer, "bytes to add in front", "0", 0, 65535},
    {"add_back", ArgType::integer, "bytes to add at the end", "0", 0, 65535},
    {"copies", ArgType::integer, "copies to originate of every packet", "0", 0, 16},
    {"copies_out", ArgType::integer, "the port they leave by; 255: on along the chain", "255", 0,
     255},
};
constexpr NfImage kImage = {.name = "rewriter",
                            .summary = "shortens, lengthens and copies packets",
                            .args = kArgs,
                            .compile = compile,
                            .create = create,
                            .blank_buffers = 16};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
