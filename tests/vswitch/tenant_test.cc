// Tenants that come, change and go while packets flow.
#include "absl/container/flat_hash_map.h"
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class TenantTest : public VSwitchTest {
 protected:
  static InstanceKey address(uint8_t host) {
    InstanceKey key{.kind = KeyKind::address};
    const uint8_t bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, host};
    std::copy(std::begin(bytes), std::end(bytes), key.bytes);
    return key;
  }
  BlobId blob(const std::string& text) {
    const BlobId id{blob_count_++};
    std::copy(text.begin(), text.end(),
              reinterpret_cast<char*>(bind_region_.data()) + 64 * raw(id));
    vswitch_->define_blob(id, {64 * raw(id), static_cast<uint32_t>(text.size())});
    return id;
  }
  // With the tenant's key as keys_ has it now.
  void change(VSwitch::TenantChange change) {
    for (const auto& [key, tenant] : keys_)
      if (tenant == change.tenant && !told_.contains(key)) change.new_key = key;
    for (const auto& [key, tenant] : told_)
      if (tenant == change.tenant && !keys_.contains(key)) change.old_key = key;
    if (change.new_key) told_[*change.new_key] = change.tenant;
    if (change.old_key) told_.erase(*change.old_key);
    std::vector<VSwitch::TenantChange> changes{std::move(change)};
    size_t done = 0;
    while (done == 0) vswitch_->change_tenants(changes, done, now_);
  }
  SlotId serving(uint8_t host, uint32_t nf = 0) {
    for (SlotId s : bound(nf)) {
      const BindingId b = vswitch_->instances()[index(s)].binding;
      if (vswitch_->key_of(b) == address(host)) return s;
    }
    ADD_FAILURE() << "nobody serves host " << int{host};
    return SlotId{0};
  }
  // Chain 0 is x, chain 1 is y.
  Config two_chains() {
    Config c = two_ports({"x", "y"});
    c.chains.push_back({.name = "other", .nfs = {NfId{1}}, .wake = {}});
    c.chains[0].nfs = {NfId{0}};
    return c;
  }
  // Time passes in which only these NFs run.
  void pass_running(Nanos time, std::initializer_list<SlotId> running) {
    for (int64_t t = 0; t < time.n; t += millis(1).n) {
      turn(millis(1));
      for (SlotId s : running) run_nf(s);
    }
  }
  std::vector<BlobId> unused() {
    Attention attention;
    vswitch_->fetch_attention(attention);
    return attention.unused;
  }

  using Keys = absl::flat_hash_map<InstanceKey, TenantId, InstanceKeyHash>;
  Keys keys_, told_;
  uint32_t blob_count_ = 0;
};

TEST_F(TenantTest, EachGetsItsOwnConfigurationBeforeItsFirstPacket) {
  start(two_ports({"x"}));
  give(0, 4);
  vswitch_->set_nf_blob(NfId{0}, blob("default"));
  keys_ = {{address(1), TenantId{0}}, {address(2), TenantId{1}}};
  change({TenantId{0}, true, {}, {{NfId{0}, blob("one")}}, false});
  change({TenantId{1}, true, {}, {{NfId{0}, blob("two")}}, false});
  for (uint8_t host = 1; host <= 3; ++host) port(0).in.push_back(udp(host));
  settle();
  EXPECT_EQ(nf(serving(1)).config, "one");
  EXPECT_EQ(nf(serving(2)).config, "two");
  EXPECT_EQ(nf(serving(3)).config, "default");
  EXPECT_EQ(nf(serving(2)).tenant, 1u);
}

TEST_F(TenantTest, ChangedArgumentsReachTheLivingInstance) {
  start(two_ports({"x"}));
  give(0, 2);
  keys_ = {{address(1), TenantId{0}}};
  const BlobId old = blob("old");
  change({TenantId{0}, true, {}, {{NfId{0}, old}}, false});
  port(0).in.push_back(udp(1));
  settle();
  const SlotId s = serving(1);
  change({TenantId{0}, true, {}, {{NfId{0}, blob("new")}}, false});
  settle();  // it is woken for it, without a packet
  EXPECT_EQ(nf(s).config, "new");
  EXPECT_EQ(nf(s).binds, 2);
  EXPECT_EQ(nf(s).resets, 0);
  EXPECT_EQ(unused(), std::vector<BlobId>{old});
}

