// Test image: passes everything, and now and then something befalls it at any moment afterwards: a
// timer, set while it works, goes off while it gives its packets back, hands the core over, parks
// or sleeps, and there it sleeps for a while, stops until somebody continues it, or dies. (Timers
// are not inherited, so every instance has its own.)
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

#include "nfs/nf.h"

namespace mayfly {
namespace {

struct RestlessConfig {
  uint32_t seed, one_in, stops, deaths;
  uint64_t within_us, nap_ns;
};

// What comes next; of the one instance of this process, for its signal handler.
volatile int signal_next;  // 0: a nap
volatile uint64_t nap_next_ns;

void befall(int) {
  if (signal_next != 0) {
    kill(getpid(), signal_next);
    return;
  }
  const uint64_t ns = nap_next_ns;
  const timespec time{static_cast<time_t>(ns / 1'000'000'000),
                      static_cast<long>(ns % 1'000'000'000)};
  nanosleep(&time, nullptr);
}

class Restless final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    config_ = binding.config_as<RestlessConfig>();
    if (config_ == nullptr) return;
    // Its process, too: a successor that met the same fate would die of its first burst for ever.
    random_ = config_->seed + (static_cast<uint64_t>(getpid()) << 32);
    for (uint8_t byte : binding.key) random_ = random_ * 31 + byte;
    struct sigaction action {};
    action.sa_handler = befall;
    sigaction(SIGALRM, &action, nullptr);
  }
  void process(Burst&) override {
    if (config_ == nullptr || next() % config_->one_in != 0) return;
    const uint32_t what = next() % 100;
    signal_next = what < config_->deaths                    ? SIGKILL
                  : what < config_->deaths + config_->stops ? SIGSTOP
                                                            : 0;
    nap_next_ns = next() % (config_->nap_ns + 1);
    itimerval timer{};
    timer.it_value.tv_usec = static_cast<suseconds_t>(1 + next() % config_->within_us);
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  void reset() override { config_ = nullptr; }

 private:
  // xorshift of Marsaglia, and the upper half of a product: the low bits alone are too regular.
  uint32_t next() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<uint32_t>(random_ * 0x9e3779b97f4a7c15 >> 32);
  }

  const RestlessConfig* config_ = nullptr;
  uint64_t random_ = 1;
};

bool compile(const Args& args, std::vector<std::byte>& blob, ArgError&) {
  append_config(blob, RestlessConfig{.seed = static_cast<uint32_t>(args.number("seed")),
                                     .one_in = static_cast<uint32_t>(args.number("one_in")),
                                     .stops = static_cast<uint32_t>(args.number("stops")),
                                     .deaths = static_cast<uint32_t>(args.number("deaths")),
                                     .within_us = args.number("within") / 1000,
                                     .nap_ns = args.number("nap")});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Restless; }

constexpr NfArg kArgs[] = {
    {"seed", ArgType::integer, "of its random numbers", "1", 1, UINT32_MAX},
    {"one_in", ArgType::integer, "bursts of which one, on average, has a sequel", "100", 1,
     UINT32_MAX},
    {"within", ArgType::duration, "how long after the burst that comes, at most", "20us", 1000,
     999'000'000},
    {"nap", ArgType::duration, "it is a nap, this long at most", "3ms", 0, 10'000'000'000},
    {"stops", ArgType::integer, "or, so many times in a hundred, SIGSTOP", "0", 0, 100},
    {"deaths", ArgType::integer, "or, so many times in a hundred, SIGKILL", "0", 0, 100},
};
constexpr NfImage kImage = {.name = "restless",
                            .summary = "falls asleep, stops or dies at any moment",
                            .args = kArgs,
                            .compile = compile,
                            .create = create};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
