#include "tests/vswitch/env.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

// One DPDK environment per process: no huge pages, as an ordinary user could have it.
class EalOnce : public testing::Environment {
 public:
  void SetUp() override {
    Config config;
    config.hugepages = Huge::off;
    const absl::Status s = start_eal(config, absl::StrCat("mayfly-vtest-", getpid()));
    ASSERT_TRUE(s.ok()) << s;
    // start_eal() pins the caller to the vSwitch's core; a test has no core of its own.
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); ++cpu) CPU_SET(cpu, &all);
    sched_setaffinity(0, sizeof all, &all);
  }
  void TearDown() override { stop_eal(); }
};
const auto* const kEal = testing::AddGlobalTestEnvironment(new EalOnce);

void put_ipv4(Frame& f, size_t at, uint8_t host, uint8_t protocol, bool reversed) {
  const uint8_t header[20] = {0x45, 0, 0, static_cast<uint8_t>(f.size() - at), 0, 0, 0x40, 0,
                              64, protocol, 0, 0, 10, 0, 0, host, 192, 168, 0, 1};
  std::memcpy(&f[at], header, 20);
  if (reversed) {
    std::memcpy(&f[at + 12], header + 16, 4);
    std::memcpy(&f[at + 16], header + 12, 4);
  }
}

void put_number(Frame& f, uint32_t number) { std::memcpy(&f[f.size() - 4], &number, 4); }

}  // namespace

Frame udp(uint8_t host, uint16_t src_port, uint32_t number, uint16_t bytes) {
  Frame f(bytes, 0);
  f[5] = 1, f[11] = 2, f[12] = 0x08;
  put_ipv4(f, 14, host, 17, false);
  f[34] = static_cast<uint8_t>(src_port >> 8), f[35] = static_cast<uint8_t>(src_port), f[37] = 9;
  put_number(f, number);
  return f;
}

Frame tcp(uint8_t host, uint16_t src_port, uint8_t flags, bool reversed) {
  Frame f(64, 0);
  f[5] = 1, f[11] = 2, f[12] = 0x08;
  put_ipv4(f, 14, host, 6, reversed);
  const size_t ours = reversed ? 36 : 34, theirs = reversed ? 34 : 36;
  f[ours] = static_cast<uint8_t>(src_port >> 8), f[ours + 1] = static_cast<uint8_t>(src_port);
  f[theirs + 1] = 80;
  f[46] = 0x50, f[47] = flags;
  return f;
}

Frame vlan_udp(uint16_t vlan, uint32_t number) {
  Frame plain = udp(1);
  Frame f(plain.begin(), plain.begin() + 12);
  f.insert(f.end(), {0x81, 0x00, static_cast<uint8_t>(vlan >> 8), static_cast<uint8_t>(vlan)});
  f.insert(f.end(), plain.begin() + 12, plain.end());
  put_number(f, number);
  return f;
}

uint32_t number_of(const Frame& frame) {
  uint32_t number;
  std::memcpy(&number, &frame[frame.size() - 4], 4);
  return number;
}

uint32_t WirePort::receive(Cycles now, Ledger& ledger, std::span<BufferId> out) {
  uint32_t count = 0;
  while (count < out.size() && !in.empty()) {
    const BufferId b = arena_.alloc();
    if (b == kNone<BufferId>) break;
    ++ledger.rx;
    PacketMeta& meta = arena_.meta(b);
    meta.length = static_cast<uint16_t>(in.front().size());
    meta.port_in = raw(id());
    meta.due_tsc = now.n;
    std::memcpy(arena_.packet(b), in.front().data(), in.front().size());
    in.pop_front();
    out[count++] = b;
  }
  return count;
}

void WirePort::queue(BufferId b, Ledger&) { tx_.push_back(b); }

void WirePort::flush(Cycles now, Ledger& ledger, Histogram& latency) {
  for (BufferId b : tx_) {
    const PacketMeta& meta = arena_.meta(b);
    out.emplace_back(arena_.packet(b), arena_.packet(b) + meta.length);
    latency.record(now.n - meta.due_tsc);
    ++ledger.tx;
    arena_.free(b);
  }
  tx_.clear();
}

void WirePort::discard_queued(Ledger& ledger, Drop reason) {
  for (BufferId b : tx_) {
    ledger.drop(reason);
    arena_.free(b);
  }
  tx_.clear();
}

Cycles VSwitchTest::now_{0};

Config VSwitchTest::two_ports(std::vector<std::string> nfs, KeyBy by) {
  Config c;
  c.file = "test.yaml";
  c.packets = 2048;
  c.flow_count_max = 4096;
  c.tenant_packets = 1024;
  c.downstream = kDownstream;
  c.wake = {.batch = 1, .adaptive = false, .aging = micros(100)};
  c.ports.resize(2);
  c.ports[0].name = "a";
  c.ports[1].name = "b";
  ChainConfig chain;
  chain.name = "chain";
  for (const std::string& name : nfs) {
    NfConfig nf;
    nf.name = name;
    nf.pool = {.idle = 0, .max = kSlots, .empty = EmptyPool::queue};
    chain.nfs.push_back(static_cast<NfId>(c.nfs.size()));
    c.nfs.push_back(nf);
  }
  c.chains.push_back(chain);
  for (uint8_t p = 0; p < 2; ++p) {
    FlowConfig flow;
    flow.match.port = PortId{p};
    flow.instance_per = p == 1 && by == KeyBy::src_ip ? KeyBy::dst_ip : by;
    flow.out = PortId{static_cast<uint8_t>(1 - p)};
    flow.idle = seconds(30);
    c.flows.push_back(flow);
  }
  return c;
}

