// A traffic source and sink around something that forwards packets, open loop and with the clock
// and the histogram of a gen: port.
//
//   Source:  GenSchedule says when a packet is due -> Wire::send    (a late packet keeps its due
//   time) Sink:    Wire::receive -> latency = now - due time              (also of packets sent
//   late)
//
// Both take orders from the main thread between two turns: a new rate, a window to begin, figures
// to hand over. An order is a plain struct published by `asked` and acknowledged by `done`; the
// main thread waits for the acknowledgement before it touches anything again.
//
// Source and sink run in one thread each, or in one together, as the wire wants it. Each spins on
// the CPU that it is pinned to. `busy` is the share of the source's CPU that was not spent polling
// an idle schedule: everything else, also what the kernel does on that CPU in a softirq or another
// thread, is the cost of the packets.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "instrument/load/frame.h"
#include "runtime/base/clock.h"
#include "runtime/base/histogram.h"
#include "runtime/ports/gen_schedule.h"

namespace mayfly::load {

struct Received {
  uint64_t packets = 0, bytes = 0, tenants = 0;
  Histogram latency;  // cycles
};

// What came back, as Wire::receive reports it.
class Sink {
 public:
  Sink(const FrameFormat& format, uint32_t tenant_count)
      : format_(format), seen_(tenant_count, 0) {}

  void take(const uint8_t* frame, uint32_t captured, uint32_t bytes, Cycles now);
  void begin();
  const Received& received() const { return received_; }

 private:
  const FrameFormat& format_;
  std::vector<uint32_t> seen_;  // window in which the tenant was last heard of
  uint32_t window_ = 1;
  Received received_;
};

class Wire {
 public:
  static constexpr uint32_t kBurst = 64;
  virtual ~Wire() = default;
  // Called once by the thread that will send, before anything else.
  virtual void attach() {}
  // Writes the frames and sends them, in order; returns how many were taken. The others are lost.
  virtual uint32_t send(const FrameFormat& format, std::span<const Due> due) = 0;
  // Gives what has arrived to `sink`, at most a few bursts; true if there was anything.
  virtual bool receive(Sink& sink) = 0;
  // Packets that arrived and were lost in front of receive(), since the last call.
  virtual uint64_t missed() { return 0; }
};

struct Sent {
  uint64_t offered = 0, taken = 0, late = 0;
  uint64_t idle_cycles = 0, began_tsc = 0, ended_tsc = 0;
};

class Engine {
 public:
  struct Plan {
    GenConfig traffic;
    int source_cpu = 0;
    int sink_cpu = -1;  // -1: in the source's thread
  };
  struct Figures {
    Sent sent;
    Received received;
    uint64_t missed = 0;
  };

  Engine(const Plan& plan, std::unique_ptr<Wire> wire, uint64_t tsc_hz);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void set_rate(double pps);  // 0: as fast as the wire takes them; negative: silence
  void begin();
  Figures read();

 private:
  enum class Order : uint8_t { rate, begin, read, stop };
  struct Role {
    bool source, sink;
  };
  struct Threads;

  void give(Order order);
  bool obey(Role role, std::atomic<uint32_t>& done);  // false: stop
  void obey_source(Order order);
  void obey_sink(Order order);
  void run(Role role, std::atomic<uint32_t>& done, int cpu);
  bool source_turn(Cycles now);
  uint32_t next_tenant() {
    if (uniform_) return random_.below(tenant_count_);
    const uint32_t tenant = next_tenant_++;
    if (next_tenant_ == tenant_count_) next_tenant_ = 0;
    return tenant;
  }

  FrameFormat format_;
  std::unique_ptr<Wire> wire_;

  // The source's.
  GenSchedule schedule_;
  GenSizes sizes_;
  Random random_;
  uint32_t tenant_count_;
  bool uniform_;
  uint32_t next_tenant_ = 0;
  bool silent_ = true;
  Sent sent_;

  Sink sink_;  // the sink's

  // The main thread's, but between asked_ and done.
  Order order_ = Order::stop;
  double pps_ = 0;
  Figures figures_;

  uint64_t idle_cycles_max_;
  std::atomic<uint32_t> asked_{0};
  std::atomic<uint32_t> source_done_{0}, sink_done_{0};
  std::unique_ptr<Threads> threads_;
};

}  // namespace mayfly::load
