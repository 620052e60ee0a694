#include "runtime/api/http_listener.h"

#include <httplib.h>

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

using SteadyClock = std::chrono::steady_clock;
using TimePoint = SteadyClock::time_point;

// One connection as cpp-httplib sees it: bounded in bytes and time as a whole, not per read, so
// that a client sending a byte a second gains nothing.
class BoundedStream : public httplib::Stream {
 public:
  explicit BoundedStream(int fd) : fd_(fd), read_until_(after(kApiReadSecondsMax)) {}

  bool is_readable() const override { return await(POLLIN, read_until_); }
  bool is_writable() const override { return await(POLLOUT, after(kApiWriteSecondsMax)); }

  ssize_t read(char* to, size_t size) override {
    if (at_ == have_ && !refill()) return have_ == 0 ? 0 : -1;
    const size_t n = std::min(size, have_ - at_);
    std::memcpy(to, buffer_ + at_, n);
    at_ += n;
    return static_cast<ssize_t>(n);
  }

  ssize_t write(const char* from, size_t size) override {
    if (write_until_ == TimePoint{}) write_until_ = after(kApiWriteSecondsMax);
    for (;;) {
      const ssize_t n = ::send(fd_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) return n;
      if (errno == EAGAIN && await(POLLOUT, write_until_)) continue;
      if (errno != EINTR) return -1;
    }
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip = "unix", port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip = "unix", port = 0; }
  socket_t socket() const override { return fd_; }

 private:
  static TimePoint after(int seconds) { return SteadyClock::now() + std::chrono::seconds(seconds); }

  bool await(short events, TimePoint deadline) const {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return false;
    pollfd p{fd_, events, 0};
    return ::poll(&p, 1, static_cast<int>(left)) == 1;
  }

  // False at the end of the stream, at the deadline, and past the byte limit.
  bool refill() {
    at_ = have_ = 0;
    while (taken_ < kApiRequestBytesMax + sizeof buffer_) {
      const ssize_t n = ::recv(fd_, buffer_, sizeof buffer_, MSG_DONTWAIT);
      if (n > 0) {
        have_ = static_cast<size_t>(n);
        taken_ += have_;
        return true;
      }
      if (n == 0 || (errno == EAGAIN && !await(POLLIN, read_until_))) return false;
      if (errno != EAGAIN && errno != EINTR) return false;
    }
    return false;
  }

  int fd_;
  TimePoint read_until_;
  TimePoint write_until_{};  // from the first write on: the handler's own time does not count
  char buffer_[64 * 1024];
  size_t at_ = 0, have_ = 0, taken_ = 0;
};

// Opens cpp-httplib's request handling to connections that it did not accept itself.
class Router : public httplib::Server {
 public:
  void handle(int fd) {
    BoundedStream stream(fd);
    bool closed = false;
    process_request(stream, /*close_connection=*/true, closed, nullptr);
    ::shutdown(fd, SHUT_WR);
  }
};

absl::Status failure(const std::string& what) { return absl::ErrnoToStatus(errno, what); }

absl::StatusOr<int> listen_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a Unix socket"));
  }
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failure("socket");
  ::unlink(path.c_str());
  // The mode of the inode is taken from the unbound socket: nobody can connect in between.
  ::fchmod(fd, 0600);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd, SOMAXCONN) != 0) {
    const absl::Status status = failure(absl::StrCat("cannot listen on ", path));
    ::close(fd);
    return status;
  }
  return fd;
}

}  // namespace

struct HttpListener::Impl {
  struct Waiting {
    int fd;
    TimePoint since;
  };

  Router router;
  std::string path;
  int listen_fd = -1, epoll_fd = -1, stop_fd = -1;
  std::thread watcher;
  std::vector<std::thread> workers;

  // The watcher's own; oldest first.
  std::list<Waiting> waiting;
  std::unordered_map<int, std::list<Waiting>::iterator> waiting_by_fd;

  std::mutex mutex;  // guards what follows
  std::condition_variable work;
  std::deque<int> ready;
  bool stopping = false;

