// spin: burns a given number of cycles for every packet and passes it on: a load of known cost, for
// benchmarks and for trying out wake policies. Cycles are those of the time stamp counter.
#include <x86intrin.h>

#include "nfs/nf.h"

namespace mayfly {
namespace {

struct SpinConfig {
  uint64_t cycles;
};

class Spin final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    const auto* config = binding.config_as<SpinConfig>();
    cycles_ = config != nullptr ? config->cycles : 0;
  }

  void process(Burst& burst) override {
    for (size_t i = 0; i < burst.size(); ++i) {
      const uint64_t begin = __rdtsc();
      while (__rdtsc() - begin < cycles_) _mm_pause();
    }
  }

  void reset() override { cycles_ = 0; }

 private:
  uint64_t cycles_ = 0;
};

bool compile(const Args& args, std::vector<std::byte>& config, ArgError&) {
  append_config(config, SpinConfig{args.number("cycles")});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Spin; }

constexpr NfArg kArgs[] = {
    {"cycles", ArgType::integer, "TSC cycles to burn for each packet", "1000", 0, 10'000'000'000},
};
constexpr NfImage kImage = {
    .name = "spin",
    .summary = "burns a given number of cycles per packet",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
