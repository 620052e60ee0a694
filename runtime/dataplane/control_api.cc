// The control thread's answers to the API: listings, and tenants that come, change and go.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "flowdir/rules.h"
#include "runtime/dataplane/control.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr uint32_t kChunk = 4096;  // records copied in one command: bounds the turn it runs in

const char* state_name(InstanceState state) {
  switch (state) {
    case InstanceState::free: return "free";
    case InstanceState::idle: return "idle";
    case InstanceState::bound: return "bound";
    case InstanceState::draining: return "draining";
    case InstanceState::dead:
    case InstanceState::dying: return "dead";
  }
  return "?";
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Observation

Snapshot Control::snapshot(absl::FunctionRef<void()> also) {
  Snapshot s = empty_snapshot(config_);
  interval_.clear();
  for (Histogram& delay : delays_now_) delay.clear();
  on_lcore([&] {
    take_snapshot(vswitch_, ports_, s);
    vswitch_.swap_latency(interval_);
    for (uint32_t i = 0; i < delays_now_.size(); ++i) vswitch_.swap_delay(i, delays_now_[i]);
    also();
  });
  latency_.merge(interval_);
  for (size_t i = 0; i < delays_.size(); ++i) delays_[i].merge(delays_now_[i]);
  if (window_begin_) window_latency_.merge(interval_);
  return s;
}

// What is still inside is counted, and given up.
Snapshot Control::last_snapshot() {
  uint64_t held_buffers = 0;
  Ledger ledger;
  Snapshot s = snapshot([&] {
    held_buffers = arena_.count_held();
    vswitch_.abandon();
    ledger = vswitch_.ledger();
  });
  s.held_buffers = held_buffers;
  s.ledger = ledger;
  return s;
}

RunFacts Control::facts() const {
  RunFacts facts;
  facts.config = &config_;
  facts.rate = rate_;
  facts.arena_bytes = arena_.bytes();
  facts.huge_pages = arena_.huge();
  facts.live = live();
  if (opened_ != SteadyTime{}) {
    const SteadyTime end = ended_ == SteadyTime{} ? std::chrono::steady_clock::now() : ended_;
    facts.seconds = std::chrono::duration<double>(end - opened_).count();
  }
  const uint64_t available = available_memory_kib();
  if (facts.live != 0 && memory_begin_kib_ > available)
    facts.memory_per_nf_kib = static_cast<double>(memory_begin_kib_ - available) / facts.live;
  facts.cpu_begin = cpu_begin_;
  return facts;
}

uint32_t Control::live() const {
  uint32_t live = 0;
  for (size_t i = 0; i < config_.nfs.size(); ++i) live += zygotes_.live(static_cast<NfId>(i));
  return live;
}

json Control::stats_locked(bool last) {
  const Snapshot s = last ? last_snapshot() : snapshot();
  json stats = stats_json(s, latency_, facts(), CpuTimes::now());
  if (!delays_.empty()) {
    stats["baton"] = baton_json(s, delays_, facts());
    stats["overruns"] = {{"low_weight", judge_.in_low_weight()}, {"restarts", restarts_}};
  }
  stats["interval"] = {{"latency_us", latency_json(interval_, rate_)}};
  if (last) {
    const int64_t unaccounted =
        s.ledger.held() == 0 ? 0 : s.ledger.held();  // after abandon(): must be 0
    stats["accounting"] = {{"balanced", unaccounted == 0},
                           {"unaccounted", unaccounted},
                           {"held_buffers", s.held_buffers}};
  }
  return stats;
}

json Control::stats() {
  std::lock_guard lock(state_);
  return stats_locked();
}

json Control::nfs() {
  std::lock_guard lock(state_);
  json list = json::array();
  struct Row {
    SlotId slot;
    Instance instance;
    InstanceKey key;
    uint32_t tenant;
  };
  std::vector<Row> rows;
  rows.reserve(kChunk);
  const uint32_t slots = control_.header().slot_count;
  for (uint32_t first = 0; first < slots; first += kChunk) {
    rows.clear();
    on_lcore([&] {
      for (uint32_t s = first; s < std::min(first + kChunk, slots); ++s) {
        const Instance& instance = vswitch_.instances()[s];
        if (instance.state == InstanceState::free) continue;
        Row& row = rows.emplace_back(Row{SlotId{s}, instance, {}, 0xffffffff});
        if (instance.binding == kNone<BindingId>) continue;
        row.key = vswitch_.key_of(instance.binding);
        row.tenant = raw(vswitch_.binding(instance.binding).tenant);
      }
    });
    for (const Row& row : rows) {
      const SlotFromNf& nf = control_.slot(row.slot).from_nf;
      const uint64_t sampled = nf.cost_packets.load(std::memory_order_relaxed);
      list.push_back(
          {{"slot", raw(row.slot)},
           {"nf", config_.nfs[index(row.instance.nf)].name},
           {"state", state_name(row.instance.state)},
           {"pid", zygotes_.pid_of(row.slot)},
           {"core", control_.wake(row.slot).core.load(std::memory_order_relaxed)},
           {"tenant", tenant_table_.name_of(TenantId{row.tenant})},
           {"key", row.key.kind == KeyKind::none ? "" : to_string(row.key)},
           {"held", row.instance.held},
           {"packets", nf.packets.load(std::memory_order_relaxed)},
           {"bursts", nf.bursts.load(std::memory_order_relaxed)},
           {"cycles_per_packet",
            sampled == 0 ? 0 : nf.cost_cycles.load(std::memory_order_relaxed) / sampled}});
    }
  }
  return list;
}

json Control::flows(uint64_t cursor, uint32_t limit) {
  std::lock_guard lock(state_);
  struct Row {
    FlowEntry entry;
    InstanceKey key;
    ChainId chain;  // the tenant's, where it has one of its own
  };
  std::vector<Row> rows;
  rows.reserve(kChunk);
  const Cycles now = tsc_now();
  uint32_t bound = 0, total = 0;
  bool more = true;
  while (more && rows.size() < limit) {
    on_lcore([&] {
      const FlowTable& flows = vswitch_.flows();
      bound = flows.id_bound();
      total = flows.size();
      const uint64_t end = std::min<uint64_t>(cursor + kChunk, bound);
      for (; cursor < end && rows.size() < limit; ++cursor)
        if (const FlowId f{static_cast<uint32_t>(cursor)}; flows.live(f)) {
          const BindingId b = flows.entry(f).state.binding;
          rows.push_back({flows.entry(f), vswitch_.key_of(b), vswitch_.binding(b).chain});
        }
    });
    more = cursor < bound;
  }
  json list = json::array();
  for (const Row& row : rows) {
    const FlowState& state = row.entry.state;
    list.push_back({{"flow", to_string(row.entry.key)},
                    {"port", config_.ports[row.entry.key.port].name},
                    {"instance", to_string(row.key)},
                    {"chain", config_.chains[index(row.chain)].name},
                    {"tenant", tenant_table_.name_of(TenantId{state.tenant})},
                    {"packets", state.packets},
                    {"bytes", state.bytes},
                    {"closing", state.closing != 0},
                    {"idle_ms", rate_.nanos(now - std::min(state.last_seen, now)).n / 1'000'000}});
  }
  return {{"flows", list}, {"next", more ? json(cursor) : json(nullptr)}, {"total", total}};
}

json Control::tenants() {
  std::lock_guard lock(state_);
  struct Counters {
    uint64_t packets, bytes, limit_drops;
    uint32_t held;
  };
  std::vector<std::pair<std::string, const TenantTable::Entry*>> sorted;
  for (const auto& [name, entry] : tenant_table_.all()) sorted.emplace_back(name, &entry);
  std::sort(sorted.begin(), sorted.end());
  std::vector<Counters> counters(sorted.size());
  on_lcore([&] {
    for (size_t i = 0; i < sorted.size(); ++i) {
      const TenantRecord& t = vswitch_.tenants()[index(sorted[i].second->id)];
      counters[i] = {t.packets, t.bytes, t.limit_drops, t.packets_held};
    }
  });
  json list = json::array();
  for (size_t i = 0; i < sorted.size(); ++i) {
    const TenantConfig& t = sorted[i].second->config;
    json nfs = json::object();
    for (const TenantNfArgs& nf : t.nfs) {
      json& args = nfs[config_.nfs[index(nf.nf)].name] = json::object();
      for (const ArgValue& a : nf.args)
        args[a.name] = a.is_number ? json(a.number) : json(a.file.empty() ? a.text : a.file);
    }
    list.push_back({{"name", t.name},
                    {"key", to_string(t.key)},
                    {"chain", t.chain ? json(config_.chains[index(*t.chain)].name) : json(nullptr)},
                    {"weight", t.weight},
                    {"nfs", nfs},
                    {"packets", counters[i].packets},
                    {"bytes", counters[i].bytes},
                    {"held", counters[i].held},
                    {"limit_drops", counters[i].limit_drops}});
  }
  return list;
}

// ---------------------------------------------------------------------------------------------
// Tenants

absl::Status Control::add_tenants(std::vector<TenantConfig> tenants) {
  std::lock_guard lock(state_);
  return apply(tenant_table_.add(std::move(tenants)));
}

absl::Status Control::set_tenants(std::vector<TenantConfig> tenants) {
  std::lock_guard lock(state_);
  return apply(tenant_table_.set(std::move(tenants)));
}

absl::Status Control::remove_tenants(const std::vector<std::string>& names) {
  std::lock_guard lock(state_);
  return apply(tenant_table_.remove(names));
}

absl::Status Control::apply(absl::StatusOr<TenantTable::Change> change) {
  if (!change.ok()) return change.status();
  // From here on nothing can fail. A turn of the vSwitch is bounded, so many tenants take several.
  for (size_t done = 0; done < change->fresh_blobs.size();)
    on_lcore([&] {
      const size_t end = std::min(done + kChunk, change->fresh_blobs.size());
      for (; done < end; ++done)
        vswitch_.define_blob(change->fresh_blobs[done].first, change->fresh_blobs[done].second);
    });
  for (size_t done = 0; done < change->tenants.size();)
    on_lcore([&] { vswitch_.change_tenants(change->tenants, done, tsc_now()); });
  return absl::OkStatus();
}

// A blob without users may still be read by an NF that has not taken its new binding yet. It is
// reused only after all that lag now have caught up (or died, or gone idle).
void Control::quarantine(const std::vector<BlobId>& unused) {
  if (unused.empty()) return;
  std::vector<std::pair<SlotId, uint32_t>> lagging;
  for (uint32_t s = 0; s < control_.header().slot_count; ++s) {
    if (zygotes_.pid_of(SlotId{s}) == 0) continue;
    const uint32_t seq =
        control_.slot(SlotId{s}).from_switch.bind_seq.load(std::memory_order_relaxed);
    if (!acknowledged(SlotId{s}, seq)) lagging.emplace_back(SlotId{s}, seq);
  }
  for (BlobId blob : unused) {
    std::erase_if(quarantine_, [&](const Quarantined& q) { return q.blob == blob; });
    quarantine_.push_back({blob, lagging});
  }
}

// Caught up, asleep (it looks at its binding first thing when it wakes), or dead.
bool Control::acknowledged(SlotId slot, uint32_t seq) const {
  const uint32_t seen =
      control_.slot(slot).from_nf.bind_seq_seen.load(std::memory_order_acquire);
  return static_cast<int32_t>(seen - seq) >= 0 || zygotes_.pid_of(slot) == 0 ||
         control_.wake(slot).word.load(std::memory_order_acquire) == kAsleep;
}

void Control::free_quarantined() {
  std::erase_if(quarantine_, [&](Quarantined& q) {
    std::erase_if(q.lagging, [&](const auto& l) { return acknowledged(l.first, l.second); });
    if (!q.lagging.empty()) return false;
    bool unused = false;  // equal arguments may have come back meanwhile
    on_lcore([&] { unused = vswitch_.users_of(q.blob) == 0; });
    if (unused) bind_.remove(q.blob);
    return true;
  });
}

}  // namespace mayfly
