#include "scheduler/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mayfly {
namespace {

void futex_wait_while(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
}

void wait_eventfd(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) >= 0 || errno != EAGAIN) return;
  pollfd waiting{fd, POLLIN, 0};  // it is non-blocking for the vSwitch's sake: wait for it here
  poll(&waiting, 1, -1);
}

}  // namespace

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void park(Dispatch dispatch, WakeEntry& entry, int wake_fd) {
  // Each wait may end early (a signal, a token left from an earlier race): the word decides.
  // acquire pairs with the vSwitch's exchange: what it published before is visible after.
  while (entry.word.load(std::memory_order_acquire) == kAsleep) {
    switch (dispatch) {
      case Dispatch::semaphore: sem_wait(&entry.semaphore); break;
      case Dispatch::uring:
      case Dispatch::eventfd: wait_eventfd(wake_fd); break;
      default: futex_wait_while(entry.word, kAsleep); break;
    }
  }
}

}  // namespace mayfly
