#include "runtime/dataplane/control.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/api/api_server.h"
#include "runtime/base/version.h"
#include "runtime/keeper/protocol.h"

namespace mayfly {
namespace {

constexpr Nanos kDrainPatience = seconds(2);
constexpr int kHousekeepingMs = 100;
constexpr auto kStillPatience = std::chrono::seconds(1);

using Clock = std::chrono::steady_clock;

}  // namespace

Control::Control(const Setup& setup)
    : config_(*setup.config),
      vswitch_(*setup.vswitch),
      arena_(*setup.arena),
      control_(setup.control),
      bind_(*setup.bind),
      ports_(*setup.ports),
      rate_(setup.rate),
      keeper_fd_(setup.keeper_fd),
      attention_fd_(setup.attention_fd),
      run_dir_(setup.run_dir),
      zygotes_(config_, {setup.keeper_fd,
                         {setup.control_region_fd, setup.bind->fd(), setup.arena->fd()},
                         setup.control,
                         setup.waker}),
      tenant_table_(*setup.bind),
      attention_(vswitch_.empty_attention()),
      low_weight_(config_.name),
      judge_(config_.baton, config_.nf_cores.size(), low_weight_),
      wake_(wake_settings_of(config_)) {
  delays_.resize(vswitch_.core_count());
  delays_now_.resize(vswitch_.core_count());
  for (const PortConfig& port : config_.ports) {
    rates_.push_back(port.gen ? port.gen->rate_pps : 0);
    captures_only_ &= !port.gen && port.dev.empty();
  }
}

Control::~Control() {
  if (signal_fd_ >= 0) close(signal_fd_);
}

int Control::run() {
  ApiServer api(*this, run_dir_ + "/api.sock");
  {
    std::lock_guard lock(state_);
    absl::Status status = set_up();
    if (status.ok()) status = api.start();
    if (!status.ok()) fail(std::string(status.message()));
  }
  while (phase_ != Phase::done) wait_for_events();
  api.stop();
  std::lock_guard lock(state_);
  if (exit_code_ == 0) finish();
  on_lcore([&] { vswitch_.exit(); });
  return exit_code_;
}

absl::Status Control::set_up() {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigaddset(&term, SIGINT);
  signal_fd_ = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
  for (size_t i = 0; i < config_.nfs.size(); ++i) {
    const NfConfig& nf = config_.nfs[i];
    start_target_ += std::min(nf.pool.idle, nf.pool.max);
    if (nf.blob.empty()) continue;
    bool fresh;
    const auto blob = bind_.add(nf.blob, fresh);
    if (!blob.ok()) return blob.status();
    on_lcore([&] {
      vswitch_.define_blob(*blob, bind_.record(*blob));
      vswitch_.set_nf_blob(static_cast<NfId>(i), *blob);
    });
  }
  if (absl::Status s = apply(tenant_table_.add(config_.tenants)); !s.ok()) return s;
  for (size_t i = 0; i < config_.nfs.size(); ++i)
    if (absl::Status s = zygotes_.start(static_cast<NfId>(i)); !s.ok()) return s;
  return absl::OkStatus();
}

void Control::wait_for_events() {
  std::vector<pollfd> waiting{{keeper_fd_, POLLIN, 0}, {attention_fd_, POLLIN, 0},
                              {signal_fd_, POLLIN, 0}};
  const size_t fixed = waiting.size();
  for (size_t i = 0; i < config_.nfs.size(); ++i)
    waiting.push_back({zygotes_.socket(static_cast<NfId>(i)), POLLIN, 0});
  const int patience = judge_.busy() ? 1 : zygotes_.busy() ? 2 : kHousekeepingMs;
  poll(waiting.data(), waiting.size(), patience);

  std::lock_guard lock(state_);
  Zygotes::Events events;
  if (waiting[2].revents != 0) on_signal();
  if (waiting[0].revents != 0) on_keeper(events);
  for (size_t i = fixed; i < waiting.size(); ++i)
    if (waiting[i].revents != 0) zygotes_.on_readable(static_cast<NfId>(i - fixed), events);
  zygotes_.on_time(Clock::now(), events);
  act(events);
  on_attention();
  if (phase_ == Phase::starting) check_started();
  housekeeping();
}

void Control::on_signal() {
  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof info) > 0) {
  }
  if (phase_ == Phase::starting) {
    phase_ = Phase::done;
    exit_code_ = 130;
  }
  if (phase_ == Phase::open) begin_drain();
}

