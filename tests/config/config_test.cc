// Valid configurations: defaults, everything set, round trip between processes.
#include <cstring>

#include "nlohmann/json.hpp"
#include "tests/config/env.h"

namespace mayfly {
namespace {

class ConfigTest : public ConfigEnv {};

TEST_F(ConfigTest, Defaults) {
  const auto config = parse(kMinimal);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->file, "t.yaml");
  EXPECT_EQ(config->name, "default");
  EXPECT_EQ(config->vswitch_core, CoreId{0});
  EXPECT_EQ(config->nf_cores.size(), 1u);
  EXPECT_EQ(config->packets, 65536u);
  EXPECT_EQ(config->jumbo_packets, 64u);
  EXPECT_EQ(config->bind_bytes, 16u << 20);
  EXPECT_EQ(config->hugepages, Huge::automatic);
  EXPECT_EQ(config->ring_entries, 128u);
  EXPECT_EQ(config->flow_count_max, 1u << 20);
  EXPECT_EQ(config->tenant_packets, 65536u / 4);
  EXPECT_EQ(config->dispatch, Dispatch::futex);
  EXPECT_EQ(config->downstream, Downstream::per_nf);
  EXPECT_EQ(config->wake.batch, 8u);
  EXPECT_FALSE(config->wake.adaptive);
  EXPECT_EQ(config->wake.aging, micros(200));

  const GenConfig& gen = *config->ports.at(0).gen;
  EXPECT_EQ(gen.size_bytes, 64u);
  EXPECT_EQ(gen.mix, SizeMix::fixed);
  EXPECT_EQ(gen.rate_pps, 1e6);
  EXPECT_EQ(gen.arrival, Arrival::constant);
  EXPECT_EQ(gen.order, FlowOrder::round_robin);
  EXPECT_EQ(gen.seed, 1u);
  EXPECT_EQ(gen.first_vlan, 0);

  const NfConfig& nf = config->nfs.at(0);
  EXPECT_EQ(nf.name, "t");
  EXPECT_EQ(nf.image_path, std::string(MAYFLY_TEST_IMAGES) + "/tiny.so");
  EXPECT_EQ(nf.pool.idle, 64u);
  EXPECT_EQ(nf.pool.max, 1024u);
  EXPECT_EQ(nf.pool.empty, EmptyPool::queue);
  EXPECT_FALSE(nf.wake);
  EXPECT_EQ(nf.tick_period_ns, 1'000'000u);
  EXPECT_EQ(nf.blank_buffers, 4u);
  EXPECT_EQ(nf.line, 2u);
  EXPECT_EQ(nf.args.size(), 7u);

  const FlowConfig& flow = config->flows.at(0);
  EXPECT_EQ(flow.match.port, PortId{0});
  EXPECT_EQ(flow.tenant_by, KeyBy::vlan);
  EXPECT_EQ(flow.out, PortId{0});
  EXPECT_EQ(flow.idle, seconds(30));
  EXPECT_EQ(flow.linger, seconds(2));
  EXPECT_FALSE(flow.tenants_only);
  EXPECT_EQ(flow.line, 4u);
}

TEST_F(ConfigTest, ImageArgumentsOfEveryType) {
  file("r.txt", "one\ntwo\n");
  const auto config = parse(kPorts +
                            "nfs: {t: {image: tiny, args: {threshold: 7, label: x, rules: r.txt, "
                            "rate: 2kpps, timeout: 5ms, buffer: 1KiB, strict: true}}}\n" +
                            kChains + kFlows);
  ASSERT_TRUE(config.ok()) << config.status();
  const NfConfig& nf = config->nfs[0];
  uint64_t numbers[5];
  ASSERT_EQ(nf.blob.size(), sizeof(numbers) + 1 + 8);
  std::memcpy(numbers, nf.blob.data(), sizeof(numbers));
  EXPECT_EQ(numbers[0], 7u);
  EXPECT_EQ(numbers[1], 2000u);
  EXPECT_EQ(numbers[2], 5'000'000u);
  EXPECT_EQ(numbers[3], 1024u);
  EXPECT_EQ(numbers[4], 1u);
  EXPECT_EQ(std::string(nf.blob.begin() + sizeof(numbers), nf.blob.end()), "xone\ntwo\n");
  EXPECT_EQ(nf.args[2].file, dir_ + "/r.txt");
  EXPECT_EQ(nf.args[2].text, "one\ntwo\n");
}

TEST_F(ConfigTest, AnImageWithoutCompileHasAnEmptyConfiguration) {
  const auto config =
      parse(kPorts + "nfs: {t: {image: needs, args: {mbps: 5}}}\n" + kChains + kFlows);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->nfs[0].blob.empty());
  EXPECT_EQ(config->nfs[0].args[0].number, 5u);
}