TEST_F(TenantTest, AttachingTakesOverTheFlowsOfItsKey) {
  start(two_ports({"x"}));
  give(0, 3);
  port(0).in.push_back(udp(1));
  port(0).in.push_back(udp(2));
  settle();
  const SlotId other = serving(2);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {{NfId{0}, blob("one")}}, false});
  port(0).in.push_back(udp(1));
  port(0).in.push_back(udp(2));
  settle();
  EXPECT_EQ(nf(serving(1)).config, "one");
  EXPECT_EQ(serving(2), other);
  EXPECT_EQ(nf(other).binds, 1);
  EXPECT_EQ(vswitch_->tenants()[0].packets, 1u);
}

TEST_F(TenantTest, DetachingGivesItsInstancesBackAndForgetsItsConfiguration) {
  start(two_ports({"x"}));
  give(0, 2);
  keys_ = {{address(1), TenantId{0}}};
  const BlobId mine = blob("mine");
  change({TenantId{0}, true, {}, {{NfId{0}, mine}}, false});
  port(0).in.push_back(udp(1));
  settle();
  keys_.clear();
  change({TenantId{0}, false, {}, {}, false});
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(unused(), std::vector<BlobId>{mine});
  port(0).in.push_back(udp(1));
  settle();
  EXPECT_EQ(nf(serving(1)).config, "");
  expect_balance();
}

