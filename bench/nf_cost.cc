// What each NF costs per packet: the shipped image, loaded by dlopen, bursts of 32 packets from a
// pool of 1,024 distinct 5-tuples in 2 KiB buffers (larger than the L1 cache, inside the L2).
//
//   nf/IMAGE                  process() of a burst; nf/nothing is what the loop around it costs
//   rules/...                 the firewall's look-up alone, N rules of which the last one matches,
//                             against rte_acl over the same rules
//   routes/...                l3fwd's look-up alone, N prefixes, against rte_lpm (whose table takes
//                             64 MiB a tenant, where ours takes 12 bytes a prefix)
//
// Seeds are fixed; every look-up's result is compared once with its alternative's.
#include <benchmark/benchmark.h>
#include <rte_acl.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lpm.h>

#include <random>

#include "nfs/firewall_rules.h"
#include "nfs/l3fwd_routes.h"
#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

constexpr uint32_t kPackets = 1024;
constexpr uint32_t kBurst = 32;
constexpr uint32_t kBufferBytes = 2048;
constexpr uint32_t kHeadroom = 128;

std::string dotted(uint32_t a) {
  char text[20];
  snprintf(text, sizeof(text), "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
  return text;
}
uint32_t source_of(uint32_t i) { return 0x0a000000 | (i * 2654435761u >> 12); }
uint16_t port_of(uint32_t i) { return static_cast<uint16_t>(1024 + i * 7 % 60000); }

// 64-byte frames without FCS, TCP, all to 192.0.2.10:443.
class Pool {
 public:
  explicit Pool(bool ipv6) : buffers_(kPackets * kBufferBytes) {
    for (uint32_t i = 0; i < kPackets; ++i) {
      const Ip ip4{.from = dotted(source_of(i)), .to = "192.0.2.10", .protocol = kTcp};
      const Ip ip6{
          .from = "2001:db8::" + std::to_string(i), .to = "2001:db8:1::1", .protocol = kTcp};
      Frame frame = ipv6 ? ethernet(mayfly::ipv6(ip6, tcp(port_of(i), 443, kAck)))
                         : ethernet(ipv4(ip4, tcp(port_of(i), 443, kAck)));
      frame.resize(std::max<size_t>(frame.size(), 60));
      bytes_ = static_cast<uint32_t>(frame.size());
      std::copy(frame.begin(), frame.end(), data(i));
    }
  }
  std::span<Packet> burst(uint32_t first) {
    for (uint32_t i = 0; i < kBurst; ++i)
      packets_[i] = Packet(data(first + i) - kHeadroom, kBufferBytes, kHeadroom, bytes_, 0);
    return packets_;
  }
  uint8_t* data(uint32_t i) { return buffers_.data() + size_t{i} * kBufferBytes + kHeadroom; }

 private:
  std::vector<uint8_t> buffers_;
  uint32_t bytes_ = 0;
  Packet packets_[kBurst];
};

// CPU time, so that a neighbour on the core does not count.
void report(benchmark::State& state) {
  using benchmark::Counter;
  state.counters["time/packet"] =
      Counter(kBurst, Counter::kIsIterationInvariantRate | Counter::kInvert);
}

// ---------------------------------------------------------------------------------------------
// Whole NFs

class Nothing final : public NetworkFunction {
 public:
  void process(Burst& burst) override { benchmark::DoNotOptimize(burst); }
};

void run(benchmark::State& state, NetworkFunction& nf, bool ipv6, Verdict expected) {
  Pool pool(ipv6);
  uint32_t at = 0;
  uint64_t now_ns = 1, wrong = 0;
  for (auto _ : state) {
    Burst burst(pool.burst(at), {}, now_ns += 1000);
    nf.process(burst);
    wrong += burst[kBurst - 1].verdict() != expected;
    at = (at + kBurst) % kPackets;
  }
  if (wrong != 0) state.SkipWithError("unexpected verdicts");
  report(state);
}

void bench_nothing(benchmark::State& state) {
  Nothing nothing;
  run(state, nothing, false, Verdict::next);
}

struct Subject {
  const char* name;
  const char* image;
  NfHarness::Given given;
  bool ipv6;
  Verdict expected;
};

void bench_nf(benchmark::State& state, const Subject& subject) {
  NfHarness nf(NfHarness::load(shipped(subject.image)));
  if (const auto error = nf.configure(subject.given)) return state.SkipWithError("refused");
  nf.bind();
  run(state, nf.nf(), subject.ipv6, subject.expected);
}

std::string rules(int count, const std::string& last) {
  std::string text;
  for (int i = 1; i < count; ++i)
    text += "deny tcp from 172.16." + std::to_string(i / 256) + "." + std::to_string(i % 256) +
            " to any port " + std::to_string(i) + "\n";
  return text + last + "\n";
}
std::string rules6(int count) {
  std::string text;
  for (int i = 1; i < count; ++i)
    text += "deny tcp from 2001:db8:2::" + std::to_string(i) + " to any port " + std::to_string(i) +
            "\n";
  return text + "allow tcp from 2001:db8::/48 to any port 443\n";
}
const std::string kLast = "allow tcp from 10.0.0.0/8 to 192.0.2.0/24 port 443";

std::vector<Subject> subjects() {
  return {
      {"signature", "signature", {}, false, Verdict::next},
      {"counter", "counter", {}, false, Verdict::next},
      {"forward",
       "forward",
       {{"src_mac", "02:00:00:00:00:01"}, {"dst_mac", "02:00:00:00:00:02"}},
       false,
       Verdict::next},
      {"rate_limit", "rate_limit", {{"mbps", "400000"}}, false, Verdict::next},
      {"firewall/1_rule", "firewall", {{"rules", rules(1, kLast)}}, false, Verdict::next},
      {"firewall/10_rules", "firewall", {{"rules", rules(10, kLast)}}, false, Verdict::next},
      {"firewall/100_rules", "firewall", {{"rules", rules(100, kLast)}}, false, Verdict::next},
      {"firewall/10_rules_ipv6", "firewall", {{"rules", rules6(10)}}, true, Verdict::next},
      {"firewall/1024_kept_flows",
       "firewall",
       {{"rules", rules(10, kLast + " keep-state")}, {"states", "4096"}},
       false,
       Verdict::next},
  };
}

// Frames are worn out by the TTL, so they are written anew outside of what is timed.
void bench_l3fwd(benchmark::State& state, bool ipv6) {
  NfHarness nf(NfHarness::load(shipped("l3fwd")));
  if (nf.configure({{"routes",
                     "0.0.0.0/0 via 02:00:00:00:00:01 out 1\n::/0 via 02:00:00:00:00:01 out "
                     "1\n192.0.2.0/24 via 02:00:00:00:00:02 out 1\n"}}))
    return state.SkipWithError("refused");
  nf.bind();
  const Pool fresh(ipv6);
  Pool pool = fresh;
  uint32_t at = 0, bursts = 0;
  uint64_t wrong = 0;
  for (auto _ : state) {
    Burst burst(pool.burst(at), {}, 1);
    nf.nf().process(burst);
    wrong += burst[kBurst - 1].verdict() != Verdict::out;
    at = (at + kBurst) % kPackets;
    if (++bursts % (kPackets / kBurst * 60) == 0) {
      state.PauseTiming();
      pool = fresh;
      state.ResumeTiming();
    }
  }
  if (wrong != 0) state.SkipWithError("unexpected verdicts");
  report(state);
}

// ---------------------------------------------------------------------------------------------
// Rule look-up: a linear scan against rte_acl

constexpr uint32_t kAclBytes = 16;  // protocol (padded to 4), source, destination, ports

struct AclKey {
  uint32_t protocol_only;  // first byte
  uint32_t source, destination;
  uint16_t source_port, destination_port;  // all in wire order
};
static_assert(sizeof(AclKey) == kAclBytes);
RTE_ACL_RULE_DEF(AclRule, 5);

rte_acl_ctx* acl_of(std::span<const Rule4> rules) {
  rte_acl_param param{};
  static int serial = 0;
  const std::string name = "acl" + std::to_string(serial++);
  param.name = name.c_str();
  param.rule_size = RTE_ACL_RULE_SZ(5);
  param.max_rule_num = static_cast<uint32_t>(rules.size());
  rte_acl_ctx* context = rte_acl_create(&param);
  if (context == nullptr) return nullptr;
  uint32_t number = 0;
  for (const Rule4& rule : rules) {
    AclRule r{};
    r.data.category_mask = 1;
    r.data.priority = static_cast<int32_t>(rules.size() - number);
    r.data.userdata = ++number;
    r.field[0].value.u8 = static_cast<uint8_t>(rule.kind);
    r.field[0].mask_range.u8 = static_cast<uint8_t>(rule.kind_mask);
    const auto bits = [](Address4 mask) {
      return static_cast<uint32_t>(__builtin_popcount(mask.word));
    };
    r.field[1].value.u32 = __builtin_bswap32(rule.source.word);
    r.field[1].mask_range.u32 = bits(rule.source_mask);
    r.field[2].value.u32 = __builtin_bswap32(rule.destination.word);
    r.field[2].mask_range.u32 = bits(rule.destination_mask);
    r.field[3].value.u16 = rule.source_port_min;
    r.field[3].mask_range.u16 = static_cast<uint16_t>(rule.source_port_min + rule.source_port_span);
    r.field[4].value.u16 = rule.destination_port_min;
    r.field[4].mask_range.u16 =
        static_cast<uint16_t>(rule.destination_port_min + rule.destination_port_span);
    if (rte_acl_add_rules(context, reinterpret_cast<rte_acl_rule*>(&r), 1) != 0) return nullptr;
  }
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = 5;
  const auto field = [&](uint8_t i, uint8_t type, uint8_t bytes, uint8_t input, uint32_t offset) {
    config.defs[i] = {type, bytes, i, input, offset};
  };
  field(0, RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0);
  field(1, RTE_ACL_FIELD_TYPE_MASK, 4, 1, 4);
  field(2, RTE_ACL_FIELD_TYPE_MASK, 4, 2, 8);
  field(3, RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 12);
  field(4, RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 14);
  return rte_acl_build(context, &config) == 0 ? context : nullptr;
}

struct RuleCase {
  std::vector<std::byte> blob;
  RuleSet rules;
  std::vector<RuleView<Address4>> views;
  std::vector<AclKey> keys;

  explicit RuleCase(int count) {
    ArgError error;
    compile_rules(mayfly::rules(count, kLast), {}, blob, error);
    rules = RuleSet::over(blob);
    for (uint32_t i = 0; i < kPackets; ++i) {
      RuleView<Address4> view;
      view.source.word = __builtin_bswap32(source_of(i));
      view.destination.word = __builtin_bswap32(0xc000020a);
      view.source_port = port_of(i);
      view.destination_port = 443;
      view.kind = kTcp;
      view.flags = kViewAny;
      views.push_back(view);
      keys.push_back({kTcp, view.source.word, view.destination.word,
                      __builtin_bswap16(view.source_port), __builtin_bswap16(443)});
    }
  }
};

void bench_rules_linear(benchmark::State& state) {
  const RuleCase c(static_cast<int>(state.range(0)));
  uint32_t at = 0;
  uint64_t wrong = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBurst; ++i)
      wrong += first_match(c.rules.rules4, c.views[at + i]) != &c.rules.rules4.back();
    at = (at + kBurst) % kPackets;
  }
  if (wrong != 0) state.SkipWithError("wrong rule");
  report(state);
}

