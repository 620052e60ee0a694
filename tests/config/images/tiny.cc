// An NF with one argument of every type, for the configuration tests.
#include "nfs/nf.h"

namespace mayfly {
namespace {

class Tiny final : public NetworkFunction {
 public:
  void process(Burst&) override {}
};

// Numbers first, then the label's bytes, then those of the rules.
bool compile(const Args& args, std::vector<std::byte>& config, ArgError& error) {
  const std::string_view label = args.text("label");
  const std::string_view rules = args.text("rules");
  if (label == "wrong") {
    error = {"label", 0, "wrong is not a label"};
    return false;
  }
  uint32_t line = 1;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules.substr(i, 3) == "bad") {
      error = {"rules", line, "\"bad\" is not a rule"};
      return false;
    }
    if (rules[i] == '\n') ++line;
  }
  for (const char* name : {"threshold", "rate", "timeout", "buffer", "strict"})
    append_config(config, args.number(name));
  for (const char c : label) append_config(config, c);
  for (const char c : rules) append_config(config, c);
  if (label == "big") config.resize(70'000);
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Tiny; }

constexpr NfArg kArgs[] = {
    {"threshold", ArgType::integer, "a number", "5", 1, 100},
    {"label", ArgType::text, "a word", "none"},
    {"rules", ArgType::file, "a file", ""},
    {"rate", ArgType::rate, "packets per second", "1Mpps", 1, 10'000'000'000},
    {"timeout", ArgType::duration, "silence", "30s", 1'000'000, 3'600'000'000'000},
    {"buffer", ArgType::size, "bytes", "64KiB", 1, 1u << 20},
    {"strict", ArgType::boolean, "yes or no", "false"},
};
constexpr NfImage kImage = {.name = "tiny",
                            .summary = "every type of argument",
                            .args = kArgs,
                            .compile = compile,
                            .create = create,
                            .tick_period_ns = 1'000'000,
                            .blank_buffers = 4};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
