// Images that fail, each in the way that BROKEN_IN_* names.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "nfs/nf.h"

namespace mayfly {
namespace {

class Nothing final : public NetworkFunction {
 public:
  void process(Burst&) override {}
};

[[maybe_unused]] void crash() { raise(SIGSEGV); }

bool compile(const Args&, std::vector<std::byte>&, ArgError&) {
  std::puts("an image may print");  // and must not spoil the answer
  std::fflush(stdout);
#if defined(BROKEN_IN_COMPILE)
  crash();
#elif defined(BROKEN_BY_HANGING)
  for (;;) pause();
#elif defined(BROKEN_BY_EXIT)
  _exit(7);
#endif
  return true;
}

NetworkFunction* create(std::span<const std::byte>) {
#if defined(BROKEN_IN_CREATE)
  crash();
#elif defined(BROKEN_BY_NULL)
  return nullptr;
#endif
  return new Nothing;
}

#if defined(BROKEN_IN_LOADING)
[[maybe_unused]] const bool kCrashed = (crash(), true);
#endif

constexpr NfImage kImage = {
#if defined(BROKEN_BY_VERSION)
    .sdk_version = kSdkVersion + 1,
#endif
#if defined(BROKEN_BY_NAME)
    .name = nullptr,
#else
    .name = "broken",
#endif
    .summary = "fails",
    .args = {},
    .compile = compile,
    .create = create,
#if defined(BROKEN_BY_BLANKS)
    .blank_buffers = 17,
#endif
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
