// forward: rewrites the MAC addresses of every frame and passes it on, or out of a fixed port.
// What is not given is left as it is; a frame too short to hold two addresses is left whole.
#include <optional>

#include "nfs/headers.h"
#include "nfs/nf.h"
#include "nfs/text.h"

namespace mayfly {
namespace {

inline constexpr uint8_t kFlowsPort = 255;  // `port` not given

struct ForwardConfig {
  uint8_t keep[2 * kMacBytes];  // frame = (frame & keep) | set, over destination and source
  uint8_t set[2 * kMacBytes];
  uint8_t port;
};

class Forward final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override { config_ = binding.config_as<ForwardConfig>(); }

  void process(Burst& burst) override {
    if (config_ == nullptr) return;
    for (Packet& packet : burst) {
      if (packet.size() >= kEthernetBytes) rewrite(packet.data());
      if (config_->port != kFlowsPort) packet.out(config_->port);
    }
  }

  void reset() override { config_ = nullptr; }

 private:
  // Both addresses as 8 + 4 bytes.
  void rewrite(uint8_t* macs) const {
    rewrite_word<uint64_t>(macs, 0);
    rewrite_word<uint32_t>(macs, 8);
  }
  template <class Word>
  void rewrite_word(uint8_t* macs, uint32_t at) const {
    Word word, keep, set;
    std::memcpy(&word, macs + at, sizeof(word));
    std::memcpy(&keep, config_->keep + at, sizeof(keep));
    std::memcpy(&set, config_->set + at, sizeof(set));
    word = (word & keep) | set;
    std::memcpy(macs + at, &word, sizeof(word));
  }

  const ForwardConfig* config_ = nullptr;
};

bool put_mac(const Args& args, const char* name, ForwardConfig& config, uint32_t at,
             ArgError& error) {
  const std::string_view text = args.text(name);
  if (text.empty()) return true;
  const std::optional<MacAddress> mac = parse_mac(text);
  if (!mac) {
    error = {name, 0, quoted(text) + " is not a MAC address; write one like 02:00:00:00:00:01"};
    return false;
  }
  std::memset(config.keep + at, 0, kMacBytes);
  std::memcpy(config.set + at, mac->data(), kMacBytes);
  return true;
}

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError& error) {
  ForwardConfig config{};
  std::memset(config.keep, 0xff, sizeof(config.keep));
  config.port = static_cast<uint8_t>(args.number("port"));
  if (!put_mac(args, "dst_mac", config, 0, error)) return false;
  if (!put_mac(args, "src_mac", config, kMacBytes, error)) return false;
  append_config(blob, config);
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Forward; }

constexpr NfArg kArgs[] = {
    {"src_mac", ArgType::text, "new source MAC address; empty: unchanged", ""},
    {"dst_mac", ArgType::text, "new destination MAC address; empty: unchanged", ""},
    {"port", ArgType::integer, "the port to leave by, counted from 0; 255: on along the chain",
     "255", 0, 255},
};
constexpr NfImage kImage = {
    .name = "forward",
    .summary = "rewrites MAC addresses; can send out of a fixed port",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
