// The zygotes as the control thread sees them: one per NF of the configuration, started through
// the keeper, asked to fork, told to kill, and the only source of truth about who has died.
//
// A zygote that ends takes its instances along (PDEATHSIG). They count as dead only once the
// kernel has really ended each of them: until then they could still write to a packet.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "nfpool/zygote_protocol.h"
#include "runtime/abi/region.h"
#include "runtime/config/config.h"
#include "scheduler/dispatch.h"

namespace mayfly {

using SteadyTime = std::chrono::steady_clock::time_point;

class Zygotes {
 public:
  struct Shared {
    int keeper_fd;
    std::vector<int> region_fds;  // control, bind, arena
    ControlView control;
    Waker* waker;
  };
  struct Events {
    std::vector<std::pair<NfId, SlotId>> forked;
    struct Death {
      NfId nf;
      SlotId slot;
      int pid;
      int status;  // wait status; SIGKILL for those that went with their zygote
    };
    std::vector<Death> deaths;
    std::vector<std::string> notices;
    std::string fatal;  // a zygote that never became ready, during start-up
  };

  Zygotes(const Config& config, Shared shared);
  ~Zygotes();

  absl::Status start(NfId nf);
  bool ready(NfId nf) const { return links_[index(nf)].ready; }
  int socket(NfId nf) const { return links_[index(nf)].socket; }

  // Asks for up to `count` more instances; returns how many were asked for (bounded by what is
  // outstanding, by free slots and by pool.max).
  uint32_t fork(NfId nf, uint32_t count);
  uint32_t live(NfId nf) const { return links_[index(nf)].live; }
  uint32_t outstanding(NfId nf) const { return links_[index(nf)].outstanding; }
  void kill(SlotId slot);

  // What has happened: messages from a zygote, from the keeper about one, and time passing.
  void on_readable(NfId nf, Events& events);
  void on_exit(const std::string& name, uint32_t generation, int status, Events& events);
  void on_time(SteadyTime now, Events& events);
  bool busy() const { return !orphans_.empty(); }  // on_time() wanted within milliseconds

  // The slot's process, 0 if none. A slot is reused only after release() said so.
  int pid_of(SlotId slot) const { return pids_[index(slot)]; }
  NfId nf_of(SlotId slot) const { return owners_[index(slot)]; }
  uint32_t core_of(SlotId slot) const { return cores_[index(slot)]; }  // index into cores.nfs
  void release(SlotId slot);

 private:
  struct Link {
    int socket = -1;
    uint32_t generation = 0;
    bool ready = false;
    bool was_ready = false;
    uint32_t live = 0;         // processes that run
    uint32_t outstanding = 0;  // asked for, not answered
    uint32_t failures = 0;     // starts in a row that never became ready, or died at once
    SteadyTime started{}, restart_at{}, fork_again_at{};
    bool waiting_to_restart = false;
  };

  void on_message(NfId nf, const ZygoteMessage& message, Events& events);
  void on_forked(NfId nf, const ZygoteMessage& message, Events& events);
  bool owns(NfId nf, SlotId slot) const;
  bool prepare(SlotId slot, uint32_t core, int& wake_fd);
  bool send(NfId nf, const ZygoteMessage& message, std::span<const int> fds);
  static bool process_gone(int pid);

  const Config& config_;
  Shared shared_;
  std::vector<Link> links_;
  std::vector<SlotId> free_slots_;
  std::vector<int> pids_;
  std::vector<NfId> owners_;
  std::vector<uint8_t> cores_;
  std::vector<Events::Death> orphans_;  // of a zygote that ended: not known to be gone yet
  std::vector<std::pair<SlotId, int>> kills_;  // not sent yet
  std::string pending_notice_;
  size_t next_core_ = 0;
};

}  // namespace mayfly
