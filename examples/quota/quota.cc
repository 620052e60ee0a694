// quota: lets a tenant (or flow) send so many bytes, and drops the rest.
#include "nfs/nf.h"

namespace {

struct QuotaConfig {
  uint64_t bytes;
};

class Quota final : public mayfly::NetworkFunction {
 public:
  void bind(const mayfly::Binding& binding) override { config_ = binding.config_as<QuotaConfig>(); }

  void process(mayfly::Burst& burst) override {
    for (mayfly::Packet& packet : burst) {
      if (config_ == nullptr || used_bytes_ + packet.size() > config_->bytes) {
        packet.drop();
      } else {
        used_bytes_ += packet.size();  // the verdict is next() unless something else is said
      }
    }
  }

  void reset() override {
    config_ = nullptr;
    used_bytes_ = 0;
  }

 private:
  const QuotaConfig* config_ = nullptr;
  uint64_t used_bytes_ = 0;
};

bool compile(const mayfly::Args& args, std::vector<std::byte>& config, mayfly::ArgError& error) {
  const uint64_t bytes = args.number("bytes");
  if (bytes < 60) {
    error = {"bytes", 0, std::to_string(bytes) + " lets no packet pass; 60B is the least"};
    return false;
  }
  mayfly::append_config(config, QuotaConfig{bytes});
  return true;
}

mayfly::NetworkFunction* create(std::span<const std::byte>) { return new Quota; }

constexpr mayfly::NfArg kArgs[] = {
    {"bytes", mayfly::ArgType::size, "bytes that may pass", "1MiB"},
};
constexpr mayfly::NfImage kImage = {
    .name = "quota",
    .summary = "lets so many bytes pass, and drops the rest",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace

MAYFLY_NF_IMAGE(kImage);
