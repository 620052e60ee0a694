#include "runtime/dataplane/baton_judge.h"

#include <sys/resource.h>
#include <time.h>

#include <cstdio>
#include <cstring>

namespace mayfly {
namespace {

constexpr auto kForgiveAfter = std::chrono::seconds(1);
constexpr int kLowestWeight = 19;

// The CPU time of another process; nothing if it is gone.
std::optional<uint64_t> cpu_ns(int pid) {
  if (pid == 0) return std::nullopt;  // to the kernel that would be ourselves
  clockid_t clock;
  timespec t;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return std::nullopt;
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

// Does it want to run? (proc(5): the state follows the name, which may hold anything.)
bool is_runnable(int pid) {
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "re");
  if (file == nullptr) return false;
  const size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  const char* name_end = strrchr(text, ')');
  return name_end != nullptr && name_end[1] != 0 && name_end[2] == 'R';
}

}  // namespace

BatonVerdict BatonJudge::look(uint32_t core, const std::optional<BatonSuspect>& suspect, int pid,
                              Time now) {
  Case& it = cases_[core];
  if (!suspect) {
    if (it.head) --open_cases_;
    it = {};
    if (open_cases_ == 0) forgive(now);
    return BatonVerdict::wait;
  }
  const auto cpu = cpu_ns(pid);
  if (!cpu) return BatonVerdict::revoke;
  if (it.head != suspect->head) {
    if (!it.head) ++open_cases_;
    it = {suspect->head, *cpu, false};
    return BatonVerdict::wait;
  }
  if (*cpu - it.cpu_ns >= static_cast<uint64_t>(config_.slice.n)) return BatonVerdict::revoke;
  const bool blocked = !is_runnable(pid);
  if (blocked && it.was_blocked) return BatonVerdict::revoke;
  it.was_blocked = blocked;
  return BatonVerdict::wait;
}

bool BatonJudge::punish(int pid, Time now) {
  Culprit& culprit = culprits_[pid];
  setpriority(PRIO_PROCESS, static_cast<id_t>(pid), kLowestWeight);
  culprit.last = now;
  if (++culprit.strikes < kStrikes) return false;
  culprits_.erase(pid);
  return true;
}

void BatonJudge::forgive(Time now) {
  for (auto it = culprits_.begin(); it != culprits_.end();) {
    if (now - it->second.last < kForgiveAfter) {
      ++it;
      continue;
    }
    setpriority(PRIO_PROCESS, static_cast<id_t>(it->first), 0);
    it = culprits_.erase(it);
  }
}

}  // namespace mayfly