void Control::on_keeper(Zygotes::Events& events) {
  pollfd waiting{keeper_fd_, POLLIN, 0};
  while (poll(&waiting, 1, 0) > 0) {  // the socket blocks, so that the report is never cut short
    std::vector<int> fds;
    const auto message = receive_message(keeper_fd_, fds);
    for (int fd : fds) close(fd);
    if (!message.ok()) {  // the keeper is gone; PDEATHSIG ends us, but do not wait for it
      phase_ = Phase::done;
      exit_code_ = 1;
      return;
    }
    if (message->value("op", "") == "zygote_exited")
      zygotes_.on_exit(message->value("nf", ""), message->value("generation", 0u),
                       message->value("status", 0), events);
  }
}

void Control::act(Zygotes::Events& events) {
  for (const std::string& text : events.notices) notice(text);
  if (!events.fatal.empty()) return fail(events.fatal);
  // Births before deaths: one that died at once is in both.
  if (!events.forked.empty())
    on_lcore([&] {
      for (const auto& [nf, slot] : events.forked) {
        vswitch_.place(slot, zygotes_.core_of(slot));
        vswitch_.add_idle(nf, {&slot, 1});
      }
    });
  if (!events.deaths.empty()) on_deaths(events.deaths);
}

void Control::on_deaths(const std::vector<Zygotes::Events::Death>& deaths) {
  std::vector<DeathReport> reports;
  for (const auto& death : deaths) {
    const bool crashed = !WIFSIGNALED(death.status) || WTERMSIG(death.status) != SIGKILL;
    reports.push_back({death.slot, crashed});
  }
  on_lcore([&] { vswitch_.on_deaths(reports, tsc_now()); });
  for (const auto& death : deaths) zygotes_.release(death.slot);
}

// The vSwitch wrote to attention_fd_, or a while has passed.
void Control::on_attention() {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(attention_fd_, &count, sizeof count);
  on_lcore([&] { vswitch_.fetch_attention(attention_); });
  for (SlotId slot : attention_.condemned) {
    if (zygotes_.pid_of(slot) == 0) continue;  // it has died meanwhile
    notice(absl::StrCat("nf '", config_.nfs[index(zygotes_.nf_of(slot))].name, "' instance ",
                        raw(slot), " (pid ", zygotes_.pid_of(slot),
                        ") broke the packet ABI and is replaced"));
    zygotes_.kill(slot);
  }
  quarantine(attention_.unused);
  refill(attention_);
  if (phase_ == Phase::draining && vswitch_.drained()) phase_ = Phase::done;
}

// Background pre-fork: back to the low-water mark, and one for every place that waits.
void Control::refill(const Attention& attention) {
  if (phase_ == Phase::draining || phase_ == Phase::done) return;
  if (memory_begin_kib_ == 0) return;  // not before all zygotes are there: see check_started()
  for (size_t i = 0; i < attention.nfs.size(); ++i) {
    const auto nf = static_cast<NfId>(i);
    const Attention::PerNf& now = attention.nfs[i];
    const uint32_t wanted = config_.nfs[i].pool.idle + now.vacancies;
    const uint32_t coming = now.idle + zygotes_.outstanding(nf);
    if (wanted > coming) zygotes_.fork(nf, wanted - coming);
  }
}

// Zygotes first, then instances, then traffic.
void Control::check_started() {
  uint32_t forked = 0;
  for (size_t i = 0; i < config_.nfs.size(); ++i) forked += zygotes_.live(static_cast<NfId>(i));
  if (forked >= start_reported_ + std::max(1u, start_target_ / 50) || forked >= start_target_) {
    start_reported_ = forked;
    (void)send_message(keeper_fd_, {{"op", "starting"}, {"forked", forked}, {"of", start_target_}});
  }
  if (memory_begin_kib_ == 0) {
    for (size_t i = 0; i < config_.nfs.size(); ++i)
      if (!zygotes_.ready(static_cast<NfId>(i))) return;
    memory_begin_kib_ = available_memory_kib();  // what comes now is the price of instances
    on_attention();
  }
  if (forked >= start_target_) open_traffic();
}

void Control::open_traffic() {
  phase_ = Phase::open;
  opened_ = Clock::now();
  next_second_ = opened_ + std::chrono::seconds(1);
  cpu_begin_ = CpuTimes::now();
  on_lcore([&] { vswitch_.open_traffic(); });
  (void)send_message(keeper_fd_, {{"op", "ready"}});
}

// Owners of a baton who keep others waiting.
void Control::judge_owners() {
  for (uint32_t core = 0; core < vswitch_.core_count(); ++core) {
    std::optional<BatonSuspect> suspect;
    on_lcore([&] { suspect = vswitch_.suspect(core); });
    const int pid = suspect ? zygotes_.pid_of(suspect->owner) : 0;
    const BatonVerdict verdict = judge_.look(core, suspect, pid, Clock::now());
    if (verdict == BatonVerdict::wait) continue;
    bool revoked = false;
    on_lcore([&] { revoked = vswitch_.revoke_baton(*suspect, tsc_now()); });
    if (revoked && pid != 0) punish(suspect->owner, pid);
  }
}