// The configuration that docs/design.md shows, with a dispatch of this version.
TEST_F(ConfigTest, TheWholeExample) {
  file("rules.txt", "allow\n");
  file("acme.rules", "deny\n");
  file("tenants.yaml", "acme: { key: 101, fw: { rules: acme.rules }, lim: { mbps: 20 } }\n");
  const auto config = parse(R"(# a whole configuration
cores:  { vswitch: 0, nfs: [1] }
memory: { packets: 65536, hugepages: auto }
ports:
  - { name: lan, dev: "net_af_packet0,iface=veth-lan" }
  - { name: wan, dev: "net_af_packet1,iface=veth-wan" }
nfs:
  fw:  { image: tiny,  trust: shared, pool: { idle: 64, max: 4000 }, args: { rules: rules.txt } }
  lim: { image: needs, trust: shared, pool: { idle: 64, max: 4000 }, args: { mbps: 100 } }
chains:
  protect: { nfs: [fw, lim] }
flows:                                    # first match wins
  - { match: { port: lan, vlan: 1-4094 }, instance_per: vlan, chain: protect, out: wan }
  - { match: { port: wan },               instance_per: five_tuple, chain: protect, out: lan, idle: 30s }
tenants: tenants.yaml
wake:  { dispatch: futex, batch: 8, aging: 200us }
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ports[1].dev, "net_af_packet1,iface=veth-wan");
  EXPECT_EQ(config->ports[1].line, 6u);
  EXPECT_EQ(config->chains[0].nfs, (std::vector<NfId>{NfId{0}, NfId{1}}));
  EXPECT_EQ(config->flows[0].match.vlan, (Range<uint16_t>{1, 4094}));
  EXPECT_EQ(config->flows[0].out, PortId{1});
  EXPECT_EQ(config->flows[1].instance_per, KeyBy::five_tuple);
  EXPECT_FALSE(config->flows[1].tenant_by);
  ASSERT_EQ(config->tenants.size(), 1u);
  const TenantConfig& acme = config->tenants[0];
  EXPECT_EQ(acme.name, "acme");
  EXPECT_EQ(acme.key, *parse_tenant_key("101"));
  ASSERT_EQ(acme.nfs.size(), 2u);
  EXPECT_EQ(acme.nfs[0].args[2].text, "deny\n");
  EXPECT_EQ(acme.nfs[1].args[0].number, 20u);
}

TEST_F(ConfigTest, EveryMatchField) {
  const auto config = parse(kPorts + kNfs + kChains + R"(flows:
  - match: { port: a, vlan: none, inner_vlan: 7, ethertype: 0x0800, src_ip: 10.0.0.0/8,
             dst_ip: "2001:db8::/32", proto: tcp, src_port: 1000-2000, dst_port: 80,
             src_mac: 02:00:00:00:00:01 }
    instance_per: ip_pair
    tenant_by: src_ip
    tenants: required
    chain: c
    linger: 0s
  - { match: { ethertype: arp, proto: 47 }, chain: c }
)");
  ASSERT_TRUE(config.ok()) << config.status();
  const Match& m = config->flows[0].match;
  EXPECT_EQ(m.vlan, (Range<uint16_t>{0, 0}));
  EXPECT_EQ(m.inner_vlan, (Range<uint16_t>{7, 7}));
  EXPECT_EQ(m.ethertype, 0x0800);
  EXPECT_EQ(m.src_ip->bits, 104);
  EXPECT_EQ(m.dst_ip->bits, 32);
  EXPECT_EQ(m.protocol, 6);
  EXPECT_EQ(m.src_port, (Range<uint16_t>{1000, 2000}));
  EXPECT_EQ(m.dst_port, (Range<uint16_t>{80, 80}));
  EXPECT_EQ(*m.src_mac, std::string("\x02\0\0\0\0\x01", 6));
  EXPECT_EQ(config->flows[0].tenant_by, KeyBy::src_ip);
  EXPECT_TRUE(config->flows[0].tenants_only);
  EXPECT_FALSE(config->flows[0].out);
  EXPECT_EQ(config->flows[1].match.ethertype, 0x0806);
  EXPECT_EQ(config->flows[1].match.protocol, 47);
  EXPECT_EQ(config->flows[1].instance_per, KeyBy::rule);
}

