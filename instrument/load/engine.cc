#include "instrument/load/engine.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <random>
#include <thread>

namespace mayfly::load {
namespace {

// A turn without work that took longer was interrupted: by a softirq, or by another thread.
constexpr uint64_t kIdleTurnNanos = 2000;

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

constexpr int kRestPauses = 32;
void rest() {
  for (int i = 0; i < kRestPauses; ++i) __builtin_ia32_pause();
}

}  // namespace

void Sink::take(const uint8_t* frame, uint32_t captured, uint32_t bytes, Cycles now) {
  const std::optional<Due> due = format_.read(frame, captured, bytes);
  if (!due || due->tenant >= seen_.size()) return;
  ++received_.packets;
  received_.bytes += due->bytes;
  received_.latency.record(now.n > due->tsc ? now.n - due->tsc : 0);
  if (seen_[due->tenant] != window_) {
    seen_[due->tenant] = window_;
    ++received_.tenants;
  }
}

void Sink::begin() {
  ++window_;
  received_.packets = received_.bytes = received_.tenants = 0;
  received_.latency.clear();
}

struct Engine::Threads {
  std::thread source, sink;
};

Engine::Engine(const Plan& plan, std::unique_ptr<Wire> wire, uint64_t tsc_hz)
    : format_(std::random_device()()),
      wire_(std::move(wire)),
      schedule_(plan.traffic, tsc_hz),
      sizes_(plan.traffic),
      random_(plan.traffic.seed),
      tenant_count_(plan.traffic.flows),
      uniform_(plan.traffic.order == FlowOrder::uniform),
      sink_(format_, plan.traffic.flows),
      idle_cycles_max_(TscRate(tsc_hz).cycles(Nanos{kIdleTurnNanos}).n),
      threads_(std::make_unique<Threads>()) {
  const bool one = plan.sink_cpu < 0;
  threads_->source = std::thread([this, one, cpu = plan.source_cpu] {
    run({.source = true, .sink = one}, source_done_, cpu);
  });
  if (one) {
    sink_done_.store(UINT32_MAX);
  } else {
    threads_->sink = std::thread(
        [this, cpu = plan.sink_cpu] { run({.source = false, .sink = true}, sink_done_, cpu); });
  }
}

Engine::~Engine() {
  give(Order::stop);
  threads_->source.join();
  if (threads_->sink.joinable()) threads_->sink.join();
}

void Engine::set_rate(double pps) {
  pps_ = pps;
  give(Order::rate);
}

void Engine::begin() { give(Order::begin); }

Engine::Figures Engine::read() {
  give(Order::read);
  return figures_;
}

// Main thread only. release/acquire pairs with obey().
void Engine::give(Order order) {
  order_ = order;
  const uint32_t number = asked_.load(std::memory_order_relaxed) + 1;
  asked_.store(number, std::memory_order_release);
  for (std::atomic<uint32_t>* done : {&source_done_, &sink_done_}) {
    while (done->load(std::memory_order_acquire) < number) std::this_thread::yield();
  }
}

bool Engine::obey(Role role, std::atomic<uint32_t>& done) {
  const Order order = order_;
  if (role.source) obey_source(order);
  if (role.sink) obey_sink(order);
  done.store(asked_.load(std::memory_order_relaxed), std::memory_order_release);
  return order != Order::stop;
}

void Engine::obey_source(Order order) {
  const Cycles now = tsc_now();
  switch (order) {
    case Order::rate:
      silent_ = pps_ < 0;
      schedule_.set_rate(std::max(pps_, 0.0));
      break;
    case Order::begin:
      sent_ = {};
      sent_.began_tsc = now.n;
      break;
    case Order::read:
      sent_.ended_tsc = now.n;
      figures_.sent = sent_;
      break;
    case Order::stop:
      break;
  }
}

void Engine::obey_sink(Order order) {
  if (order == Order::begin) {
    sink_.begin();
    wire_->missed();
  } else if (order == Order::read) {
    figures_.received = sink_.received();
    figures_.missed = wire_->missed();
  }
}

void Engine::run(Role role, std::atomic<uint32_t>& done, int cpu) {
  pin(cpu);
  pthread_setname_np(pthread_self(), role.source ? "source" : "sink");
  if (role.source) wire_->attach();
  Cycles last = tsc_now();
  bool worked = true;
  while (true) {
    if (asked_.load(std::memory_order_acquire) != done.load(std::memory_order_relaxed)) {
      if (!obey(role, done)) return;
      worked = true;
    }
    const Cycles now = tsc_now();
    if (role.source && !worked && now.n - last.n < idle_cycles_max_)
      sent_.idle_cycles += now.n - last.n;
    last = now;
    worked = role.source && source_turn(now);
    if (role.sink) worked |= wire_->receive(sink_);
    // A sink that has nothing to read leaves the core's other thread, and the memory that the
    // kernel is about to write, alone for a moment.
    if (!role.source && !worked) rest();
  }
}

// Sends a burst of what is due by now.
bool Engine::source_turn(Cycles now) {
  if (silent_) return false;
  if (!schedule_.started()) schedule_.restart(now);
  std::array<Due, Wire::kBurst> due;
  const uint64_t late_cycles = schedule_.gaps(Wire::kBurst).n;
  uint32_t n = 0;
  while (n < due.size() && schedule_.is_due(now)) {
    const uint64_t tsc = schedule_.due(now).n;
    if (now.n - tsc > late_cycles) ++sent_.late;
    schedule_.advance();
    due[n++] = {tsc, next_tenant(), sizes_.next(random_)};
  }
  if (n == 0) return false;
  sent_.offered += n;
  sent_.taken += wire_->send(format_, std::span(due).first(n));
  return true;
}

}  // namespace mayfly::load
