#include "scheduler/dispatch.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

// Also `poll`: a bound NF never sleeps, but an idle one does, and binding wakes it. Also `baton`:
// the wake of a parked one.
class FutexWaker : public Waker {
 public:
  void wake(SlotId, WakeEntry& entry) override { futex_wake(entry.word); }
  absl::StatusOr<int> prepare(SlotId, WakeEntry&) override { return -1; }
};

class SemaphoreWaker : public Waker {
 public:
  void wake(SlotId, WakeEntry& entry) override { sem_post(&entry.semaphore); }
  absl::StatusOr<int> prepare(SlotId, WakeEntry& entry) override {
    if (sem_init(&entry.semaphore, /*pshared=*/1, 0) != 0)
      return absl::InternalError(absl::StrCat("sem_init: ", strerror(errno)));
    return -1;
  }
};

class EventfdWaker : public Waker {
 public:
  explicit EventfdWaker(uint32_t slot_count) : fds_(slot_count, -1) {}
  ~EventfdWaker() override {
    for (int fd : fds_)
      if (fd >= 0) close(fd);
  }
  void wake(SlotId slot, WakeEntry&) override {
    const uint64_t one = 1;
    // Cannot block: the counter would have to reach 2^64 - 2 first, or an NF saturates its own,
    // which EFD_NONBLOCK turns into its own loss.
    [[maybe_unused]] const ssize_t n = write(fds_[index(slot)], &one, sizeof one);
  }
  absl::StatusOr<int> prepare(SlotId slot, WakeEntry&) override {
    int& fd = fds_[index(slot)];
    if (fd >= 0) close(fd);  // whatever its last owner did to it ends here
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
      return absl::ResourceExhaustedError(
          absl::StrCat("no eventfd for one more instance: ", strerror(errno),
                       "; raise the descriptor limit (ulimit -n) or use dispatch: futex"));
    return fd;
  }

 private:
  std::vector<int> fds_;
};

}  // namespace

std::string_view dispatch_name(Dispatch dispatch) {
  switch (dispatch) {
    case Dispatch::poll: return "poll";
    case Dispatch::semaphore: return "semaphore";
    case Dispatch::eventfd: return "eventfd";
    case Dispatch::futex: return "futex";
    case Dispatch::uring: return "uring";
    case Dispatch::baton: return "baton";
  }
  return "?";
}

absl::StatusOr<Dispatch> parse_dispatch(std::string_view name) {
  for (Dispatch d : {Dispatch::poll, Dispatch::semaphore, Dispatch::eventfd, Dispatch::futex,
                     Dispatch::baton})
    if (dispatch_name(d) == name) return d;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown dispatch '", std::string(name),
                   "'; this version has poll, semaphore, eventfd, futex, baton"));
}

std::unique_ptr<Waker> make_waker(Dispatch dispatch, uint32_t slot_count) {
  switch (dispatch) {
    case Dispatch::semaphore: return std::make_unique<SemaphoreWaker>();
    case Dispatch::eventfd: return std::make_unique<EventfdWaker>(slot_count);
    default: return std::make_unique<FutexWaker>();
  }
}

}  // namespace mayfly
