#include "runtime/keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "runtime/keeper/host.h"
#include "runtime/keeper/preflight.h"
#include "runtime/keeper/progress.h"
#include "runtime/keeper/protocol.h"
#include "runtime/keeper/run_directory.h"
#include "runtime/keeper/run_outcome.h"
#include "runtime/keeper/spawn.h"
#include "runtime/keeper/spawned_zygotes.h"

namespace mayfly {
namespace {

using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;
using TimePoint = SteadyClock::time_point;

constexpr auto kStartWithin = std::chrono::seconds(120);  // without a sign of progress
constexpr auto kDrainWithin = std::chrono::seconds(15);
constexpr auto kAllGoneWithin = std::chrono::seconds(5);
// timeout(1) and some service managers send the same signal twice at once; a second thought of the
// operator takes longer.
constexpr auto kSameSignal = std::chrono::milliseconds(100);
constexpr int kNoticesPerSecondMax = 20;
constexpr size_t kOutgoingMessagesMax = 4096;

absl::StatusOr<int> memfd_with(const std::vector<uint8_t>& bytes) {
  const int fd = ::memfd_create("mayfly-config", MFD_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t size = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (size < 0) {
      const int error = errno;
      ::close(fd);
      return absl::ErrnoToStatus(error, "writing the configuration");
    }
    done += static_cast<size_t>(size);
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

class Keeper {
 public:
  Keeper(const Config& config, const RunOptions& options, RunDirectory& directory,
         std::optional<ReportFile>& report_file)
      : config_(config), options_(options), directory_(directory), report_file_(report_file) {}

  int run();

 private:
  enum class Phase { starting, running, draining };

  absl::Status start();
  absl::Status open_signals();
  absl::Status start_dataplane(int peer);
  void loop();
  int poll_timeout_ms(TimePoint now) const;

  void take_signals(TimePoint now);
  void on_stop_signal(TimePoint now);
  void begin_drain(TimePoint now);
  void reap();
  void on_child_exit(pid_t pid, int status);
  void check_deadlines(TimePoint now);

  void take_messages(TimePoint now);
  void on_message(const json& message, std::vector<int>& fds, TimePoint now);
  void start_zygote(const json& message, const std::vector<int>& fds);
  void on_starting(const json& message);
  void on_notice(const json& message);
  void on_ready(TimePoint now);
  void on_stats(const json& message);

  void queue(json message);
  void flush_outgoing();
  void give_up(const std::string& message);
  void say(const std::string& line);
  void end_start_line();

  void kill_everything();
  int finish();

  const Config& config_;
  const RunOptions& options_;
  RunDirectory& directory_;
  std::optional<ReportFile>& report_file_;

  Phase phase_ = Phase::starting;
  int socket_ = -1;
  int signals_ = -1;
  pid_t dataplane_ = -1;
  std::optional<int> dataplane_status_;
  bool socket_closed_ = false;
  SpawnedZygotes zygotes_;
  std::deque<json> outgoing_;

  TimePoint deadline_;  // of the phase
  TimePoint last_signal_{};
  int notices_ = 0;  // since the last line of figures
  std::optional<TimePoint> run_until_;
  RunOutcome outcome_;
  RunFigures last_figures_;
  bool on_terminal_ = ::isatty(STDOUT_FILENO) == 1;
  bool start_line_open_ = false;
};

int Keeper::run() {
  if (auto status = start(); !status.ok()) {
    give_up(std::string(status.message()));
  } else {
    loop();
  }
  kill_everything();
  return finish();
}

absl::Status Keeper::open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, s);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) return absl::ErrnoToStatus(errno, "signalfd");
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return absl::ErrnoToStatus(errno, "subreaper");
  return absl::OkStatus();
}

absl::Status Keeper::start() {
  deadline_ = SteadyClock::now() + kStartWithin;
  if (auto status = open_signals(); !status.ok()) return status;
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  socket_ = pair[0];
  ::fcntl(socket_, F_SETFL, O_NONBLOCK);
  const absl::Status status = start_dataplane(pair[1]);
  ::close(pair[1]);
  return status;
}

absl::Status Keeper::start_dataplane(int peer) {
  std::string path = options_.dataplane;
  if (path.empty()) {
    auto sibling = sibling_executable("mayfly-dataplane");
    if (!sibling.ok()) return sibling.status();
    path = *sibling;
  }
  auto config = memfd_with(to_cbor(config_));
  if (!config.ok()) return config.status();
  ChildProcess child{{path, "--keeper-fd", "3", "--config-fd", "4", "--run-dir", directory_.path()},
                     {peer, *config}};
  auto pid = spawn_child(child);
  ::close(*config);
  if (!pid.ok()) return pid.status();
  dataplane_ = *pid;
  return directory_.record_dataplane(dataplane_);
}

void Keeper::loop() {
  while (!dataplane_status_) {
    pollfd fds[2] = {{signals_, POLLIN, 0},
                     {socket_closed_ ? -1 : socket_,
                      static_cast<short>(outgoing_.empty() ? POLLIN : POLLIN | POLLOUT), 0}};
    ::poll(fds, 2, poll_timeout_ms(SteadyClock::now()));
    const TimePoint now = SteadyClock::now();
    take_messages(now);  // before signals: what a dead dataplane said last still counts
    take_signals(now);
    flush_outgoing();
    check_deadlines(now);
  }
  take_messages(SteadyClock::now());
}

int Keeper::poll_timeout_ms(TimePoint now) const {
  TimePoint next = now + std::chrono::hours(1);
  if (phase_ != Phase::running) next = std::min(next, deadline_);
  if (run_until_) next = std::min(next, *run_until_);
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::max<int64_t>(0, ms));
}

