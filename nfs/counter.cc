// counter: counts packets and bytes, and reports them if asked.
//
// With `report_every` set, the first packet after each period makes the counter originate one small
// frame out of port `report_port` (nothing is sent while nothing arrives, and none is sent twice):
//
//   0   ff:ff:ff:ff:ff:ff     6  02:00:00:00:00:00     12  0x88b5 (IEEE 802 local experimental 1)
//   14  "MFC1"    18  tenant's number, uint32    22  packets, uint64    30  bytes, uint64
//   38  zeroes up to 60 bytes                    all numbers big-endian
//
// The counts are of this binding: they begin at 0 for each flow or tenant.
#include "nfs/nf.h"

#include "nfs/headers.h"

namespace mayfly {
namespace {

inline constexpr uint32_t kReportBytes = 60;  // the least Ethernet carries
inline constexpr uint16_t kTypeExperimental = 0x88b5;

struct CounterConfig {
  uint64_t report_ns;  // 0: never
  uint8_t report_port;
};

class Counter final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    config_ = binding.config_as<CounterConfig>();
    tenant_ = binding.tenant;
  }

  void process(Burst& burst) override {
    packets_ += burst.size();
    for (const Packet& packet : burst) bytes_ += packet.size();
    if (config_ != nullptr && config_->report_ns != 0) report_if_due(burst);
  }

  void reset() override { *this = Counter(); }

 private:
  void report_if_due(Burst& burst) {
    if (reported_ns_ == 0) reported_ns_ = burst.now_ns();
    if (burst.now_ns() - reported_ns_ < config_->report_ns) return;
    Packet* report = burst.originate(kReportBytes);
    if (report == nullptr) return;  // no buffer now: with the next burst
    reported_ns_ = burst.now_ns();
    uint8_t* p = report->data();
    std::memset(p, 0, kReportBytes);
    std::memset(p, 0xff, kMacBytes);
    p[kMacBytes] = 0x02;
    store_be16(p + 12, kTypeExperimental);
    std::memcpy(p + 14, "MFC1", 4);
    store_be32(p + 18, tenant_);
    store_be64(p + 22, packets_);
    store_be64(p + 30, bytes_);
    report->out(config_->report_port);
  }
  static void store_be64(uint8_t* p, uint64_t v) {
    store_be32(p, static_cast<uint32_t>(v >> 32));
    store_be32(p + 4, static_cast<uint32_t>(v));
  }

  const CounterConfig* config_ = nullptr;
  uint32_t tenant_ = kNoTenant;
  uint64_t packets_ = 0;
  uint64_t bytes_ = 0;
  uint64_t reported_ns_ = 0;
};

bool compile(const Args& args, std::vector<std::byte>& config, ArgError&) {
  append_config(config,
                CounterConfig{.report_ns = args.number("report_every"),
                              .report_port = static_cast<uint8_t>(args.number("report_port"))});
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Counter; }

constexpr NfArg kArgs[] = {
    {"report_every", ArgType::duration, "how often to send a report frame; 0s: never", "0s"},
    {"report_port", ArgType::integer, "the port it leaves by, counted from 0", "0", 0, 249},
};
constexpr NfImage kImage = {
    .name = "counter",
    .summary = "counts packets and bytes, and can send the counts out of a port",
    .args = kArgs,
    .compile = compile,
    .create = create,
    .blank_buffers = 1,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