TEST_F(TenantTest, AnotherChainTakesOverInOrder) {
  start(two_chains());
  give(0, 1);
  give(1, 1);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  for (uint32_t i = 0; i < 10; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();  // ten wait in x
  change({TenantId{0}, true, ChainId{1}, {}, true});
  for (uint32_t i = 10; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  // y is bound and awake long before x gets the core: its packets must wait all the same.
  for (SlotId s : bound(1)) run_nf(s);
  turn();
  EXPECT_EQ(port(1).out.size(), 0u);
  settle();
  ASSERT_EQ(port(1).out.size(), 20u);
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(number_of(port(1).out[i]), i);
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(bound(1).size(), 1u);
  expect_balance();
}

// Its predecessor's NF hangs: the new chain waits for a second, then goes on without it.
TEST_F(TenantTest, AHungPredecessorHoldsTheNextChainUpForASecondAtMost) {
  start(two_chains());
  const SlotId x = give(0, 1)[0];
  const SlotId y = give(1, 1)[0];
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  for (uint32_t i = 0; i < 10; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();  // ten wait in x, which never runs
  change({TenantId{0}, true, ChainId{1}, {}, true});
  for (uint32_t i = 10; i < 20; ++i) port(0).in.push_back(udp(1, 1000, i));
  pass_running(millis(900), {y});
  EXPECT_EQ(port(1).out.size(), 0u);
  EXPECT_EQ(vswitch_->overdue_gates(), 0u);
  pass_running(millis(200), {y});
  ASSERT_EQ(port(1).out.size(), 10u);
  EXPECT_EQ(number_of(port(1).out[0]), 10u);
  EXPECT_EQ(vswitch_->overdue_gates(), 1u);
  run_nf(x);  // it comes back: late packets are better than lost ones
  settle();
  EXPECT_EQ(port(1).out.size(), 20u);
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(vswitch_->ledger().dropped(), 0u);
  expect_balance();
}

// A binding that was let through too early drains late: the vacancy that waited for it is another
// tenant's by then, and that one's own predecessor still holds packets.
TEST_F(TenantTest, NobodyLateOpensAnothersGate) {
  start(two_chains());
  give(0, 3);
  const SlotId y[] = {give(1, 1)[0], give(1, 1)[0]};
  keys_ = {{address(1), TenantId{0}}, {address(2), TenantId{1}}};
  change({TenantId{0}, true, {}, {}, false});
  change({TenantId{1}, true, {}, {}, false});
  port(0).in.push_back(udp(1, 1000, 0));
  port(0).in.push_back(udp(2, 1000, 1));
  turn();
  const SlotId hung = serving(1), slow = serving(2);
  change({TenantId{0}, true, ChainId{1}, {}, true});
  port(0).in.push_back(udp(1, 1000, 2));
  pass_running(seconds(2), {y[0], y[1]});
  ASSERT_EQ(vswitch_->overdue_gates(), 1u);
  ASSERT_EQ(port(1).out.size(), 1u);
  change({TenantId{1}, true, ChainId{1}, {}, true});
  port(0).in.push_back(udp(2, 1000, 3));
  turn();
  run_nf(hung);
  pass_running(millis(500), {y[0], y[1]});
  ASSERT_EQ(port(1).out.size(), 2u) << "2 waits for 1";
  EXPECT_EQ(number_of(port(1).out[1]), 0u);
  run_nf(slow);
  settle();
  ASSERT_EQ(port(1).out.size(), 4u);
  EXPECT_EQ(number_of(port(1).out[2]), 1u);
  EXPECT_EQ(number_of(port(1).out[3]), 3u);
  EXPECT_EQ(vswitch_->overdue_gates(), 1u);
  expect_balance();
}

// A chain that is replaced while it still waits for the one before: the third waits for both, even
// though the second one has no packets.
TEST_F(TenantTest, AChainReplacedBehindItsGateWaitsForItAllTheSame) {
  Config c = two_chains();
  c.tenant_packets = 10;
  start(c);
  const SlotId x = give(0, 2)[1];
  give(1, 1);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  for (uint32_t i = 0; i < 10; ++i) port(0).in.push_back(udp(1, 1000, i));
  turn();
  change({TenantId{0}, true, ChainId{1}, {}, true});
  port(0).in.push_back(udp(1, 1000, 10));  // beyond its limit: it binds y, and y gets nothing
  turn();
  ASSERT_EQ(drops(Drop::tenant_limit), 1u);
  change({TenantId{0}, true, {}, {}, true});
  for (int i = 0; i < 10; ++i) turn();
  EXPECT_EQ(vswitch_->nfs()[1].idle.size(), 0u) << "y is empty, but its turn has not come";
  port(0).in.push_back(udp(1, 1000, 11));  // also beyond the limit: binds the other x
  turn();
  ASSERT_EQ(drops(Drop::tenant_limit), 2u);
  run_nf(x);
  turn();
  EXPECT_EQ(vswitch_->nfs()[1].idle.size(), 1u);
  port(0).in.push_back(udp(1, 1000, 12));
  settle();
  ASSERT_EQ(port(1).out.size(), 11u);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(number_of(port(1).out[i]), i);
  EXPECT_EQ(number_of(port(1).out[10]), 12u);
  expect_balance();
}

// 150 tenants get another chain in one request: no turn does more than its share, packets flow in
// between, and each tenant meets the old chain or the new one, in order.
TEST_F(TenantTest, ManyChangesTakeSeveralTurnsAndLoseNothing) {
  constexpr uint8_t kTenants = 150;
  start(two_chains());
  give(0, kTenants);
  give(1, kTenants);
  std::vector<VSwitch::TenantChange> attach, rechain;
  for (uint8_t t = 0; t < kTenants; ++t) {
    attach.push_back({TenantId{t}, true, {}, {}, false, address(t + 1)});
    rechain.push_back({TenantId{t}, true, ChainId{1}, {}, true});
  }
  uint32_t number = 0;
  const auto everybody = [&] {
    for (uint8_t host = 1; host <= kTenants; ++host)
      port(0).in.push_back(udp(host, 1000, number));
    ++number;
    for (int i = 0; i < 5; ++i) turn();
  };
  size_t done = 0, turns = 0;
  for (; done < attach.size(); ++turns) vswitch_->change_tenants(attach, done, now_);
  EXPECT_EQ(turns, 3u);
  everybody();
  ASSERT_EQ(bound(0).size(), kTenants);
  for (done = turns = 0; done < rechain.size(); ++turns) {
    vswitch_->change_tenants(rechain, done, now_);
    everybody();
  }
  EXPECT_EQ(turns, 5u);  // 150 tenants and 150 bindings
  for (int i = 0; i < 4; ++i) settle();
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(bound(1).size(), kTenants);
  EXPECT_EQ(vswitch_->ledger().dropped(), 0u);
  ASSERT_EQ(port(1).out.size(), number * kTenants);
  std::map<uint8_t, uint32_t> next;
  for (const Frame& f : port(1).out) EXPECT_EQ(number_of(f), next[f[29]]++);
  expect_balance();
}

// More connections than a turn's share: those that were there get their new arguments in time.
TEST_F(TenantTest, ATenantOfManyBindingsIsReconfiguredWhole) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  for (FlowConfig& f : c.flows) f.tenant_by = KeyBy::src_ip;
  start(c);
  give(0, 100);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {{NfId{0}, blob("old")}}, false});
  for (uint16_t f = 0; f < 100; ++f) port(0).in.push_back(udp(1, f));
  settle();
  change({TenantId{0}, true, {}, {{NfId{0}, blob("new")}}, false});
  settle();
  ASSERT_EQ(bound(0).size(), 100u);
  for (SlotId s : bound(0)) EXPECT_EQ(nf(s).config, "new");
  keys_.clear();
  change({TenantId{0}, false, {}, {}, false});
  EXPECT_EQ(bound(0).size(), 0u);
  EXPECT_EQ(unused().size(), 2u);
}