// ------------------------------------------------------------------------------------- signals

void Keeper::take_signals(TimePoint now) {
  signalfd_siginfo info;
  bool children = false;
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      children = true;
    } else {
      on_stop_signal(now);
    }
  }
  if (children) reap();
}

void Keeper::on_stop_signal(TimePoint now) {
  if (now - last_signal_ < kSameSignal) return;
  last_signal_ = now;
  if (phase_ == Phase::running) return begin_drain(now);
  give_up(phase_ == Phase::starting ? "stopped before it was ready" : "stopped without draining");
}

void Keeper::begin_drain(TimePoint now) {
  phase_ = Phase::draining;
  run_until_.reset();
  deadline_ = now + kDrainWithin;
  ::kill(dataplane_, SIGTERM);
}

void Keeper::reap() {
  int status;
  pid_t pid;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) on_child_exit(pid, status);
}

void Keeper::on_child_exit(pid_t pid, int status) {
  if (pid == dataplane_) {
    dataplane_status_ = status;
  } else if (auto told = zygotes_.on_exit(pid, status)) {
    queue(std::move(*told));
  }  // else an NF whose zygote died before it
}

void Keeper::check_deadlines(TimePoint now) {
  if (run_until_ && now >= *run_until_) begin_drain(now);
  if (phase_ == Phase::running || now < deadline_ || dataplane_status_) return;
  give_up(phase_ == Phase::starting
              ? fmt::format("no progress for {} s while starting", kStartWithin.count())
              : fmt::format("the dataplane did not drain within {} s", kDrainWithin.count()));
  deadline_ = now + kDrainWithin;
}

// ------------------------------------------------------------------------------------ messages

void Keeper::take_messages(TimePoint now) {
  while (!socket_closed_) {
    std::vector<int> fds;
    auto message = receive_message(socket_, fds);
    if (message.ok()) {
      on_message(*message, fds, now);
    } else if (absl::IsNotFound(message.status())) {
      return;
    } else if (absl::IsUnavailable(message.status())) {
      socket_closed_ = true;  // it exits, or is dead: SIGCHLD tells which
    } else {
      give_up(absl::StrCat("from the dataplane: ", std::string(message.status().message())));
      socket_closed_ = true;
    }
    for (const int fd : fds) ::close(fd);
  }
}

void Keeper::on_message(const json& message, std::vector<int>& fds, TimePoint now) {
  const std::string op = text_in(message, "op");
  if (phase_ == Phase::starting) deadline_ = now + kStartWithin;
  if (op == "start_zygote") {
    start_zygote(message, fds);
  } else if (op == "stop_zygote") {
    zygotes_.stop(message);
  } else if (op == "starting") {
    on_starting(message);
  } else if (op == "ready") {
    on_ready(now);
  } else if (op == "stats") {
    on_stats(message);
  } else if (op == "notice") {
    on_notice(message);
  } else if (op == "error") {
    outcome_.fail(text_in(message, "message"), kExitBadInput);
  } else if (op == "report") {
    outcome_.take_report(fds);
  }
}