void bench_rules_acl(benchmark::State& state) {
  const RuleCase c(static_cast<int>(state.range(0)));
  rte_acl_ctx* acl = acl_of(c.rules.rules4);
  if (acl == nullptr) return state.SkipWithError("rte_acl refused the rules");
  uint32_t at = 0, results[kBurst];
  const uint8_t* keys[kBurst];
  uint64_t wrong = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBurst; ++i)
      keys[i] = reinterpret_cast<const uint8_t*>(&c.keys[at + i]);
    rte_acl_classify(acl, keys, results, kBurst, 1);
    for (uint32_t result : results) wrong += result != c.rules.rules4.size();
    at = (at + kBurst) % kPackets;
  }
  rte_acl_free(acl);
  if (wrong != 0) state.SkipWithError("wrong rule");
  report(state);
}

// ---------------------------------------------------------------------------------------------
// Route look-up: intervals against rte_lpm

struct RouteCase {
  std::vector<std::byte> blob;
  RouteTable table;
  rte_lpm* lpm = nullptr;
  std::vector<uint32_t> addresses;

  explicit RouteCase(int count) {
    ArgError error;
    compile_routes(text(count), 0, blob, error);
    table = RouteTable::over(blob);
    rte_lpm_config config{.max_rules = 65536, .number_tbl8s = 256, .flags = 0};
    lpm = rte_lpm_create("routes", SOCKET_ID_ANY, &config);
    if (lpm == nullptr) return;
    for (int i = 1; i < count; ++i)
      rte_lpm_add(lpm, prefix(i), 24, static_cast<uint32_t>(2 + i % 2));
    std::mt19937 random(5);
    for (uint32_t i = 0; i < kPackets; ++i)
      addresses.push_back(
          i % 4 == 0 ? random()
                     : prefix(static_cast<int>(random() % static_cast<uint32_t>(count))) + 5);
  }
  ~RouteCase() { rte_lpm_free(lpm); }