TEST_F(ConfigTest, GeneratorAndCapturePorts) {
  file("in.pcap", "");
  const auto config = parse(R"(ports:
  - { name: g, gen: { flows: 9, size: imix, rate: 1.5Mpps, arrival: poisson, order: uniform, seed: 7, first_vlan: 100 } }
  - { name: h, gen: { size: 1500B, rate: max } }
  - { name: w, gen: { size: web, arrival: { on: 1.5ms, off: 20us }, order: zipf, zipf: 0.75 } }
  - { name: z, gen: { order: zipf } }
  - { name: p, pcap: { in: in.pcap, out: out.pcap } }
)" + kNfs + kChains + "flows: [{chain: c, out: p}]\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const GenConfig& gen = *config->ports[0].gen;
  EXPECT_EQ(gen.flows, 9u);
  EXPECT_EQ(gen.mix, SizeMix::imix);
  EXPECT_EQ(gen.rate_pps, 1.5e6);
  EXPECT_EQ(gen.arrival, Arrival::poisson);
  EXPECT_EQ(gen.order, FlowOrder::uniform);
  EXPECT_EQ(gen.seed, 7u);
  EXPECT_EQ(gen.first_vlan, 100);
  EXPECT_EQ(config->ports[1].gen->size_bytes, 1500u);
  EXPECT_EQ(config->ports[1].gen->rate_pps, 0);
  const GenConfig& bursts = *config->ports[2].gen;
  EXPECT_EQ(bursts.mix, SizeMix::web);
  EXPECT_EQ(bursts.arrival, Arrival::bursts);
  EXPECT_EQ(bursts.on, micros(1500));
  EXPECT_EQ(bursts.off, micros(20));
  EXPECT_EQ(bursts.order, FlowOrder::zipf);
  EXPECT_EQ(bursts.zipf, 0.75);
  EXPECT_EQ(config->ports[3].gen->zipf, 1.0);
  const auto again = from_cbor(to_cbor(*config));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->ports[2].gen->arrival, Arrival::bursts);
  EXPECT_EQ(again->ports[2].gen->off, micros(20));
  EXPECT_EQ(again->ports[2].gen->zipf, 0.75);
  EXPECT_EQ(config->ports[4].pcap_in, dir_ + "/in.pcap");
  EXPECT_EQ(config->ports[4].pcap_out, dir_ + "/out.pcap");
}

TEST_F(ConfigTest, TheNearestWakeCounts) {
  const auto config = parse(kPorts + R"(nfs:
  own:   { image: tiny, wake: { batch: 2 } }
  plain: { image: tiny }
chains:
  chosen: { nfs: [own, plain], wake: { batch: adaptive, aging: off } }
  usual:  { nfs: [own, plain] }
flows: [{ chain: chosen }]
wake: { batch: 16, aging: 1ms }
)");
  ASSERT_TRUE(config.ok()) << config.status();
  const ChainId chosen{0}, usual{1};
  EXPECT_EQ(wake_of(*config, chosen, 0).batch, 2u);
  EXPECT_EQ(wake_of(*config, chosen, 0).aging, millis(1)) << "not given: the global one's";
  EXPECT_TRUE(wake_of(*config, chosen, 1).adaptive);
  EXPECT_EQ(wake_of(*config, chosen, 1).aging, kNever);
  EXPECT_EQ(wake_of(*config, usual, 0).batch, 2u);
  EXPECT_EQ(wake_of(*config, usual, 1).batch, 16u);
}

TEST_F(ConfigTest, AliasesStandForWhatTheyName) {
  const auto config = parse(kPorts + "nfs: {t: &nf {image: tiny}, u: *nf}\n" + kChains + kFlows);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->nfs[1].image, "tiny");
}

