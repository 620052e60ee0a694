// Flows and bindings: which chain of instances a packet's key is bound to, from the first packet
// of a flow to its expiry. All of it runs on misses, expiry and changes, not per packet.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/vswitch/vswitch.h"

namespace mayfly {
namespace {

KeyKind kind_of(KeyBy by) {
  switch (by) {
    case KeyBy::mac: return KeyKind::mac;
    case KeyBy::vlan: return KeyKind::vlan;
    case KeyBy::src_ip:
    case KeyBy::dst_ip: return KeyKind::address;
    default: return KeyKind::none;
  }
}

}  // namespace

// Slow path of admit(): a new flow, or one to be looked at again because tenants have changed.
BindingId VSwitch::resolve(FlowId& flow, const PacketKey& key, uint64_t hash, Cycles now,
                           Drop& why) {
  const RuleId id = rules_.match(key);
  if (id == kNone<RuleId>) {
    why = Drop::no_rule;
    return kNone<BindingId>;
  }
  const Rule& rule = rules_.rule(id);
  const FlowConfig& config = config_.flows[index(id)];
  const TenantId tenant = tenant_of(rule, key, id);
  if (tenant == kNone<TenantId> && config.tenants_only) {
    why = Drop::no_tenant;
    return kNone<BindingId>;
  }
  const bool overridden = tenant != kNone<TenantId> && tenants_[index(tenant)].chain_overridden;
  const ChainId chain = overridden ? tenants_[index(tenant)].chain : config.chain;
  const bool known = flow != kNone<FlowId>;
  if (known && bindings_[index(flows_.entry(flow).state.binding)].state == BindingState::live) {
    const BindingId old = flows_.entry(flow).state.binding;
    if (serves(bindings_[index(old)], tenant) && bindings_[index(old)].chain == chain) {
      flows_.entry(flow).state.reserved = tenant_epoch_;  // unchanged for this one
      return old;
    }
  }
  const BindingId predecessor = known ? flows_.entry(flow).state.binding : kNone<BindingId>;
  const InstanceKey instance = instance_key(rule.instance_per, key, id);
  const BindingId b = find_or_make(chain, instance, config, tenant, why);
  if (b == kNone<BindingId>) return b;
  if (!known) {
    flow = flows_.insert(key, hash);
    if (flow == kNone<FlowId>) {
      if (bindings_[index(b)].flow_count == 0) release(b);
      why = Drop::flow_table_full;
      return kNone<BindingId>;
    }
    flow_timers_.arm(raw(flow), now + rate_.cycles(config.idle));
  } else if (b != predecessor) {
    gate(b, predecessor);
    detach_flow(flow);
  }
  FlowState& state = flows_.entry(flow).state;
  state.rule = id;
  state.out = config.out.value_or(kNone<PortId>);
  state.tenant = raw(tenant);
  state.reserved = tenant_epoch_;
  if (b != predecessor) attach_flow(flow, b);
  return b;
}

TenantId VSwitch::tenant_of(const Rule& rule, const PacketKey& key, RuleId id) const {
  const KeyBy by = rule.tenant_by.value_or(rule.instance_per);
  if (tenant_by_key_.empty() || kind_of(by) == KeyKind::none) return kNone<TenantId>;
  const TenantId* found = tenant_by_key_.find(instance_key(by, key, id));
  return found == nullptr ? kNone<TenantId> : *found;
}

// A tenant's binding also serves packets of its key that come by a rule which names no tenant (the
// way back); it never serves another tenant.
bool VSwitch::serves(const ChainBinding& binding, TenantId tenant) const {
  return binding.tenant == tenant || tenant == kNone<TenantId>;
}

BindingId VSwitch::find_or_make(ChainId chain, const InstanceKey& key, const FlowConfig& rule,
                                TenantId tenant, Drop& why) {
  const BindingKey wanted{chain, key};
  if (const BindingId* found = binding_of_.find(wanted)) {
    const ChainBinding& binding = bindings_[index(*found)];
    if (serves(binding, tenant)) return *found;
    if (binding.tenant != kNone<TenantId>) {  // two rules give one key to two tenants
      why = Drop::no_tenant;
      return kNone<BindingId>;
    }
    release(*found);  // nobody's until now
  }
  return make_binding(wanted, tenant, rule, why);
}

// The newest binding of this tenant and chain, if one of its last few is.
BindingId VSwitch::binding_to_share(ChainId chain, TenantId tenant, bool& found) const {
  if (tenant == kNone<TenantId>) return kNone<BindingId>;
  BindingId b = tenants_[index(tenant)].bindings;
  for (uint32_t i = 0; i < kShareSearchMax && b != kNone<BindingId>; ++i) {
    const ChainBinding& other = bindings_[index(b)];
    if (other.chain == chain && other.length != 0) {
      found = true;
      return b;
    }
    b = other.next_of_tenant;
  }
  return kNone<BindingId>;
}

// The policy of the first NF of the chain that has no idle instance. `decided`: the answer is what
// this returns (a shared binding, or none with `why`); otherwise binding goes on, with `length`
// set to 0 for a bypass, and vacancies where instances are missing.
BindingId VSwitch::on_empty_pool(EmptyPool policy, ChainId chain, TenantId tenant, uint8_t& length,
                                 bool& decided, Drop& why) {
  switch (policy) {
    case EmptyPool::drop:
      decided = true;
      why = Drop::pool_empty;
      want_attention();
      return kNone<BindingId>;
    case EmptyPool::bypass:
      length = 0;
      want_attention();
      return kNone<BindingId>;
    case EmptyPool::share:
      if (tenant == kNone<TenantId>) return kNone<BindingId>;
      want_attention();
      return binding_to_share(chain, tenant, decided);
    case EmptyPool::queue: return kNone<BindingId>;
  }
  return kNone<BindingId>;
}

BindingId VSwitch::make_binding(const BindingKey& key, TenantId tenant, const FlowConfig& rule,
                                Drop& why) {
  const ChainRecord& chain = chains_[index(key.chain)];
  auto length = static_cast<uint8_t>(chain.nfs.size());
  for (NfId nf : chain.nfs) {
    if (!nfs_[index(nf)].idle.empty()) continue;
    bool decided = false;
    const BindingId b = on_empty_pool(config_.nfs[index(nf)].pool.empty, key.chain, tenant, length,
                                      decided, why);
    if (decided) return b;
    break;
  }
  // As many vacancies as there are slots are kept for deaths: those cannot be refused.
  if (free_bindings_.empty() || free_vacancies_.size() < length + size_t{slot_count_}) {
    why = Drop::pool_empty;
    return kNone<BindingId>;
  }
  const BindingId b = free_bindings_.back();
  free_bindings_.pop_back();
  ChainBinding& binding = bindings_[index(b)];
  binding = ChainBinding{};
  binding.chain = key.chain;
  binding.length = length;
  binding.state = BindingState::live;
  binding.tenant = tenant;
  binding.tenant_counted = tenant != kNone<TenantId>;
  binding.out = rule.out.value_or(kNone<PortId>);
  binding_keys_[index(b)] = key;
  binding_of_.put(key, b);
  if (tenant != kNone<TenantId>) link_tenant(b);
  for (uint8_t p = 0; p < length; ++p) {
    NfRecord& nf = nfs_[index(chain.nfs[p])];
    if (nf.idle.empty()) {
      queue_vacancy(make_vacancy(b, p, kNone<SlotId>), now_);
      continue;
    }
    const SlotId slot = take_idle(nf);
    bind_instance(slot, b, p);
    if (nf.idle.size() < config_.nfs[index(chain.nfs[p])].pool.idle) want_attention();
  }
  return b;
}

void VSwitch::attach_flow(FlowId flow, BindingId b) {
  ChainBinding& binding = bindings_[index(b)];
  flows_.entry(flow).state.binding = b;
  if (binding.flow_count < 2) {
    FlowId& end = binding.ends[0] == kNone<FlowId> ? binding.ends[0] : binding.ends[1];
    end = flow;
  }
  ++binding.flow_count;
}

void VSwitch::detach_flow(FlowId flow) {
  const BindingId b = flows_.entry(flow).state.binding;
  ChainBinding& binding = bindings_[index(b)];
  for (FlowId& end : binding.ends)
    if (end == flow) end = kNone<FlowId>;
  MAYFLY_CHECK(binding.flow_count > 0);
  if (--binding.flow_count != 0) return;
  if (binding.state == BindingState::live) release(b);
  else if (binding.state == BindingState::retired) free_binding(b);
}

// FIN ends this direction; RST ends the connection: both its flows linger, then go.
void VSwitch::close_flow(FlowEntry& entry, FlowId flow, const FlowConfig& rule, uint8_t flags,
                         Cycles now) {
  if (!rules_.looks_at_ports(PortId{entry.key.port}) || rule.instance_per != KeyBy::five_tuple)
    return;
  const Cycles gone = now + rate_.cycles(rule.linger);
  const auto close = [&](FlowId f) {
    if (f == kNone<FlowId> || flows_.entry(f).state.closing) return;
    flows_.entry(f).state.closing = 1;
    flow_timers_.arm(raw(f), gone);
  };
  close(flow);
  if (flags & kTcpRst)
    for (FlowId end : bindings_[index(entry.state.binding)].ends) close(end);
}

// Lazily: a flow's timer is not moved for each packet; when it fires, the flow goes only if it has
// really been quiet that long.
void VSwitch::on_flow_timer(uint32_t timer, Cycles now) {
  const FlowId flow{timer};
  const FlowState& state = flows_.entry(flow).state;
  const FlowConfig& rule = config_.flows[index(state.rule)];
  const Cycles quiet = rate_.cycles(state.closing ? rule.linger : rule.idle);
  if (state.last_seen + quiet > now) {
    flow_timers_.arm(timer, state.last_seen + quiet);
    return;
  }
  detach_flow(flow);
  flows_.erase(flow);
}

// No new packets for this binding; its instances go back once they hold nothing.
void VSwitch::release(BindingId b) {
  ChainBinding& binding = bindings_[index(b)];
  MAYFLY_CHECK(binding.state == BindingState::live);
  binding.state = BindingState::retiring;
  const BindingId* found = binding_of_.find(binding_keys_[index(b)]);
  if (found != nullptr && *found == b) binding_of_.erase(binding_keys_[index(b)]);
  if (binding.tenant != kNone<TenantId>) unlink_tenant(b);
  for (uint8_t p = 0; p < binding.length; ++p) {
    if (binding.places[p] & kVacantBit) continue;
    Instance& instance = instances_[binding.places[p]];
    if (instance.state == InstanceState::bound) instance.state = InstanceState::draining;
  }
  finish_if_drained(b);
}

bool VSwitch::is_drained(const ChainBinding& binding) const {
  for (uint8_t p = 0; p < binding.length; ++p) {
    const uint32_t place = binding.places[p];
    if (place & kVacantBit) {
      const Vacancy& v = vacancies_[place & ~kVacantBit];
      if (v.count != 0 || v.gate != 0) return false;  // a gate: those before it have not drained
    } else if (instances_[place].held != 0) {
      return false;
    }
  }
  return true;
}

void VSwitch::finish_if_drained(BindingId b) {
  ChainBinding& binding = bindings_[index(b)];
  if (binding.state != BindingState::retiring || !is_drained(binding)) return;
  binding.state = BindingState::retired;
  for (uint8_t p = 0; p < binding.length; ++p) {
    const uint32_t place = binding.places[p];
    if (place & kVacantBit) remove_vacancy(place & ~kVacantBit);
    else unbind_instance(SlotId{place});
  }
  binding.length = 0;
  leave_gate(binding);
  if (binding.flow_count == 0) free_binding(b);
}

// Keeps order when a flow moves from one binding to another: the new one takes packets only into
// its first place's backlog until the old one is drained. But for kGatePatience at most: an NF of
// the old one that hangs must not hold up its tenant's next ones for ever.
void VSwitch::gate(BindingId b, BindingId predecessor) {
  ChainBinding& old = bindings_[index(predecessor)];
  ChainBinding& binding = bindings_[index(b)];
  if (b == predecessor || old.state != BindingState::retiring || binding.length == 0 ||
      old.gate != 0)
    return;
  uint32_t vacancy = binding.places[0] & ~kVacantBit;
  if ((binding.places[0] & kVacantBit) == 0) {
    // Held packets: it serves other flows already, whose order is not this one's.
    const SlotId slot{binding.places[0]};
    if (instances_[index(slot)].held != 0 || free_vacancies_.size() <= slot_count_) return;
    vacancy = make_vacancy(b, 0, slot);
  }
  Vacancy& v = vacancies_[vacancy];
  if (v.gate == 0) {
    v.gate = ++gate_count_;
    timers_.arm(gate_timer(vacancy), now_ + rate_.cycles(kGatePatience));
  }
  ++v.predecessors;
  old.gate = v.gate;
  old.gated_vacancy = vacancy;
}

// One predecessor less. The vacancy may be another's by now, or have another gate: the number tells.
void VSwitch::leave_gate(ChainBinding& drained) {
  const uint64_t gate = std::exchange(drained.gate, 0);
  Vacancy& v = vacancies_[drained.gated_vacancy];
  if (gate != 0 && v.gate == gate && --v.predecessors == 0) open_gate(drained.gated_vacancy);
}

void VSwitch::open_gate(uint32_t vacancy) {
  Vacancy& v = vacancies_[vacancy];
  v.gate = 0;
  v.predecessors = 0;
  timers_.cancel(gate_timer(vacancy));
  if (v.reserved != kNone<SlotId>) return fulfil(vacancy, v.reserved);
  finish_if_drained(v.binding);
}

void VSwitch::on_gate_timer(uint32_t vacancy) {
  ++overdue_gates_;
  open_gate(vacancy);
}

void VSwitch::free_binding(BindingId b) {
  bindings_[index(b)].state = BindingState::free;
  free_bindings_.push_back(b);
}

void VSwitch::link_tenant(BindingId b) {
  ChainBinding& binding = bindings_[index(b)];
  TenantRecord& tenant = tenants_[index(binding.tenant)];
  binding.previous_of_tenant = kNone<BindingId>;
  binding.next_of_tenant = tenant.bindings;
  if (tenant.bindings != kNone<BindingId>)
    bindings_[index(tenant.bindings)].previous_of_tenant = b;
  tenant.bindings = b;
}

void VSwitch::unlink_tenant(BindingId b) {
  ChainBinding& binding = bindings_[index(b)];
  TenantRecord& tenant = tenants_[index(binding.tenant)];
  if (binding.next_of_tenant != kNone<BindingId>)
    bindings_[index(binding.next_of_tenant)].previous_of_tenant = binding.previous_of_tenant;
  if (binding.previous_of_tenant != kNone<BindingId>)
    bindings_[index(binding.previous_of_tenant)].next_of_tenant = binding.next_of_tenant;
  else if (tenant.outdated == b)
    tenant.outdated = binding.next_of_tenant;
  else
    tenant.bindings = binding.next_of_tenant;
  binding.next_of_tenant = binding.previous_of_tenant = kNone<BindingId>;
}

// Tenants attach, change and detach: only their own flows are looked at again. Each of them changes
// in one step, between two packets; what it has bound until then follows, kTenantWorkMax a turn.
void VSwitch::change_tenants(std::span<TenantChange> changes, size_t& done, Cycles now) {
  now_ = now;
  for (uint32_t work = 0; done < changes.size() && work < kTenantWorkMax; ++work) {
    TenantChange& change = changes[done];
    TenantRecord& tenant = tenants_[index(change.tenant)];
    if (!change.begun) {
      begin_change(change);
    } else if (change.rebind || !change.live) {
      release(tenant.outdated);
    } else {
      const BindingId b = tenant.outdated;
      unlink_tenant(b);
      link_tenant(b);
      reconfigure(b);
    }
    if (tenant.outdated == kNone<BindingId>) ++done;
  }
  if (done == changes.size()) ++tenant_epoch_;  // flows that nobody's NFs served until now
}

void VSwitch::begin_change(TenantChange& change) {
  TenantRecord& tenant = tenants_[index(change.tenant)];
  change.begun = true;
  if (change.old_key) tenant_by_key_.erase(*change.old_key);
  if (change.new_key) tenant_by_key_.put(*change.new_key, change.tenant);
  for (const auto& [nf, blob] : change.blobs) use_blob(blob);
  tenant.blobs.swap(change.blobs);
  for (const auto& [nf, blob] : change.blobs) drop_blob(blob);  // the former ones
  tenant.live = change.live;
  tenant.weight = change.weight;
  tenant.chain_overridden = change.chain.has_value();
  tenant.chain = change.chain.value_or(ChainId{});
  tenant.outdated = std::exchange(tenant.bindings, kNone<BindingId>);
}

}  // namespace mayfly
