// The control thread's answers to the API: what is changed and measured while packets flow. Nothing
// here keeps the vSwitch longer than a short turn: what grows with the number of NFs or chains goes
// to it in pieces, and a window costs it two copies of its counters.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/config/parse.h"
#include "runtime/dataplane/control.h"
#include "scheduler/dispatch.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr uint32_t kSlotsAtOnce = 256;
constexpr uint32_t kChainsAtOnce = 16;

json wake_config_json(const WakeConfig& wake) {
  return {{"batch", wake.adaptive ? json("adaptive") : json(wake.batch)},
          {"aging", duration_text(wake.aging)}};
}

// `change` over what counted before.
WakeConfig changed(WakeConfig wake, const WakeChange& change) {
  if (change.batch) {
    wake.adaptive = change.to.adaptive;
    if (!wake.adaptive) wake.batch = change.to.batch;
  }
  if (change.aging) wake.aging = change.to.aging;
  return wake;
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Ports

json Control::ports() {
  std::lock_guard lock(state_);
  json list = json::array();
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    const PortConfig& port = config_.ports[i];
    json row = {{"name", port.name},
                {"kind", port.gen           ? "gen"
                         : port.dev.empty() ? "pcap"
                                            : "dev"}};
    if (port.gen) row["rate"] = packet_rate_text(rates_[i]);
    list.push_back(row);
  }
  return list;
}

absl::Status Control::set_rate(const std::string& name, double pps) {
  std::lock_guard lock(state_);
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    if (config_.ports[i].name != name) continue;
    if (!config_.ports[i].gen)
      return absl::FailedPreconditionError(
          absl::StrCat("port '", name, "' is no gen port: its senders decide its rate"));
    on_lcore([&] { ports_[i]->set_rate(pps); });
    rates_[i] = pps;
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat("no port '", name, "'"));
}

// ---------------------------------------------------------------------------------------------
// Waking

json Control::wake() {
  std::lock_guard lock(state_);
  return wake_locked();
}

json Control::wake_locked() const {
  json all = wake_config_json(wake_.all);
  all["dispatch"] = std::string(dispatch_name(config_.dispatch));
  all["chains"] = json::object();
  all["nfs"] = json::object();
  for (size_t i = 0; i < wake_.chains.size(); ++i)
    if (wake_.chains[i]) all["chains"][config_.chains[i].name] = wake_config_json(*wake_.chains[i]);
  for (size_t i = 0; i < wake_.nfs.size(); ++i)
    if (wake_.nfs[i]) all["nfs"][config_.nfs[i].name] = wake_config_json(*wake_.nfs[i]);
  return all;
}

absl::Status Control::set_wake(const WakeChange& change) {
  std::lock_guard lock(state_);
  if (change.chain || change.nf) {
    std::optional<WakeConfig>& own =
        change.nf ? wake_.nfs[index(*change.nf)] : wake_.chains[index(*change.chain)];
    if (change.inherit)
      own.reset();
    else
      own = changed(own.value_or(wake_.all), change);
  } else {
    wake_.all = changed(wake_.all, change);
  }
  apply_wake();
  return absl::OkStatus();
}

// First what counts from now on, then those who wait by what counted before.
void Control::apply_wake() {
  const size_t chains = config_.chains.size();
  for (size_t first = 0; first < chains; first += kChainsAtOnce)
    on_lcore([&] {
      for (size_t c = first; c < std::min(first + kChainsAtOnce, chains); ++c)
        for (uint32_t p = 0; p < config_.chains[c].nfs.size(); ++p)
          vswitch_.set_wake(static_cast<ChainId>(c), p,
                            wake_of(config_, wake_, static_cast<ChainId>(c), p));
    });
  for (uint32_t slot = 0; slot < control_.header().slot_count; slot += kSlotsAtOnce)
    on_lcore([&] { vswitch_.call_waiting(SlotId{slot}, kSlotsAtOnce); });
}

// ---------------------------------------------------------------------------------------------
// Windows

absl::StatusOr<json> Control::begin_window() {
  std::lock_guard lock(state_);
  if (phase_ != Phase::open)
    return absl::UnavailableError("no traffic yet, or no longer: nothing to measure");
  bool begun = false;
  Snapshot s = snapshot([&] {
    begun = vswitch_.begin_window();
    vswitch_thread_ = gettid();
  });
  if (!begun) {
    for (uint32_t slot = 0; slot < control_.header().slot_count; slot += kSlotsAtOnce)
      on_lcore([&] { vswitch_.forget_windows(SlotId{slot}, kSlotsAtOnce); });
    s = snapshot([&] { vswitch_.begin_window(); });
  }
  window_begin_ = WindowEnd::of(std::move(s), vswitch_thread_);
  window_latency_.clear();
  return json{{"window", ++window_number_}};
}

absl::StatusOr<json> Control::window(bool buckets) {
  std::lock_guard lock(state_);
  if (!window_begin_) return absl::NotFoundError("there is no window; POST /v1/window begins one");
  const WindowEnd end = WindowEnd::of(snapshot(), vswitch_thread_);
  json window = window_json(*window_begin_, end, window_latency_, facts());
  window["window"] = window_number_;
  if (buckets) window["latency_buckets"] = buckets_json(window_latency_, rate_);
  return window;
}

}  // namespace mayfly