void VSwitchTest::start(Config config) {
  now_ = {1'000'000'000};
  config_ = std::move(config);
  auto arena = Arena::create({config_.packets, 4, false, false});
  ASSERT_TRUE(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
  RegionHeader h{};
  h.dispatch = config_.dispatch;
  h.downstream = config_.downstream;
  h.tsc_hz = kHz;
  h.slot_count = 1;
  h.ring_entries = config_.ring_entries;
  h.small_count = arena_->small_count();
  h.jumbo_count = arena_->buffer_count() - arena_->small_count();
  h.core_count = static_cast<uint32_t>(std::max<size_t>(1, config_.nf_cores.size()));
  h.baton_budget = config_.baton.budget;
  lay_out(h);
  region_.assign(h.control_bytes / 8 + 512, 0);
  auto* base = reinterpret_cast<uint8_t*>(region_.data());
  base += 4096 - reinterpret_cast<uintptr_t>(base) % 4096;
  control_ = ControlView(base, h);
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    auto wire = std::make_unique<WirePort>(config_.ports[i].name, static_cast<PortId>(i), *arena_);
    wires_.push_back(wire.get());
    ports_.push_back(std::move(wire));
  }
  nfs_.resize(h.slot_count);
  loops_.resize(h.slot_count);
  seats_.resize(h.slot_count);
  images_.resize(config_.nfs.size());
  for (size_t i = 0; i < images_.size(); ++i) {
    images_[i].tick_period_ns = config_.nfs[i].tick_period_ns;
    images_[i].blank_buffers = config_.nfs[i].blank_buffers;
  }
  attention_fd_ = eventfd(0, EFD_NONBLOCK);
  vswitch_ = std::make_unique<VSwitch>(VSwitch::Setup{&config_, arena_.get(), control_, &ports_,
                                                      &waker_, TscRate(kHz), attention_fd_,
                                                      [] { return now_; }});
  vswitch_->open_traffic();
}

void VSwitchTest::TearDown() {
  loops_.clear();
  vswitch_.reset();
  ports_.clear();
  arena_.reset();
  close(attention_fd_);
}

std::vector<SlotId> VSwitchTest::give(uint32_t nf, uint32_t count) {
  std::vector<SlotId> slots;
  for (uint32_t i = 0; i < count; ++i) {
    const SlotId s{next_slot_++};
    slots.push_back(s);
    std::memset(static_cast<void*>(&control_.slot(s)), 0, control_.header().slot_bytes);
    std::memset(static_cast<void*>(&control_.wake(s)), 0, sizeof(WakeEntry));
    nfs_[index(s)] = std::make_unique<TestNf>();
    const NfEnvironment environment{control_, bind_region_.data(), arena_->buffer(BufferId{0}),
                                    &images_[nf], nfs_[index(s)].get()};
    loops_[index(s)] = std::make_unique<NfLoop>(environment, s, -1);
    seats_[index(s)] = std::make_unique<BatonSeat>(control_, 0, s);
    control_.wake(s).word.store(kAsleep);
  }
  vswitch_->add_idle(static_cast<NfId>(nf), slots);
  return slots;
}

void VSwitchTest::turn(Nanos step) {
  vswitch_->turn(now_);
  now_ = now_ + Cycles{static_cast<uint64_t>(step.n)};
}

void VSwitchTest::run_nf(SlotId slot) {
  if (config_.dispatch == Dispatch::baton) {
    while (loops_[index(slot)]->baton_turn(*seats_[index(slot)])) {
    }
    return;
  }
  while (loops_[index(slot)]->turn()) {
  }
  wake(slot).word.store(kAsleep);
}

void VSwitchTest::run_nfs() {
  for (uint32_t s = 0; s < next_slot_; ++s)
    if (loops_[s] && wake(SlotId{s}).word.load() == kAwake) run_nf(SlotId{s});
}

void VSwitchTest::settle(Nanos step) {
  for (int i = 0; i < 64; ++i) {
    turn(step);
    run_nfs();
  }
}

void VSwitchTest::pass(Nanos time) {
  const int64_t turns = std::min<int64_t>(10'000, time.n / 100'000 + 1);
  for (int64_t i = 0; i < turns; ++i) {
    turn({time.n / turns});
    run_nfs();
  }
}

std::vector<SlotId> VSwitchTest::bound(uint32_t nf) {
  std::vector<SlotId> slots;
  for (uint32_t s = 0; s < next_slot_; ++s) {
    const Instance& instance = vswitch_->instances()[s];
    if (instance.state == InstanceState::bound && instance.nf == static_cast<NfId>(nf))
      slots.push_back(SlotId{s});
  }
  return slots;
}

SlotId VSwitchTest::only_bound(uint32_t nf) {
  const auto slots = bound(nf);
  EXPECT_EQ(slots.size(), 1u);
  return slots.empty() ? SlotId{0} : slots[0];
}

void VSwitchTest::give_back(SlotId slot, const std::vector<Descriptor>& descriptors) {
  NfOutput out(control_, slot);
  for (Descriptor d : descriptors) out.write(d);
  out.publish();
}

void VSwitchTest::expect_balance() {
  std::string lost;
  for (size_t i = 0; i < kDropCount; ++i)
    if (const uint64_t n = vswitch_->ledger().drops[i]; n != 0)
      absl::StrAppend(&lost, std::string(drop_name(static_cast<Drop>(i))), " ", n, "; ");
  SCOPED_TRACE("dropped: " + lost);
  EXPECT_EQ(static_cast<int64_t>(arena_->count_held()), vswitch_->ledger().held());
}

}  // namespace mayfly