TEST_F(ConfigTest, ASmallPoolHasNoMoreIdleThanMembers) {
  const auto config =
      parse(kPorts + "nfs: {t: {image: tiny, pool: {max: 10}}}\n" + kChains + kFlows);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->nfs[0].pool.idle, 10u);
}

TEST_F(ConfigTest, CborKeepsEverything) {
  file("r.txt", std::string("\xff\xfe not UTF-8 \0 at all", 19));
  const auto config = parse(R"(name: one
memory: { packets: 4096, jumbo: 7, hugepages: off, bind: 4MiB }
ring: 64
downstream: shared
flow_table: 2048
tenant: { packets: 99 }
wake: { dispatch: baton, batch: adaptive, aging: off, baton: { order: weighted } }
ports:
  - { name: a, gen: { flows: 9, size: web, rate: 0.5pps, seed: 18446744073709551615 } }
  - { name: b, dev: net_null0 }
nfs:
  t: { image: tiny, args: { rules: r.txt }, pool: { idle: 1, max: 2, empty: bypass }, wake: { batch: 3, weight: 5 } }
chains: { c: { nfs: [t, t], wake: { aging: 5us } } }
flows:
  - { match: { src_mac: ff:fe:fd:00:01:02, src_ip: 10.0.0.0/8, vlan: 5-9 }, instance_per: mac, chain: c, out: b, tenants: required }
tenants: { x: { key: 02:00:00:00:00:01, chain: c, weight: 7, t: { label: y } } }
)");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<uint8_t> bytes = to_cbor(*config);
  const auto back = from_cbor(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(to_cbor(*back), bytes);
  EXPECT_EQ(back->name, "one");
  EXPECT_EQ(back->ports[0].gen->rate_pps, 0.5);
  EXPECT_EQ(back->ports[0].gen->seed, UINT64_MAX);
  EXPECT_EQ(back->wake.aging, kNever);
  EXPECT_EQ(back->dispatch, Dispatch::baton);
  EXPECT_EQ(back->baton.order, BatonOrder::weighted);
  EXPECT_EQ(back->nfs[0].wake->weight, 5u);
  EXPECT_EQ(back->tenants[0].weight, 7u);
  EXPECT_EQ(back->downstream, Downstream::shared);
  EXPECT_EQ(back->nfs[0].args[2].text, config->nfs[0].args[2].text);
  EXPECT_EQ(back->nfs[0].blob, config->nfs[0].blob);
  EXPECT_EQ(back->nfs[0].wake->batch, 3u);
  EXPECT_EQ(back->flows[0].match.src_mac, config->flows[0].match.src_mac);
  EXPECT_EQ(*back->flows[0].match.src_ip, *config->flows[0].match.src_ip);
  EXPECT_EQ(back->flows[0].out, PortId{1});
  EXPECT_EQ(back->tenants[0].key, config->tenants[0].key);
  EXPECT_EQ(back->tenants[0].chain, ChainId{0});
  EXPECT_EQ(back->tenants[0].nfs[0].blob, config->tenants[0].nfs[0].blob);
}

TEST_F(ConfigTest, CborThatIsNoneIsRefused) {
  EXPECT_FALSE(from_cbor({}).ok());
  EXPECT_FALSE(from_cbor({0xa0}).ok());
  const auto config = parse(kMinimal);
  ASSERT_TRUE(config.ok());
  std::vector<uint8_t> bytes = to_cbor(*config);
  for (size_t length = 0; length < bytes.size(); length += 7)
    EXPECT_FALSE(from_cbor({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)}).ok());
  nlohmann::json j = nlohmann::json::from_cbor(bytes);
  j["vswitch_core"] = 70000;
  EXPECT_FALSE(from_cbor(nlohmann::json::to_cbor(j)).ok());
}

TEST_F(ConfigTest, FromAFile) {
  file("c.yaml", kMinimal);
  const std::string path = dir_ + "/c.yaml";
  const auto config = parse_config(path);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->file, path);
  EXPECT_EQ(parse_config(dir_ + "/d.yaml").status().message(),
            dir_ + "/d.yaml: No such file or directory");
  EXPECT_EQ(parse_config(dir_).status().message(), dir_ + ": not a regular file");
}

}  // namespace
}  // namespace mayfly
