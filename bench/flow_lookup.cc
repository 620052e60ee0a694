// From a frame to its flow: parse, mask, hash, look up and count, in bursts of 32, over 1 k, 100 k
// and 1 M flows in random order. Against the same with absl::flat_hash_map, plain and with its own
// prefetch(); the three take turns within one run.
//
//   flow_lookup [--benchmark_min_time=SECONDS]     per contender and size; 0.5 by default; below
//                                                  0.1 it is the smoke size: 1 k and 10 k flows
#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "flowdir/flow_table.h"
#include "flowdir/rules.h"
#include "runtime/base/limits.h"

namespace mayfly {
namespace {

constexpr uint64_t kSeed = 1;
constexpr uint32_t kFrameBytes = 64;
constexpr uint32_t kRounds = 7;
constexpr uint32_t kFramesMin = 1u << 14;

// Frames of random flows, one after the other; every flow occurs.
struct Traffic {
  std::vector<uint8_t> bytes;
  uint32_t frame_count;

  explicit Traffic(uint32_t flow_count)
      : bytes(size_t{std::max(flow_count, kFramesMin)} * kFrameBytes, 0),
        frame_count(std::max(flow_count, kFramesMin)) {
    std::vector<uint32_t> order(frame_count);
    for (uint32_t i = 0; i < frame_count; ++i) order[i] = i % flow_count;
    std::shuffle(order.begin(), order.end(), std::mt19937(kSeed));
    for (uint32_t i = 0; i < frame_count; ++i)
      write_frame(order[i], &bytes[size_t{i} * kFrameBytes]);
  }
  std::span<const uint8_t> frame(uint32_t i) const {
    return {&bytes[size_t{i} * kFrameBytes], kFrameBytes};
  }

 private:
  // UDP over IPv4; a flow is an address and a port of its own.
  static void write_frame(uint32_t flow, uint8_t* frame) {
    const uint8_t head[] = {2,  0, 0, 0, 0, 2,  2,  0, 0, 0,  0, 1, 8, 0,  0x45, 0, 0,
                            50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0,    0, 2};
    std::memcpy(frame, head, sizeof head);
    frame[27] = static_cast<uint8_t>(flow >> 16);
    frame[28] = static_cast<uint8_t>(flow >> 8);
    frame[29] = static_cast<uint8_t>(flow);
    frame[34] = static_cast<uint8_t>(flow * 7 >> 8 | 0x40);
    frame[35] = static_cast<uint8_t>(flow * 7);
    frame[37] = 53;
  }
};

RuleSet five_tuple_rules() { return RuleSet({Rule{.instance_per = KeyBy::five_tuple}}); }

void count(FlowState& state, uint64_t now) {
  ++state.packets;
  state.bytes += kFrameBytes;
  state.last_seen = Cycles{now};
}

// A contender: runs all the traffic through itself once; the number of packets that found a flow.
class FlowTableRun {
 public:
  FlowTableRun(const Traffic& traffic, uint32_t flow_count)
      : traffic_(traffic), table_(flow_count, kSeed) {
    for (uint32_t i = 0; i < traffic.frame_count; ++i) {
      ParsedPacket packet;
      parse(traffic.frame(i), PortId{0}, packet);
      const PacketKey key = rules_.mask_of(PortId{0}).apply(packet.key);
      const uint64_t hash = table_.hash(key);
      if (table_.find(key, hash) == kNone<FlowId>) table_.insert(key, hash);
    }
  }
  uint32_t flow_count() const { return table_.size(); }

  uint32_t pass() {
    ParsedPacket packets[kRxBurst];
    PacketKey keys[kRxBurst];
    uint64_t hashes[kRxBurst];
    uint32_t found = 0;
    const KeyMask& mask = rules_.mask_of(PortId{0});
    for (uint32_t at = 0; at < traffic_.frame_count; at += kRxBurst) {
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        parse(traffic_.frame(at + i), PortId{0}, packets[i]);
      }
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        keys[i] = mask.apply(packets[i].key);
        hashes[i] = table_.hash(keys[i]);
        table_.prefetch(hashes[i]);
      }
      for (uint32_t i = 0; i < kRxBurst; ++i) table_.prefetch_entry(hashes[i]);
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        const FlowId flow = table_.find(keys[i], hashes[i]);
        if (flow == kNone<FlowId>) continue;
        count(table_.entry(flow).state, at);
        ++found;
      }
    }
    return found;
  }

 private:
  const Traffic& traffic_;
  RuleSet rules_ = five_tuple_rules();
  FlowTable table_;
};

struct AbslKeyHash {
  size_t operator()(const PacketKey& key) const {
    return absl::HashOf(absl::string_view(reinterpret_cast<const char*>(&key), 56));
  }
};
struct AbslKeyEqual {
  bool operator()(const PacketKey& a, const PacketKey& b) const {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};

template <bool kPrefetch>
class AbslRun {
 public:
  AbslRun(const Traffic& traffic, uint32_t flow_count) : traffic_(traffic) {
    map_.reserve(flow_count);
    for (uint32_t i = 0; i < traffic.frame_count; ++i) {
      ParsedPacket packet;
      parse(traffic.frame(i), PortId{0}, packet);
      map_.try_emplace(rules_.mask_of(PortId{0}).apply(packet.key));
    }
  }
  uint32_t flow_count() const { return static_cast<uint32_t>(map_.size()); }

