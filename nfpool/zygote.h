// The zygote: a small single-threaded process that loads one NF image, runs its create() once, and
// then forks instances of it on request. A fork of this lean process is what makes an instance
// cost a fraction of a millisecond and some tens of KiB. Lean means: no library but libc, few
// mappings, and nothing written between two forks but its stack (children.h says why).
//
// Everything dies in the right order by itself: keeper -> zygote -> instances, each holding
// PDEATHSIG on its parent. Deaths of instances come in by signalfd, none is ever polled for.
#pragma once

#include <string>

#include "nfpool/children.h"
#include "nfpool/nf_loop.h"
#include "nfpool/zygote_protocol.h"

namespace mayfly {

class Zygote {
 public:
  // Maps the descriptors, loads and creates; an exit code of zygote_protocol.h if that fails.
  static int main(const std::string& image_path, const std::string& name);

 private:
  int map_regions();
  int load(const std::string& image_path);
  int serve();
  bool on_message();             // false: the dataplane is gone
  void on_fork(ZygoteMessage& message, const int* wake_fds, uint32_t wake_fd_count);
  [[noreturn]] void become_instance(SlotId slot, uint32_t core, int wake_fd);
  void on_kill(SlotId slot);
  void reap();
  void send(const ZygoteMessage& message);

  std::string name_;
  NfEnvironment env_;
  int signal_fd_ = -1;
  int pid_ = 0;
  Children children_;
  // An instance's. Here, so that the image can be told where it is once for all its instances.
  alignas(NfLoop) std::byte loop_[sizeof(NfLoop)];
};

}  // namespace mayfly