  static uint32_t prefix(int i) { return 0x14000000 + (static_cast<uint32_t>(i) << 12); }
  static std::string text(int count) {
    std::string text = "0.0.0.0/0 via 02:00:00:00:00:01 out 1\n";
    for (int i = 1; i < count; ++i)
      text +=
          dotted(prefix(i)) + "/24 via 02:00:00:00:00:01 out " + std::to_string(2 + i % 2) + "\n";
    return text;
  }
  // rte_lpm knows no prefix of length 0: a miss is the default route.
  uint32_t lpm_find(uint32_t address) const {
    uint32_t hop = 1;
    return rte_lpm_lookup(lpm, address, &hop) == 0 ? hop : 1;
  }
  bool agrees() const {
    for (uint32_t address : addresses) {
      if (table.find4(address).port != lpm_find(address)) return false;
    }
    return true;
  }
};

template <class LookUp>
void bench_routes(benchmark::State& state, LookUp look_up) {
  const RouteCase c(static_cast<int>(state.range(0)));
  if (c.lpm == nullptr) return state.SkipWithError("no memory for rte_lpm");
  if (!c.agrees()) return state.SkipWithError("the two look-ups disagree");
  uint32_t at = 0;
  uint64_t sum = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBurst; ++i) sum += look_up(c, c.addresses[at + i]);
    at = (at + kBurst) % kPackets;
  }
  benchmark::DoNotOptimize(sum);
  report(state);
}

