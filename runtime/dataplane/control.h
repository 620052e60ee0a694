// The control thread: everything of the dataplane that is not packets. It starts zygotes, keeps
// the pools at their low-water marks, tells the vSwitch who was born and who died, attaches
// tenants, counts, reports, and ends the run. It sleeps in poll() and does work proportional to
// what happened, never to the number of NFs.
//
// API threads enter through DataplaneApi; `state_` guards what they share with the loop. The lock
// is never held while sleeping in poll().
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/api/dataplane_api.h"
#include "runtime/dataplane/balancer.h"
#include "runtime/dataplane/baton_judge.h"
#include "runtime/dataplane/bind_region.h"
#include "runtime/dataplane/tenant_table.h"
#include "runtime/dataplane/window.h"
#include "runtime/dataplane/zygotes.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {

class Control : public DataplaneApi {
 public:
  struct Setup {
    const Config* config;
    VSwitch* vswitch;
    Arena* arena;
    ControlView control;
    int control_region_fd;
    BindRegion* bind;
    Waker* waker;
    std::vector<std::unique_ptr<Port>>* ports;
    TscRate rate;
    int keeper_fd;
    int attention_fd;
    std::string run_dir;
  };
  explicit Control(const Setup& setup);
  ~Control() override;

  // The thread's body: until the run has ended and was reported. Then the vSwitch has been told to
  // exit. The result is the process's exit code.
  int run();

  nlohmann::json stats() override;
  nlohmann::json nfs() override;
  nlohmann::json flows(uint64_t cursor, uint32_t limit) override;
  nlohmann::json tenants() override;
  const Config& config() override { return config_; }
  absl::Status add_tenants(std::vector<TenantConfig> tenants) override;
  absl::Status set_tenants(std::vector<TenantConfig> tenants) override;
  absl::Status remove_tenants(const std::vector<std::string>& names) override;
  nlohmann::json ports() override;
  absl::Status set_rate(const std::string& port, double pps) override;
  nlohmann::json wake() override;
  absl::Status set_wake(const WakeChange& change) override;
  absl::StatusOr<nlohmann::json> begin_window() override;
  absl::StatusOr<nlohmann::json> window(bool buckets) override;

 private:
  enum class Phase { starting, open, draining, done };

  // start-up
  absl::Status set_up();
  void check_started();
  void open_traffic();

  // events
  void wait_for_events();
  void on_keeper(Zygotes::Events& events);
  void on_signal();
  void on_attention();
  void act(Zygotes::Events& events);
  void on_deaths(const std::vector<Zygotes::Events::Death>& deaths);
  void refill(const Attention& attention);
  void on_second();
  void housekeeping();
  void judge_owners();
  void punish(SlotId slot, int pid);
  void balance_cores();
  void move_instances(const Balancer::Move& move);
  void end_with_captures();
  void begin_drain();
  void finish();

  // tenants
  absl::Status apply(absl::StatusOr<TenantTable::Change> change);
  void quarantine(const std::vector<BlobId>& unused);
  void free_quarantined();
  bool acknowledged(SlotId slot, uint32_t seq) const;

  // live changes
  nlohmann::json wake_locked() const;
  void apply_wake();

  // reports: `also` runs on the lcore, in the same command that copies the counters
  Snapshot snapshot(absl::FunctionRef<void()> also = [] {});
  Snapshot last_snapshot();
  nlohmann::json stats_locked(bool last = false);
  RunFacts facts() const;
  uint32_t live() const;
  void notice(const std::string& text);
  void fail(const std::string& text);
  int report_memfd(const nlohmann::json& report);

  template <class F>
  void on_lcore(F&& f) { vswitch_.commands().call(f); }

  const Config& config_;
  VSwitch& vswitch_;
  Arena& arena_;
  ControlView control_;
  BindRegion& bind_;
  std::vector<std::unique_ptr<Port>>& ports_;
  TscRate rate_;
  int keeper_fd_;
  int attention_fd_;
  int signal_fd_ = -1;
  std::string run_dir_;

  std::mutex state_;
  Zygotes zygotes_;
  TenantTable tenant_table_;
  LowWeight low_weight_;
  bool told_of_nice_ = false;
  uint64_t restarts_ = 0;  // of NFs that overran too often
  Attention attention_;
  BatonJudge judge_;
  Balancer balancer_;
  SteadyTime next_balance_{};
  Phase phase_ = Phase::starting;
  int exit_code_ = 0;
  uint32_t start_target_ = 0;
  uint32_t start_reported_ = 0;
  bool captures_only_ = true;   // no other source: the run ends with them
  int64_t held_last_ = -1;      // packets inside when that was last looked at, and since when
  SteadyTime held_since_{};
  Histogram latency_;           // since traffic was opened
  Histogram interval_;          // swapped with the vSwitch's
  std::vector<Histogram> delays_, delays_now_;  // dispatch `baton`: of each core's ready queue
  Histogram window_latency_;    // since window_begin_
  std::optional<WindowEnd> window_begin_;
  uint64_t window_number_ = 0;
  pid_t vswitch_thread_ = 0;
  WakeSettings wake_;           // as they are now
  std::vector<double> rates_;   // of gen ports, by PortId: packets/s, 0: max
  SteadyTime opened_{}, next_second_{}, ended_{};
  CpuTimes cpu_begin_;
  uint64_t memory_begin_kib_ = 0;  // before the first instance; 0: not all zygotes are ready yet
  struct Quarantined {
    BlobId blob;
    std::vector<std::pair<SlotId, uint32_t>> lagging;  // NFs that may still read it
  };
  std::vector<Quarantined> quarantine_;
};

}  // namespace mayfly
