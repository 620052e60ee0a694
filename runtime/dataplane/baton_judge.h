// Who keeps the baton too long. The vSwitch sees that a core's head does not move while others
// wait; whether that is the owner's fault is judged here, by its own CPU time, because on a core
// that it shares with others the wall clock lies:
//
//   it has used `baton.slice` of CPU since it was first suspected      guilty
//   it does not want to run: blocked in a system call, stopped, gone   guilty at the second look
//   it wants to run, and somebody else has the core                    not its fault: wait
//
// Whoever was found guilty runs on at nice 19 until it has behaved for a second; whoever is found
// guilty kStrikes times in a row is to be killed, and the pool replaces it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/config/config.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

enum class BatonVerdict : uint8_t { wait, revoke };

class BatonJudge {
 public:
  using Time = std::chrono::steady_clock::time_point;
  BatonJudge(const BatonConfig& config, size_t core_count) : config_(config), cases_(core_count) {}

  // `suspect`: whom the vSwitch suspects on this core now, if anybody.
  BatonVerdict look(uint32_t core, const std::optional<BatonSuspect>& suspect, int pid, Time now);
  // After its baton was revoked: lowers its weight. True: once too often, kill it.
  bool punish(int pid, Time now);
  bool busy() const { return open_cases_ != 0; }  // look again within a millisecond

  static constexpr uint32_t kStrikes = 50;

 private:
  struct Case {
    std::optional<BatonHead> head;
    uint64_t cpu_ns = 0;       // of the owner when it was first suspected
    bool was_blocked = false;  // at the last look
  };
  struct Culprit {
    uint32_t strikes = 0;
    Time last{};
  };
  void forgive(Time now);

  const BatonConfig& config_;
  std::vector<Case> cases_;
  uint32_t open_cases_ = 0;
  std::unordered_map<int, Culprit> culprits_;  // by pid; few
};

}  // namespace mayfly
