#include "scheduler/dispatch.h"

#include <errno.h>
#include <liburing.h>
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

 protected:
  std::vector<int> fds_;
};

// The eventfd writes of a turn, submitted together.
class UringWaker : public EventfdWaker {
 public:
  static absl::StatusOr<std::unique_ptr<UringWaker>> create(uint32_t slot_count) {
    auto waker = std::unique_ptr<UringWaker>(new UringWaker(slot_count));
    const int error = -io_uring_queue_init(kEntries, &waker->ring_, 0);
    if (error != 0) return absl::UnavailableError(strerror(error));
    waker->open_ = true;
    return waker;
  }
  ~UringWaker() override {
    if (open_) io_uring_queue_exit(&ring_);
  }
  void wake(SlotId slot, WakeEntry&) override {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {  // more wakes than entries: an extra system call
      submit();
      entry = io_uring_get_sqe(&ring_);
    }
    io_uring_prep_write(entry, fds_[index(slot)], &kOne, sizeof kOne, 0);
    ++pending_;
  }
  void submit() override {
    if (pending_ == 0) return;
    pending_ = 0;
    io_uring_submit(&ring_);
    // Writes to a non-blocking eventfd complete at once; a slot whose fd has gone meanwhile has no
    // process to wake.
    io_uring_cqe* done;
    while (io_uring_peek_cqe(&ring_, &done) == 0) io_uring_cqe_seen(&ring_, done);
  }

 private:
  static constexpr unsigned kEntries = 256;
  static constexpr uint64_t kOne = 1;
  explicit UringWaker(uint32_t slot_count) : EventfdWaker(slot_count) {}
  io_uring ring_{};
  bool open_ = false;
  uint32_t pending_ = 0;
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
                     Dispatch::uring, Dispatch::baton})
    if (dispatch_name(d) == name) return d;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown dispatch '", std::string(name),
                   "'; there are poll, semaphore, eventfd, futex, uring, baton"));
}

std::unique_ptr<Waker> make_waker(Dispatch dispatch, uint32_t slot_count, std::string* notice) {
  switch (dispatch) {
    case Dispatch::uring: {
      auto uring = UringWaker::create(slot_count);
      if (uring.ok()) return *std::move(uring);
      if (notice != nullptr)
        *notice = absl::StrCat("no io_uring here (", std::string(uring.status().message()),
                               "): dispatch uring writes to each eventfd by itself");
      return std::make_unique<EventfdWaker>(slot_count);
    }
    case Dispatch::semaphore: return std::make_unique<SemaphoreWaker>();
    case Dispatch::eventfd: return std::make_unique<EventfdWaker>(slot_count);
    default: return std::make_unique<FutexWaker>();
  }
}

}  // namespace mayfly