void Keeper::start_zygote(const json& message, const std::vector<int>& fds) {
  SpawnedZygotes::Started started = zygotes_.start(message, fds);
  if (!started.complaint.empty()) say(started.complaint);
  queue(std::move(started.answer));
}

void Keeper::on_starting(const json& message) {
  if (options_.quiet || !on_terminal_) return;
  fmt::print("\rstarting NFs: {} of {}", number_in(message, "forked"), number_in(message, "of"));
  std::fflush(stdout);
  start_line_open_ = true;
}

void Keeper::end_start_line() {
  if (start_line_open_) fmt::print("\n");
  start_line_open_ = false;
}

void Keeper::on_ready(TimePoint now) {
  if (phase_ != Phase::starting) return;
  phase_ = Phase::running;
  if (options_.run_for) {
    run_until_ = now + std::chrono::nanoseconds(options_.run_for->n);
  }
  say(fmt::format("ready: run '{}', API at {}/api.sock", options_.name, directory_.path()));
}

void Keeper::on_notice(const json& message) {
  if (++notices_ > kNoticesPerSecondMax) return;
  say(absl::StrCat("note: ", text_in(message, "message")));
}

void Keeper::on_stats(const json& message) {
  if (notices_ > kNoticesPerSecondMax) {
    say(fmt::format("note: {} more like these", notices_ - kNoticesPerSecondMax));
  }
  notices_ = 0;
  const RunFigures now = figures_of(message);
  if (phase_ == Phase::running && now.seconds > last_figures_.seconds) {
    say(progress_line(last_figures_, now));
  }
  last_figures_ = now;
}

void Keeper::queue(json message) {
  if (socket_closed_) return;
  if (outgoing_.size() == kOutgoingMessagesMax) {
    return give_up("the dataplane does not read its messages");
  }
  outgoing_.push_back(std::move(message));
}

void Keeper::flush_outgoing() {
  while (!outgoing_.empty() && !socket_closed_) {
    const absl::Status status = send_message(socket_, outgoing_.front());
    if (absl::IsResourceExhausted(status)) return;
    outgoing_.pop_front();
    if (absl::IsUnavailable(status)) outgoing_.clear();
  }
}

// ------------------------------------------------------------------------------------- the end

// The dataplane has to go, now; loop() ends when it is dead.
void Keeper::give_up(const std::string& message) {
  outcome_.fail(message, kExitFailure);
  if (dataplane_ > 0 && !dataplane_status_) ::kill(dataplane_, SIGKILL);
}

void Keeper::say(const std::string& line) {
  if (options_.quiet) return;
  end_start_line();
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

void Keeper::kill_everything() {
  const bool gone = kill_all_children(kAllGoneWithin, [&](pid_t pid, int status) {
    if (pid == dataplane_) dataplane_status_ = status;
  });
  if (!gone) outcome_.fail("some processes could not be killed", kExitFailure);
}

int Keeper::finish() {
  end_start_line();
  if (dataplane_status_) outcome_.dataplane_ended(dataplane_, *dataplane_status_);
  const int code = outcome_.conclude(report_file_, options_.quiet);
  if (socket_ >= 0) ::close(socket_);
  if (signals_ >= 0) ::close(signals_);
  return code;
}

int bad_input(const absl::Status& status) {
  fmt::print(stderr, "mayfly: {}\n", std::string(status.message()));
  return kExitBadInput;
}

}  // namespace

int run_keeper(Config config, const RunOptions& options) {
  config.name = options.name;
  raise_soft_limits();
  if (auto status = check_run_name(options.name); !status.ok()) return bad_input(status);
  const Preflight checks = check_before_start(config, read_host_facts());
  for (const std::string& error : checks.errors) fmt::print(stderr, "mayfly: {}\n", error);
  if (!checks.errors.empty()) return kExitBadInput;

  std::optional<ReportFile> report;
  if (!options.report_path.empty()) {
    auto prepared = ReportFile::prepare(options.report_path);
    if (!prepared.ok()) return bad_input(prepared.status());
    report.emplace(std::move(*prepared));
  }
  auto directory = RunDirectory::acquire(options.name);
  if (!directory.ok()) return bad_input(directory.status());
  if (!options.quiet) {
    fmt::print("{}", options.headline);
    for (const std::string& note : checks.notes) fmt::print("note: {}\n", note);
    std::fflush(stdout);
  }
  return Keeper(config, options, *directory, report).run();
}

}  // namespace mayfly
