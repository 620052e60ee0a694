#include "nfpool/zygote.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>

#include "nfpool/image_loader.h"

namespace mayfly {
namespace {

void* map_fd(int fd, size_t bytes, int protection) {
  void* at = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? nullptr : at;
}

std::span<const std::byte> map_args() {
  struct stat st;
  if (fstat(kZygoteArgsFd, &st) != 0 || st.st_size == 0) return {};
  const void* at = mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, kZygoteArgsFd, 0);
  if (at == MAP_FAILED) return {};
  return {static_cast<const std::byte*>(at), static_cast<size_t>(st.st_size)};
}

// An instance writes all over a shared ring: one call now, in place of a page fault for every 256
// packets or so until it has been everywhere. Where the kernel cannot (before 5.14), faults it is.
void populate(const SharedRing& ring) {
#ifdef MADV_POPULATE_WRITE
  if (ring.exists())
    madvise(static_cast<void*>(ring.entries), ring.size() * sizeof(SharedEntry),
            MADV_POPULATE_WRITE);
#endif
}

}  // namespace

int Zygote::main(const std::string& image_path, const std::string& name) {
  Zygote zygote;
  zygote.name_ = name;
  zygote.pid_ = getpid();
  setpgid(0, 0);  // Ctrl-C at the keeper's terminal drains the run, it does not kill the NFs
  if (const int code = zygote.map_regions(); code != 0) return code;
  if (const int code = zygote.load(image_path); code != 0) return code;
  return zygote.serve();
}

int Zygote::map_regions() {
  RegionHeader header{};
  if (pread(kZygoteControlFd, &header, sizeof header, 0) != sizeof header ||
      header.magic != kRegionMagic || header.version != kAbiVersion) {
    fprintf(stderr, "mayfly-zygote %s: descriptor %d is not a control region of ABI %u\n",
            name_.c_str(), kZygoteControlFd, kAbiVersion);
    return kZygoteExitRegion;
  }
  void* control = map_fd(kZygoteControlFd, header.control_bytes, PROT_READ | PROT_WRITE);
  void* bind = map_fd(kZygoteBindFd, header.bind_bytes, PROT_READ);
  void* arena = map_fd(kZygoteArenaFd, header.arena_bytes, PROT_READ | PROT_WRITE);
  if (!control || !bind || !arena || !children_.map()) {
    fprintf(stderr, "mayfly-zygote %s: cannot map the domain's memory: %s\n", name_.c_str(),
            strerror(errno));
    return kZygoteExitRegion;
  }
  env_.control = ControlView(control, header);
  env_.bind_base = static_cast<const std::byte*>(bind);
  env_.arena = static_cast<uint8_t*>(arena);
  return 0;
}

int Zygote::load(const std::string& image_path) {
  std::string error;
  env_.image = load_image(image_path, error);
  if (env_.image == nullptr) {
    fprintf(stderr, "mayfly-zygote %s: %s\n", name_.c_str(), error.c_str());
    return kZygoteExitImage;
  }
  env_.nf = env_.image->create(map_args());
  if (env_.nf == nullptr) {
    fprintf(stderr, "mayfly-zygote %s: create() of %s failed\n", name_.c_str(), image_path.c_str());
    return kZygoteExitCreate;
  }
  if (env_.control.header().dispatch == Dispatch::baton)
    NfLoop::hook(*env_.image->core, reinterpret_cast<NfLoop*>(loop_));
  for (int fd : {kZygoteControlFd, kZygoteBindFd, kZygoteArenaFd, kZygoteArgsFd}) close(fd);
  return 0;
}

int Zygote::serve() {
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, nullptr);
  signal_fd_ = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  send({.op = ZygoteOp::ready});
  pollfd waiting[2] = {{kZygoteSocketFd, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
  for (;;) {
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return 1;
    if (waiting[1].revents != 0) reap();
    if (waiting[0].revents != 0 && !on_message()) return 0;
  }
}

bool Zygote::on_message() {
  ZygoteMessage message;
  iovec data{&message, sizeof message};
  alignas(cmsghdr) char space[CMSG_SPACE(kForkBatchMax * sizeof(int))];
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = space;
  header.msg_controllen = sizeof space;
  const ssize_t n = recvmsg(kZygoteSocketFd, &header, MSG_CMSG_CLOEXEC);
  if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) return false;
  if (n != sizeof message) return true;
  int fds[kForkBatchMax];
  uint32_t fd_count = 0;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&header); c && c->cmsg_type == SCM_RIGHTS) {
    fd_count = static_cast<uint32_t>((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), fd_count * sizeof(int));
  }
  if (message.op == ZygoteOp::fork) on_fork(message, fds, fd_count);
  if (message.op == ZygoteOp::kill) on_kill(SlotId{message.slots[0]});
  return true;
}

void Zygote::on_fork(ZygoteMessage& message, const int* wake_fds, uint32_t wake_fd_count) {
  if (message.count > kForkBatchMax) message.count = kForkBatchMax;
  message.op = ZygoteOp::forked;
  message.status = 0;
  for (uint32_t i = 0; i < message.count; ++i) {
    const SlotId slot{message.slots[i]};
    const int wake_fd = i < wake_fd_count ? wake_fds[i] : -1;
    // Not fork(): its handlers for threads and locks, of which a zygote has none, write to pages of
    // libc and of the loader, each of which then becomes the child's own.
    const pid_t pid = _Fork();
    if (pid == 0) {
      for (uint32_t other = 0; other < wake_fd_count; ++other)
        if (other != i) close(wake_fds[other]);
      become_instance(slot, message.core, wake_fd);
    }
    if (pid > 0) children_.add(pid, slot);
    if (pid < 0) message.status = errno;
    message.pids[i] = pid > 0 ? pid : 0;
  }
  for (uint32_t i = 0; i < wake_fd_count; ++i) close(wake_fds[i]);
  send(message);
}

void Zygote::become_instance(SlotId slot, uint32_t core, int wake_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != pid_) _exit(0);  // the zygote died before PDEATHSIG was set
  close(kZygoteSocketFd);
  close(signal_fd_);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  char title[16];
  snprintf(title, sizeof title, "nf:%.7s/%u", name_.c_str(), raw(slot));
  prctl(PR_SET_NAME, title);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(core, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  if (env_.control.header().dispatch == Dispatch::baton) {
    // Whoever is handed the baton must not preempt the one who hands it over and goes to sleep.
    const sched_param none_wanted{};
    sched_setscheduler(0, SCHED_BATCH, &none_wanted);
  }
  populate(env_.control.shared_ring());
  (new (loop_) NfLoop(env_, slot, wake_fd))->run();
}

void Zygote::on_kill(SlotId slot) {
  // A pid in the table has not been reaped, so it cannot have been given to another process.
  if (const int pid = children_.pid_of(slot); pid != 0) kill(pid, SIGKILL);
}

void Zygote::reap() {
  signalfd_siginfo drained[16];
  while (read(signal_fd_, drained, sizeof drained) > 0) {
  }
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    const SlotId slot = children_.remove(pid);
    if (slot == kNone<SlotId>) continue;
    ZygoteMessage message{.op = ZygoteOp::died, .count = 1, .status = status};
    message.slots[0] = raw(slot);
    message.pids[0] = pid;
    send(message);
  }
}

void Zygote::send(const ZygoteMessage& message) {
  // Blocks while the dataplane is behind: it always reads, and it never waits for us.
  while (::send(kZygoteSocketFd, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

}  // namespace mayfly
