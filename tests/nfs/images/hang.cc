// Test image: never returns from create(), or from process() once it has seen enough packets,
// burning CPU or sleeping.
#include <unistd.h>

#include "nfs/nf.h"

namespace mayfly {
namespace {

struct HangConfig {
  bool in_init, asleep;
  uint64_t after;
};

[[noreturn]] void hang(bool asleep) {
  for (;;) {
    if (asleep) pause();
    asm volatile("");  // an endless loop without effects may be removed
  }
}

class Hang final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override { config_ = binding.config_as<HangConfig>(); }
  void process(Burst& burst) override {
    seen_ += burst.size();
    if (config_ != nullptr && seen_ > config_->after) hang(config_->asleep);
  }
  void reset() override { config_ = nullptr, seen_ = 0; }

 private:
  const HangConfig* config_ = nullptr;
  uint64_t seen_ = 0;
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError&) {
  append_config(blob, HangConfig{.in_init = args.number("in_init") != 0,
                                 .asleep = args.number("asleep") != 0,
                                 .after = args.number("after")});
  return true;
}

NetworkFunction* create(std::span<const std::byte> blob) {
  const auto* config = config_as<HangConfig>(blob);
  if (config != nullptr && config->in_init) hang(config->asleep);
  return new Hang;
}

constexpr NfArg kArgs[] = {
    {"in_init", ArgType::boolean, "hang in create()", "false"},
    {"asleep", ArgType::boolean, "sleep for ever instead of burning CPU", "false"},
    {"after", ArgType::integer, "packets of a flow that pass before it hangs", "0"},
};
constexpr NfImage kImage = {.name = "hang",
                            .summary = "hangs on request",
                            .args = kArgs,
                            .compile = compile,
                            .create = create};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
