// A turn allocates nothing, whatever comes and goes: 100,000 connections, each its own flow and
// binding, through a few dozen instances.
#include <cstdlib>
#include <new>

#include "tests/vswitch/env.h"

namespace {
thread_local bool counting = false;
thread_local uint64_t allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations += counting;
  void* memory = alignment <= alignof(std::max_align_t)
                     ? std::malloc(bytes)
                     : std::aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// The other forms of new and delete come down to these.
void* operator new(std::size_t bytes) { return counted(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace mayfly {
namespace {

// Every packet belongs to a connection of its own. What is sent is freed.
class ChurnPort : public Port {
 public:
  ChurnPort(PortId id, Arena& arena) : Port("churn", id), arena_(arena), frame_(udp(1)) {}

  uint32_t receive(Cycles now, Ledger& ledger, std::span<BufferId> out) override {
    const uint32_t count = std::min<uint32_t>(due, static_cast<uint32_t>(out.size()));
    for (uint32_t i = 0; i < count; ++i, ++connections) {
      out[i] = arena_.alloc();
      if (out[i] == kNone<BufferId>) return i;
      ++ledger.rx;
      PacketMeta& meta = arena_.meta(out[i]);
      meta.length = static_cast<uint16_t>(frame_.size());
      meta.port_in = raw(id());
      meta.due_tsc = now.n;
      const uint32_t scrambled = connections * 0x9e3779b1u;  // each once, in no order
      std::copy_n(reinterpret_cast<const uint8_t*>(&scrambled), 4, &frame_[32]);
      std::copy(frame_.begin(), frame_.end(), arena_.packet(out[i]));
    }
    return count;
  }
  void queue(BufferId b, Ledger& ledger) override {
    ++ledger.tx;
    arena_.free(b);
  }
  void flush(Cycles, Ledger&, Histogram&) override {}
  void discard_queued(Ledger&, Drop) override {}
  uint32_t queued() const override { return 0; }
  PortCounters counters() const override { return {}; }
  uint32_t frame_bytes_max() const override { return 65535; }

  uint32_t due = 0;
  uint32_t connections = 0;

 private:
  Arena& arena_;
  Frame frame_;
};

using AllocationTest = VSwitchTest;

TEST_F(AllocationTest, AHundredThousandFlowsThroughAFewInstances) {
  constexpr uint32_t kFlows = 100'000, kPerTurn = 2;
  Config c = two_ports({"x", "y"}, KeyBy::five_tuple);
  c.flows[0].idle = millis(2);
  c.flows[0].out = PortId{0};
  start(c);
  give(0, 48);
  give(1, 48);
  auto port = std::make_unique<ChurnPort>(PortId{0}, *arena_);
  ChurnPort& churn = *port;
  ports_[0] = std::move(port);
  Attention attention = vswitch_->empty_attention();
  waker_.woken.reserve(4 * kFlows);  // the test's own notes
  while (churn.connections < kFlows) {
    churn.due = kPerTurn;
    counting = true;
    turn(micros(250));
    vswitch_->fetch_attention(attention);  // as the control thread does, between two turns
    counting = false;
    run_nfs();
  }
  EXPECT_EQ(allocations, 0u);
  churn.due = 0;
  pass(millis(20));
  EXPECT_EQ(vswitch_->ledger().tx, kFlows);
  EXPECT_EQ(vswitch_->nfs()[0].binds, kFlows);
  EXPECT_EQ(vswitch_->live_bindings(), 0u);
  expect_balance();
}

}  // namespace
}  // namespace mayfly
