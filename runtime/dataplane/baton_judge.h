// Who keeps the baton too long. The vSwitch sees that a core's head does not move while others
// wait; whether that is the owner's fault is judged here, by its own CPU time, because on a core
// that it shares with others the wall clock lies:
//
//   it has used `baton.slice` of CPU since it was first suspected      guilty
//   it does not want to run: blocked in a system call, stopped, gone   guilty at the second look
//   it wants to run, and somebody else has the core                    not its fault: wait
//   it has the lowest weight already (see below)                       guilty: on a busy core it may
//                                                                      never get to run
//
// Whoever was found guilty runs on with the lowest weight (scheduler/low_weight.h) until it has behaved
// for a second; whoever is found guilty `baton.restart_after` times without a pause is to be killed,
// and the pool replaces it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/config/config.h"
#include "runtime/vswitch/vswitch.h"
#include "scheduler/low_weight.h"

namespace mayfly {

enum class BatonVerdict : uint8_t { wait, revoke };

class BatonJudge {
 public:
  using Time = std::chrono::steady_clock::time_point;
  BatonJudge(const BatonConfig& config, size_t core_count, LowWeight& low_weight)
      : config_(config), cases_(core_count), low_weight_(low_weight) {}

  // `suspect`: whom the vSwitch suspects on this core now, if anybody.
  BatonVerdict look(uint32_t core, const std::optional<BatonSuspect>& suspect, int pid, Time now);
  // After its baton was revoked: lowers its weight. True: once too often, kill it.
  bool punish(int pid, Time now);
  bool busy() const { return open_cases_ != 0; }  // look again within a millisecond

  uint32_t in_low_weight() const { return static_cast<uint32_t>(culprits_.size()); }

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
  LowWeight& low_weight_;
  uint32_t open_cases_ = 0;
  std::unordered_map<int, Culprit> culprits_;  // by pid; few
};

}  // namespace mayfly
