// Fuzz body of the configuration parser: any bytes give a configuration or an error of one line
// with its place. Run by libFuzzer (-DMAYFLY_FUZZ=ON, clang) and over the corpus by every test run.
// Image code is other people's and runs elsewhere: images are looked for where there are none.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/config/parse.h"

namespace {

void require(bool holds, const std::string& message) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_yaml: not one line with a place: %s\n", message.c_str());
  std::abort();
}

bool is_one_placed_line(const std::string& message) {
  return message.find('\n') == std::string::npos && message.find(':') != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = mayfly::parse_config_text(text, "fuzz.yaml", "/nonexistent");
  if (!config.ok()) {
    const std::string message(config.status().message());
    require(is_one_placed_line(message), message);
  }
  // Everything but NFs, whose images would have to be run.
  mayfly::Config base;
  base.chains = {{"c", {}, {}}};
  base.flows.resize(1);
  base.flows[0].tenant_by = mayfly::KeyBy::vlan;
  const auto tenants = mayfly::parse_tenants_text(text, "fuzz.yaml", "/nonexistent", base);
  if (!tenants.ok()) {
    const std::string message(tenants.status().message());
    require(is_one_placed_line(message), message);
  }
  return 0;
}