  uint32_t pass() {
    ParsedPacket packets[kRxBurst];
    PacketKey keys[kRxBurst];
    uint32_t found = 0;
    const KeyMask& mask = rules_.mask_of(PortId{0});
    for (uint32_t at = 0; at < traffic_.frame_count; at += kRxBurst) {
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        parse(traffic_.frame(at + i), PortId{0}, packets[i]);
      }
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        keys[i] = mask.apply(packets[i].key);
        if constexpr (kPrefetch) map_.prefetch(keys[i]);
      }
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        const auto flow = map_.find(keys[i]);
        if (flow == map_.end()) continue;
        count(flow->second, at);
        ++found;
      }
    }
    return found;
  }

 private:
  const Traffic& traffic_;
  RuleSet rules_ = five_tuple_rules();
  absl::flat_hash_map<PacketKey, FlowState, AbslKeyHash, AbslKeyEqual> map_;
};

// What all contenders share: parse, mask, and no look-up.
class ParseRun {
 public:
  ParseRun(const Traffic& traffic, uint32_t flow_count)
      : traffic_(traffic), flow_count_(flow_count) {}
  uint32_t flow_count() const { return flow_count_; }
  uint32_t pass() {
    ParsedPacket packets[kRxBurst];
    const KeyMask& mask = rules_.mask_of(PortId{0});
    uint32_t found = 0;
    for (uint32_t at = 0; at < traffic_.frame_count; at += kRxBurst) {
      for (uint32_t i = 0; i < kRxBurst; ++i) {
        parse(traffic_.frame(at + i), PortId{0}, packets[i]);
      }
      for (uint32_t i = 0; i < kRxBurst; ++i) found += mask.apply(packets[i].key).protocol == 17;
    }
    return found;
  }

 private:
  const Traffic& traffic_;
  RuleSet rules_ = five_tuple_rules();
  const uint32_t flow_count_;
};

// The fastest pass of about `seconds`, in ns per packet. The machine is shared: what disturbs a
// pass only ever adds to it.
template <class Run>
double ns_per_packet(Run& run, const Traffic& traffic, double seconds) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    const uint32_t found = run.pass();
    const std::chrono::duration<double, std::nano> took = Clock::now() - start;
    if (found != traffic.frame_count) {
      std::fprintf(stderr, "flow_lookup: %u of %u packets found their flow\n", found,
                   traffic.frame_count);
      std::exit(1);
    }
    best = std::min(best, took.count() / traffic.frame_count);
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds);
  return best;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class Run>
void check_size(const Run& run, uint32_t flow_count) {
  if (run.flow_count() == flow_count) return;
  std::fprintf(stderr, "flow_lookup: %u flows instead of %u\n", run.flow_count(), flow_count);
  std::exit(1);
}

void compare(uint32_t flow_count, double seconds) {
  const Traffic traffic(flow_count);
  ParseRun parse_only(traffic, flow_count);
  FlowTableRun ours(traffic, flow_count);
  AbslRun<false> plain(traffic, flow_count);
  AbslRun<true> prefetched(traffic, flow_count);
  check_size(ours, flow_count);
  check_size(plain, flow_count);
  check_size(prefetched, flow_count);
  std::vector<double> ns[4];
  for (uint32_t round = 0; round < kRounds; ++round) {
    const double share = seconds / kRounds;
    ns[0].push_back(ns_per_packet(parse_only, traffic, share));
    ns[1].push_back(ns_per_packet(ours, traffic, share));
    ns[2].push_back(ns_per_packet(plain, traffic, share));
    ns[3].push_back(ns_per_packet(prefetched, traffic, share));
  }
  std::printf("%9u %12.1f %12.1f %12.1f %12.1f %9.2f %9.2f\n", flow_count, median(ns[0]),
              median(ns[1]), median(ns[2]), median(ns[3]), median(ns[2]) / median(ns[1]),
              median(ns[3]) / median(ns[1]));
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  double seconds = 0.5;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i], name = "--benchmark_min_time=";
    if (option.compare(0, name.size(), name) != 0) {
      std::fprintf(stderr, "usage: %s [--benchmark_min_time=SECONDS]\n", argv[0]);
      return 2;
    }
    seconds = std::strtod(option.c_str() + name.size(), nullptr);
  }
  std::printf(
      "# frame to flow, ns per packet: bursts of %u, %u-byte UDP frames, five-tuple mask, "
      "random order, seed %llu,\n# median of %u rounds, %.2f s a contender and size\n",
      mayfly::kRxBurst, mayfly::kFrameBytes, static_cast<unsigned long long>(mayfly::kSeed),
      mayfly::kRounds, seconds);
  std::printf("%9s %12s %12s %12s %12s %9s %9s\n", "flows", "parse+mask", "flow table", "absl",
              "absl+prefetch", "absl/x", "absl+p/x");
  const bool smoke = seconds < 0.1;
  for (const uint32_t flows : smoke ? std::vector<uint32_t>{1'000, 10'000}
                                    : std::vector<uint32_t>{1'000, 100'000, 1'000'000}) {
    mayfly::compare(flows, seconds);
  }
  return 0;
}