// It may be too often.
void Control::punish(SlotId slot, int pid) {
  const bool first = judge_.in_low_weight() == 0;
  const bool too_often = judge_.punish(pid, Clock::now());
  if (first && !low_weight_.excuse().empty() && !std::exchange(told_of_nice_, true))
    notice(absl::StrCat("NFs that overrun their slice get nice 19: ", low_weight_.excuse()));
  if (!too_often) return;
  ++restarts_;
  notice(absl::StrCat("nf '", config_.nfs[index(zygotes_.nf_of(slot))].name, "' instance ",
                      raw(slot), " (pid ", pid, ") overran its slice ",
                      config_.baton.restart_after, " times without a pause and is restarted"));
  zygotes_.kill(slot);
}

// Dispatch `baton`, several NF cores.
void Control::balance_cores() {
  if (Clock::now() < next_balance_) return;
  next_balance_ = Clock::now() + Balancer::kPeriod;
  std::vector<float> loads(vswitch_.core_count());
  on_lcore([&] {
    for (uint32_t i = 0; i < loads.size(); ++i) loads[i] = vswitch_.core(i).load;
  });
  if (const auto move = balancer_.look(loads)) move_instances(*move);
}

void Control::move_instances(const Balancer::Move& move) {
  SlotId active[64];
  uint32_t count = 0;
  on_lcore([&] { count = vswitch_.active_on(move.from, active); });
  uint32_t wanted = Balancer::count(move, count), moving = 0;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(raw(config_.nf_cores[move.to]), &cpus);
  for (uint32_t i = 0; i < count && moving < wanted; ++i) {
    const int pid = zygotes_.pid_of(active[i]);
    if (pid == 0 || !balancer_.may_move(active[i], Clock::now())) continue;
    // It does not matter when its queue changes, but where the process is when it is woken from it.
    if (sched_setaffinity(pid, sizeof cpus, &cpus) != 0) continue;
    balancer_.moved(active[i], Clock::now());
    active[moving++] = active[i];
  }
  on_lcore([&] {
    for (uint32_t i = 0; i < moving; ++i) vswitch_.move(active[i], move.to);
  });
}

void Control::housekeeping() {
  if (vswitch_.core_count() != 0) judge_owners();
  if (vswitch_.core_count() > 1 && config_.baton.balance) balance_cores();
  free_quarantined();
  if (phase_ == Phase::open && Clock::now() >= next_second_) on_second();
  if (phase_ == Phase::open && captures_only_) end_with_captures();
}

// When all captures are read and everything has come out. What has not moved for a second waits
// for a larger batch, or for an NF that hangs: draining calls the one and gives up on the other.
void Control::end_with_captures() {
  bool exhausted = false;
  int64_t held = 0;
  on_lcore([&] {
    exhausted = vswitch_.exhausted();
    held = vswitch_.ledger().held();
  });
  if (!exhausted) return;
  if (std::exchange(held_last_, held) != held) held_since_ = Clock::now();
  if (held != 0 && Clock::now() - held_since_ < kStillPatience) return;
  notice("all captures are read: the run ends");
  begin_drain();
}

void Control::on_second() {
  next_second_ += std::chrono::seconds(1);
  nlohmann::json message = stats_locked();
  message["op"] = "stats";
  (void)send_message(keeper_fd_, message);
}

void Control::begin_drain() {
  phase_ = Phase::draining;
  ended_ = Clock::now();
  on_lcore([&] { vswitch_.begin_drain(tsc_now(), rate_.cycles(kDrainPatience)); });
}

void Control::finish() {
  nlohmann::json report = stats_locked(/*last=*/true);
  report["version"] = kVersion;
  report["host"] = host_json();
  report["config"] = config_json(config_);
  report["wake"] = wake_locked();
  const int fd = report_memfd(report);
  if (fd < 0 || !send_message(keeper_fd_, {{"op", "report"}}, {fd}).ok()) exit_code_ = 1;
  if (fd >= 0) close(fd);
}

int Control::report_memfd(const nlohmann::json& report) {
  const std::string text = report.dump(2);
  const int fd = memfd_create("mayfly-report", MFD_CLOEXEC);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return -1;
  lseek(fd, 0, SEEK_SET);
  return fd;
}

void Control::notice(const std::string& text) {
  (void)send_message(keeper_fd_, {{"op", "notice"}, {"message", text}});
}

void Control::fail(const std::string& text) {
  (void)send_message(keeper_fd_, {{"op", "error"}, {"message", text}});
  exit_code_ = 2;
  phase_ = Phase::done;
}

}  // namespace mayfly
