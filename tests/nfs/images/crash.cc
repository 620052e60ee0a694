// Test image: dies in create(), in bind(), or in process() of a packet that holds a marker.
#include <csignal>

#include "nfs/nf.h"
#include "nfs/text.h"

namespace mayfly {
namespace {

struct CrashConfig {
  bool in_init, in_bind;
  uint8_t marker_bytes;
  uint32_t offset;
  uint8_t marker[32];
};

// The real thing also in a sanitized build, whose own report would end the process otherwise.
[[noreturn]] __attribute__((no_sanitize("undefined", "address"))) void crash() {
  std::signal(SIGSEGV, SIG_DFL);
  volatile int* nowhere = nullptr;
  *nowhere = 1;
  __builtin_unreachable();
}

class Crash final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    config_ = binding.config_as<CrashConfig>();
    if (config_ != nullptr && config_->in_bind) crash();
  }
  void process(Burst& burst) override {
    if (config_ == nullptr || config_->marker_bytes == 0) return;
    for (const Packet& packet : burst) {
      if (packet.size() >= uint64_t{config_->offset} + config_->marker_bytes &&
          std::memcmp(packet.data() + config_->offset, config_->marker, config_->marker_bytes) == 0)
        crash();
    }
  }
  void reset() override { config_ = nullptr; }

 private:
  const CrashConfig* config_ = nullptr;
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError& error) {
  CrashConfig config{};
  config.in_init = args.number("in_init") != 0;
  config.in_bind = args.number("in_bind") != 0;
  config.offset = static_cast<uint32_t>(args.number("offset"));
  const std::string_view hex = args.text("marker");
  if (hex.size() % 2 != 0 || hex.size() > 2 * sizeof(config.marker)) {
    error = {"marker", 0, quoted(hex) + ": write up to 32 bytes as pairs of hexadecimal digits"};
    return false;
  }
  for (size_t i = 0; i < hex.size(); i += 2) {
    const auto byte = parse_number(hex.substr(i, 2), 255, 16);
    if (!byte) {
      error = {"marker", 0, quoted(hex) + " is not hexadecimal"};
      return false;
    }
    config.marker[config.marker_bytes++] = static_cast<uint8_t>(*byte);
  }
  append_config(blob, config);
  return true;
}

NetworkFunction* create(std::span<const std::byte> blob) {
  const auto* config = config_as<CrashConfig>(blob);
  if (config != nullptr && config->in_init) crash();
  return new Crash;
}

constexpr NfArg kArgs[] = {
    {"in_init", ArgType::boolean, "die in create()", "false"},
    {"in_bind", ArgType::boolean, "die in bind()", "false"},
    {"marker", ArgType::text, "bytes (hexadecimal) of a packet to die of; empty: of none", ""},
    {"offset", ArgType::integer, "where in the packet the marker must stand", "42", 0, 65535},
};
constexpr NfImage kImage = {.name = "crash",
                            .summary = "dies on request",
                            .args = kArgs,
                            .compile = compile,
                            .create = create};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