// The last packet of the second NF and one that the first has just passed on come back together:
// the one between the two NFs is held by neither, and must still meet the second.
TEST_F(TenantTest, NoPacketSkipsAnNfWhileItsBindingDrains) {
  start(two_ports({"x", "y"}));
  const SlotId x = give(0, 1)[0];
  const SlotId y = give(1, 1)[0];
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  port(0).in.push_back(udp(1, 1000, 0));
  turn();
  run_nf(x);
  turn();  // the first waits in y
  port(0).in.push_back(udp(1, 1000, 1));
  turn();  // the second in x
  keys_.clear();
  change({TenantId{0}, false, {}, {}, false});
  run_nf(x);
  run_nf(y);
  settle();
  EXPECT_EQ(port(1).out.size(), 2u);
  EXPECT_EQ(nf(y).packets, 2u);
  EXPECT_EQ(bound(0).size() + bound(1).size(), 0u);
  expect_balance();
}

TEST_F(TenantTest, NoTenantHoldsMoreThanItsPackets) {
  Config c = two_ports({"x"}, KeyBy::five_tuple);
  for (FlowConfig& f : c.flows) f.tenant_by = KeyBy::src_ip;
  c.tenant_packets = 100;
  start(c);
  give(0, 8);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  for (uint16_t i = 0; i < 150; ++i) port(0).in.push_back(udp(1, i % 4));
  for (uint16_t i = 0; i < 50; ++i) port(0).in.push_back(udp(2, i % 4));
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_EQ(drops(Drop::tenant_limit), 50u);
  EXPECT_EQ(vswitch_->tenants()[0].packets_held, 100u);
  settle();
  EXPECT_EQ(port(1).out.size(), 150u);
  EXPECT_EQ(vswitch_->tenants()[0].packets_held, 0u);
  expect_balance();
}

TEST_F(TenantTest, TenantsRequiredDropsTheOthers) {
  Config c = two_ports({"x"});
  c.flows[0].tenants_only = true;
  start(c);
  give(0, 2);
  keys_ = {{address(1), TenantId{0}}};
  change({TenantId{0}, true, {}, {}, false});
  port(0).in.push_back(udp(1));
  port(0).in.push_back(udp(2));
  settle();
  EXPECT_EQ(port(1).out.size(), 1u);
  EXPECT_EQ(drops(Drop::no_tenant), 1u);
}

TEST_F(TenantTest, TwoHundredChangesUnderTrafficLoseNobodysPacket) {
  start(two_ports({"x"}));
  give(0, 16);
  uint32_t sent = 0;
  for (uint32_t round = 0; round < 200; ++round) {
    const bool there = round % 2 == 0;
    if (there) keys_[address(9)] = TenantId{0};
    else keys_.erase(address(9));
    change({TenantId{0}, there, {}, {}, false});
    for (uint8_t host = 1; host <= 9; ++host, ++sent) port(0).in.push_back(udp(host, 1000, sent));
    turn();
    if (round % 4 == 3) run_nfs();
  }
  for (int i = 0; i < 10; ++i) settle();  // each change waits for the one before to drain
  EXPECT_EQ(vswitch_->ledger().dropped(), 0u);
  EXPECT_EQ(vswitch_->ledger().held(), 0);
  EXPECT_EQ(port(1).out.size(), sent);
  std::map<uint8_t, uint32_t> last;
  for (const Frame& f : port(1).out) {
    EXPECT_GE(number_of(f) + 1, last[f[29]]) << "order of host " << int{f[29]};
    last[f[29]] = number_of(f) + 1;
  }
  expect_balance();
}

}  // namespace
}  // namespace mayfly
