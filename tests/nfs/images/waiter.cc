// Test image: sleeps for every packet, with the core or without it.
#include <time.h>

#include "nfs/nf.h"

namespace mayfly {
namespace {

struct WaiterConfig {
  uint64_t sleep_ns;
  bool keeps_core;
};

void sleep_for(uint64_t ns) {
  const timespec time{static_cast<time_t>(ns / 1'000'000'000),
                      static_cast<long>(ns % 1'000'000'000)};
  nanosleep(&time, nullptr);
}

class Waiter final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    config_ = binding.config_as<WaiterConfig>();
    wait();
  }
  void process(Burst& burst) override {
    for (size_t i = 0; i < burst.size(); ++i) wait();
  }
  void tick(uint64_t) override { wait(); }
  void reset() override { config_ = nullptr; }

 private:
  void wait() {
    if (config_ == nullptr || config_->sleep_ns == 0) return;
    if (config_->keeps_core) return sleep_for(config_->sleep_ns);
    without_core([&] {
      const CoreRelease again;  // nested
      sleep_for(config_->sleep_ns);
    });
  }

  const WaiterConfig* config_ = nullptr;
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError&) {
  append_config(blob, WaiterConfig{args.number("sleep"), args.number("keeps_core") != 0});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) {
  return without_core([] { return new Waiter; });
}

constexpr NfArg kArgs[] = {
    {"sleep", ArgType::duration, "to sleep for each packet, binding and tick", "0s"},
    {"keeps_core", ArgType::boolean, "keep the core meanwhile", "false"},
};
constexpr NfImage kImage = {.name = "waiter",
                            .summary = "sleeps for every packet",
                            .args = kArgs,
                            .compile = compile,
                            .create = create,
                            .tick_period_ns = 50'000'000};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
