// Running something on the vSwitch lcore from another thread. Every call is synchronous: it posts
// a pointer to the caller's own closure, and waits until the lcore has run it between two turns.
// Nothing is allocated or freed on the lcore, and a turn without commands costs it one load.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "absl/functional/function_ref.h"

namespace mayfly {

class CommandQueue {
 public:
  using Closure = absl::FunctionRef<void()>;

  // Any thread but the lcore's. Waits for the lcore (bounded by one turn).
  void call(Closure closure) {
    Command command{closure, {}};
    {
      std::lock_guard lock(producers_);
      while (head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire) ==
             kDepth)
        nap();
      const uint32_t at = head_.load(std::memory_order_relaxed);
      commands_[at % kDepth] = &command;
      head_.store(at + 1, std::memory_order_release);  // pairs with the acquire in run()
    }
    // acquire pairs with the release in run(): we see all that the closure wrote.
    while (!command.done.load(std::memory_order_acquire)) nap();
  }

  bool pending() const {
    return head_.load(std::memory_order_relaxed) != tail_.load(std::memory_order_relaxed);
  }
  // The lcore, between two turns. At most kDepth commands.
  void run() {
    const uint32_t head = head_.load(std::memory_order_acquire);
    uint32_t at = tail_.load(std::memory_order_relaxed);
    while (at != head) {
      Command* command = commands_[at++ % kDepth];
      tail_.store(at, std::memory_order_release);
      command->closure();
      command->done.store(true, std::memory_order_release);  // the caller's frame ends after this
    }
  }

 private:
  struct Command {
    Closure closure;
    std::atomic<bool> done{false};
  };
  static constexpr uint32_t kDepth = 16;

  static void nap() {
    const timespec t{0, 20'000};
    nanosleep(&t, nullptr);
  }

  std::mutex producers_;
  std::array<Command*, kDepth> commands_{};
  std::atomic<uint32_t> head_{0};
  std::atomic<uint32_t> tail_{0};
};

}  // namespace mayfly