bool start_eal() {
  const char* argv[] = {"nf_cost",
                        "--no-huge",
                        "--no-shconf",
                        "--no-pci",
                        "--no-telemetry",
                        "--log-level=4",
                        "--file-prefix=mayfly-nf-cost",
                        "-m",
                        "256",
                        "--lcores=0@0"};
  return rte_eal_init(sizeof(argv) / sizeof(argv[0]), const_cast<char**>(argv)) >= 0;
}

void register_all() {
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("nf/nothing", bench_nothing);
  for (const Subject& subject : subjects())
    RegisterBenchmark(("nf/" + std::string(subject.name)).c_str(),
                      [subject](benchmark::State& state) { bench_nf(state, subject); });
  RegisterBenchmark("nf/l3fwd", [](benchmark::State& state) { bench_l3fwd(state, false); });
  RegisterBenchmark("nf/l3fwd_ipv6", [](benchmark::State& state) { bench_l3fwd(state, true); });
  for (int count : {1, 10, 30, 100, 1000}) {
    RegisterBenchmark("rules/linear", bench_rules_linear)->Arg(count);
    RegisterBenchmark("rules/rte_acl", bench_rules_acl)->Arg(count);
  }
  for (int count : {10, 100, 1000, 4000}) {
    RegisterBenchmark("routes/intervals", [](benchmark::State& state) {
      bench_routes(state, [](const RouteCase& c, uint32_t a) { return c.table.find4(a).port; });
    })->Arg(count);
    RegisterBenchmark("routes/rte_lpm", [](benchmark::State& state) {
      bench_routes(state, [](const RouteCase& c, uint32_t a) { return c.lpm_find(a); });
    })->Arg(count);
  }
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (!mayfly::start_eal()) return 1;
  std::printf("bursts of %u, %u packets of 60 bytes (IPv6: 74), fixed seeds, TSC %.2f GHz\n",
              mayfly::kBurst, mayfly::kPackets, static_cast<double>(rte_get_tsc_hz()) / 1e9);
  mayfly::register_all();
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
}
