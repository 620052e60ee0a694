// An NF that cannot do without its argument, and has no configuration.
#include "nfs/nf.h"

namespace mayfly {
namespace {

class Needs final : public NetworkFunction {
 public:
  void process(Burst&) override {}
};
NetworkFunction* create(std::span<const std::byte>) { return new Needs; }

constexpr NfArg kArgs[] = {{"mbps", ArgType::integer, "rate in Mbit/s", nullptr, 1, 1000}};
constexpr NfImage kImage = {.name = "needs",
                            .summary = "a required argument",
                            .args = kArgs,
                            .compile = nullptr,
                            .create = create};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