  void watch();
  void accept_all();
  void forget(int fd, bool close_it);
  void expire(TimePoint now);
  void serve();
};

// A request in the queue holds a descriptor, so the queue is bounded too: past this, whoever comes
// is closed at once.
constexpr size_t kReadyMax = kApiWaitingMax;

void HttpListener::Impl::watch() {
  for (;;) {
    epoll_event events[64];
    const int count = ::epoll_wait(epoll_fd, events, 64, waiting.empty() ? -1 : 1000);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == stop_fd) return;
      if (fd == listen_fd) {
        accept_all();
        continue;
      }
      // Out of epoll before a worker can have it: it closes the descriptor, whose number may then
      // be another's.
      forget(fd, false);
      std::unique_lock lock(mutex);
      const bool room = ready.size() < kReadyMax;
      if (room) ready.push_back(fd);
      lock.unlock();
      if (!room) ::close(fd);
      work.notify_one();
    }
    expire(SteadyClock::now());
  }
}

void HttpListener::Impl::accept_all() {
  for (;;) {
    const int fd = ::accept4(listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && !waiting.empty()) {
      forget(waiting.front().fd, true);  // frees a descriptor for the next try
      continue;
    }
    if (fd < 0) return;
    if (waiting.size() == kApiWaitingMax) forget(waiting.front().fd, true);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
      ::close(fd);
      continue;
    }
    waiting_by_fd[fd] = waiting.insert(waiting.end(), {fd, SteadyClock::now()});
  }
}

void HttpListener::Impl::forget(int fd, bool close_it) {
  const auto it = waiting_by_fd.find(fd);
  if (it == waiting_by_fd.end()) return;
  waiting.erase(it->second);
  waiting_by_fd.erase(it);
  ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
  if (close_it) ::close(fd);
}

void HttpListener::Impl::expire(TimePoint now) {
  while (!waiting.empty() &&
         now - waiting.front().since > std::chrono::seconds(kApiIdleSecondsMax)) {
    forget(waiting.front().fd, true);
  }
}

void HttpListener::Impl::serve() {
  for (;;) {
    std::unique_lock lock(mutex);
    work.wait(lock, [&] { return stopping || !ready.empty(); });
    if (stopping) return;
    const int fd = ready.front();
    ready.pop_front();
    lock.unlock();
    router.handle(fd);
    ::close(fd);
  }
}

HttpListener::HttpListener(const std::function<void(httplib::Server&)>& route)
    : impl_(std::make_unique<Impl>()) {
  impl_->router.set_payload_max_length(kApiRequestBytesMax);
  route(impl_->router);
}

HttpListener::~HttpListener() { stop(); }

absl::Status HttpListener::start(const std::string& path) {
  auto listening = listen_on(path);
  if (!listening.ok()) return listening.status();
  impl_->path = path;
  impl_->listen_fd = *listening;
  impl_->stop_fd = ::eventfd(0, EFD_CLOEXEC);
  impl_->epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : {impl_->listen_fd, impl_->stop_fd}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(impl_->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
      const absl::Status status = failure("epoll");
      stop();
      return status;
    }
  }
  // Signals belong to the process's own threads.
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  impl_->watcher = std::thread([this] { impl_->watch(); });
  for (size_t i = 0; i < kApiWorkers; ++i) {
    impl_->workers.emplace_back([this] { impl_->serve(); });
  }
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return absl::OkStatus();
}

void HttpListener::stop() {
  if (impl_->listen_fd < 0) return;
  ::eventfd_write(impl_->stop_fd, 1);
  if (impl_->watcher.joinable()) impl_->watcher.join();
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->work.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
  impl_->workers.clear();
  for (const int fd : impl_->ready) ::close(fd);
  impl_->ready.clear();
  while (!impl_->waiting.empty()) impl_->forget(impl_->waiting.front().fd, true);
  for (int* fd : {&impl_->listen_fd, &impl_->stop_fd, &impl_->epoll_fd}) {
    ::close(*fd);
    *fd = -1;
  }
  ::unlink(impl_->path.c_str());
  impl_->stopping = false;
}

}  // namespace mayfly
