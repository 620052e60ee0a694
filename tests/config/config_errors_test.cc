// One row per mistake: what is written, and the one line that comes back.
#include <fmt/format.h>

#include "tests/config/env.h"

namespace mayfly {
namespace {

class ConfigErrors : public ConfigEnv {};

enum class In { ports = 0, nfs = 1, chains = 2, flows = 3, more = 4 };

struct Row {
  In in;  // the section (line 1 to 5) that `text` replaces
  const char* text;
  const char* expected;  // after "t.yaml:"
};

std::string yaml_of(const Row& row) {
  std::string sections[] = {kPorts, kNfs, kChains, kFlows, ""};
  sections[static_cast<int>(row.in)] = std::string(row.text) + "\n";
  std::string yaml;
  for (const std::string& s : sections) yaml += s;
  return yaml;
}

void expect_rows(const std::function<std::string(const std::string&)>& error_of,
                 std::span<const Row> rows) {
  for (const Row& row : rows)
    EXPECT_EQ(error_of(yaml_of(row)), std::string("t.yaml:") + row.expected) << row.text;
}

TEST_F(ConfigErrors, Yaml) {
  const Row rows[] = {
      {In::more, "wake: {batch: 8", "6: not valid YAML: end of map flow not found"},
      {In::more, "ring: 64\nring: 32", "6: duplicate key \"ring\", first on line 5; keep one"},
      {In::more, "wake: {batch: 1,\n  batch: 2}",
       "6: duplicate key \"batch\", first on line 5; keep one"},
      {In::more, "memry: {}", "5: unknown key \"memry\"; did you mean \"memory\"?"},
      {In::more, "xyzzy: 1",
       "5: unknown key \"xyzzy\"; known are name, cores, vswitch, memory, ring, downstream, "
       "flow_table, "
       "tenant, ports, nfs, chains, flows, tenants and wake"},
      {In::more, "---\nring: 64", "5: a second document begins here; keep one document a file"},
      {In::more, "ring: !!int 64", "5: the tag \"tag:yaml.org,2002:int\" has no meaning here"},
      {In::more, "? [a]\n: 1", "5: a key must be a plain word"},
      {In::more, "ring:", "5: ring: this is empty; expected an integer from 32 to 4096"},
      {In::more, "<<: *x", "5: not valid YAML: the referenced anchor is not defined"},
      {In::more, "wake: &w {batch: *w}", "5: an alias to something that is not complete yet"},
  };
  expect_rows([this](const std::string& y) { return error_of(y); }, rows);
  const std::string expected =
      "; expected a map with name, cores, vswitch, memory, ring, downstream, flow_table, tenant, "
      "ports, nfs, "
      "chains, flows, tenants and wake";
  EXPECT_EQ(error_of(""), "t.yaml:1: this is empty" + expected);
  EXPECT_EQ(error_of("- 1\n"), "t.yaml:1: this is a list" + expected);
  EXPECT_EQ(error_of(kPorts + kNfs + kFlows),
            "t.yaml:1: \"chains\" is missing; write for example chains: {protect: {nfs: [fw]}}");
}

TEST_F(ConfigErrors, Host) {
  const Row rows[] = {
      {In::more, "name: a/b",
       "5: name: \"a/b\" is not a name; use 1 to 63 letters, digits, '_', '-', '.' or ':', "
       "the first a letter or digit"},
      {In::more, "cores: 3",
       "5: cores: this is a single value; expected a map with vswitch and nfs"},
      {In::more, "cores: {vswitch: x}",
       "5: cores.vswitch: \"x\" is not an integer; write one from 0 to 4095"},
      {In::more, "cores: {nfs: 1}", "5: cores.nfs: this is a single value; expected a list"},
      {In::more, "cores: {nfs: []}", "5: cores.nfs: the list has 0 entries; write 1 to 4096"},
      {In::more, "cores: {nfs: [0, 0]}", "5: cores.nfs: CPU 0 is there twice"},
      {In::more, "memory: {packets: 12}",
       "5: memory.packets: 12 is out of bounds; write an integer from 1024 to 4194240"},
      {In::more, "memory: {packets: 1MiB}",
       "5: memory.packets: \"1MiB\" is not an integer; write one from 1024 to 4194240"},
      {In::more, "memory: {packets: -5}",
       "5: memory.packets: \"-5\" is not an integer; write one from 1024 to 4194240"},
      {In::more, "memory: {packets: 99999999999999999999}",
       "5: memory.packets: 99999999999999999999 is out of bounds; write an integer from 1024 to "
       "4194240"},
      {In::more, "memory: {hugepages: maybe}",
       "5: memory.hugepages: \"maybe\" is not known here; use auto, on or off"},
      {In::more, "memory: {bind: 16}",
       "5: memory.bind: \"16\" has no unit; write for example 1500B, 64KiB or 2MiB"},
      {In::more, "memory: {bind: 1KiB}",
       "5: memory.bind: 1KiB is out of bounds; write a size from 1MiB to 2GiB"},
      {In::more, "ring: 100", "5: ring: 100 is not a power of two; write 64 or 128"},
      {In::more, "ring: 16", "5: ring: 16 is out of bounds; write an integer from 32 to 4096"},
      {In::more, "downstream: both",
       "5: downstream: \"both\" is not known here; use per_nf or shared"},
      {In::more, "flow_table: 1",
       "5: flow_table: 1 is out of bounds; write an integer from 1024 to 2097152"},
      {In::more, "tenant: {packets: 100000}",
       "5: tenant.packets: 100000 is out of bounds; write an integer from 1 to 65536"},
      {In::more, "wake: {aging: 200}",
       "5: wake.aging: \"200\" has no unit; write for example 200us, 5ms or 30s"},
      {In::more, "wake: {aging: 1h}",
       "5: wake.aging: 1h is out of bounds; write a duration from 1us to 10s"},
      {In::more, "wake: {batch: 128}",
       "5: wake.batch: 128 is out of bounds; write an integer from 1 to 111"},
      {In::more, "wake: {batch: adapt}",
       "5: wake.batch: \"adapt\" is not an integer; write one from 1 to 111"},
      {In::more, "wake: {baton: {budget: 0}}",
       "5: wake.baton.budget: 0 is out of bounds; write an integer from 1 to 65536"},
      {In::more, "wake: {baton: {slice: 2}}",
       "5: wake.baton.slice: \"2\" has no unit; write for example 200us, 5ms or 30s"},
      {In::more, "wake: {baton: {order: fair}}",
       "5: wake.baton.order: \"fair\" is not known here; use fifo, deadline or weighted"},
      {In::more, "wake: {baton: {ordre: fifo}}",
       "5: wake.baton: unknown key \"ordre\"; did you mean \"order\"?"},
      {In::more, "wake: {weight: 100}",
       "5: wake.weight: one weight for all orders nobody; give it to an NF, a chain or a tenant"},
      {In::more, "wake: {baton: {slice: 10us}}",
       "5: wake.baton.slice: 10us is out of bounds; write a duration from 100us to 10s"},
      {In::more, "wake: {baton: {idle: 1m}}",
       "5: wake.baton.idle: 1m is out of bounds; write a duration from 0s to 10s"},
      {In::more, "wake: {baton: {eager: 3}}",
       "5: wake.baton.eager: \"3\" is not known here; use true or false"},
      {In::more, "wake: {baton: on}",
       "5: wake.baton: this is a single value; expected a map with budget, idle, slice, eager, "
       "order, balance and restart_after"},
      {In::more, "vswitch: {idle: nap}",
       "5: vswitch.idle: \"nap\" is not known here; use poll or sleep"},
      {In::more, "wake: {dispatch: irq}",
       "5: wake.dispatch: \"irq\" is not known here; use futex, eventfd, semaphore, poll, uring or "
       "baton"},
      {In::more, "wake: {dispatch: [poll]}",
       "5: wake.dispatch: this is a list; expected futex, eventfd, semaphore, poll, uring or "
       "baton"},
  };
  expect_rows([this](const std::string& y) { return error_of(y); }, rows);
  EXPECT_EQ(error_of(kMinimal + "cores: {vswitch: 0, nfs: [4000]}\n").substr(0, 43),
            "t.yaml:5: cores.nfs: CPU 4000 is not online");
}

TEST_F(ConfigErrors, Ports) {
  file("there.pcap", "");
  const Row rows[] = {
      {In::ports, "ports: {}", "1: ports: this is a map; expected a list"},
      {In::ports, "ports: []", "1: ports: the list has 0 entries; write 1 to 250"},
      {In::ports, "ports: [a]",
       "1: port: this is a single value; expected a map with name, dev, gen and pcap"},
      {In::ports, "ports: [{dev: net_null0}]",
       "1: port: \"name\" is missing; write for example name: lan"},
      {In::ports, "ports: [{name: a}]", "1: port: port a needs exactly one of dev, gen and pcap"},
      {In::ports, "ports: [{name: a, dev: net_null0, gen: {}}]",
       "1: port: port a needs exactly one of dev, gen and pcap"},
      {In::ports, "ports: [{name: a, dev: net_null0}, {name: a, dev: net_null1}]",
       "1: port: \"a\" is already the name of the port on line 1"},
      {In::ports, "ports: [{name: a, dev: \"net_tap0,iface=x\"},\n {name: b, dev: net_tap0}]",
       "2: port: device \"net_tap0\" is already used by port a on line 1"},
      {In::ports, "ports: [{name: a, dev: \",x\"}]",
       "1: port.dev: the device has no name; write for example \"net_tap0,iface=tap0\""},
      {In::ports, "ports: [{name: a, gen: {rate: 1000}}]",
       "1: port.gen.rate: \"1000\" has no unit; write for example 100pps, 20kpps, 1.5Mpps or max"},
      {In::ports, "ports: [{name: a, gen: {size: 59}}]",
       "1: port.gen.size: 59 is out of bounds; write an integer from 60 to 65407"},
      {In::ports, "ports: [{name: a, gen: {size: 1KB}}]",
       "1: port.gen.size: \"1KB\" has the unknown unit \"KB\"; use B, KiB, MiB or GiB"},
      {In::ports, "ports: [{name: a, gen: {size: small}}]",
       "1: port.gen.size: \"small\" is not known here; use a number of bytes, imix or web"},
      {In::ports, "ports: [{name: a, gen: {size: [64]}}]",
       "1: port.gen.size: this is a list; expected an integer from 60 to 65407"},
      {In::ports, "ports: [{name: a, gen: {arrival: random}}]",
       "1: port.gen.arrival: \"random\" is not known here; use constant, poisson or bursts such as "
       "{on: 1ms, off: 9ms}"},
      {In::ports, "ports: [{name: a, gen: {arrival: [1ms]}}]",
       "1: port.gen.arrival: this is a list; expected constant, poisson or bursts such as {on: "
       "1ms, off: 9ms}"},
      {In::ports, "ports: [{name: a, gen: {arrival: {on: 1ms}}}]",
       "1: port.gen.arrival: \"off\" is missing; write for example off: 9ms"},
      {In::ports, "ports: [{name: a, gen: {arrival: {on: 1, off: 9ms}}}]",
       "1: port.gen.arrival.on: \"1\" has no unit; write for example 200us, 5ms or 30s"},
      {In::ports, "ports: [{name: a,\n  gen: {arrival: {on: 1ms, off: 0ms}}}]",
       "2: port.gen.arrival.off: 0ms is out of bounds; write a duration from 1us to 10s"},
      {In::ports, "ports: [{name: a, gen: {arrival: {on: 1ms, offf: 9ms}}}]",
       "1: port.gen.arrival: unknown key \"offf\"; did you mean \"off\"?"},
      {In::ports, "ports: [{name: a, gen: {order: rr}}]",
       "1: port.gen.order: \"rr\" is not known here; use round_robin, uniform or zipf"},
      {In::ports, "ports: [{name: a, gen: {zipf: 1}}]",
       "1: port.gen.zipf: an exponent counts for Zipf popularity only; write order: zipf with it"},
      {In::ports, "ports: [{name: a, gen: {order: zipf, zipf: 0}}]",
       "1: port.gen.zipf: 0 is out of bounds; write a number from 0.01 to 10"},
      {In::ports, "ports: [{name: a, gen: {order: zipf, zipf: 1e1}}]",
       "1: port.gen.zipf: \"1e1\" is not a number; write one from 0.01 to 10"},
      {In::ports, "ports: [{name: a, gen: {order: zipf, zipf: nan}}]",
       "1: port.gen.zipf: nan is out of bounds; write a number from 0.01 to 10"},
      {In::ports, "ports: [{name: a, gen: {flows: 1000, first_vlan: 4000}}]",
       "1: port.gen.first_vlan: 1000 flows from VLAN 4000 on end above 4094; write at most 95 "
       "flows"},
      {In::ports, "ports: [{name: a, gen: {flow: 3}}]",
       "1: port.gen: unknown key \"flow\"; did you mean \"flows\"?"},
      {In::ports, "ports: [{name: a, pcap: {}}]",
       "1: port.pcap: neither in nor out; write for example pcap: {in: a.pcap, out: b.pcap}"},
  };
  expect_rows([this](const std::string& y) { return error_of(y); }, rows);
  const auto with_port = [](const std::string& pcap) {
    return "ports: [" + pcap + "]\n" + kNfs + kChains + kFlows;
  };
  EXPECT_EQ(error_of(with_port("{name: a, pcap: {in: no.pcap}}")),
            "t.yaml:1: port.pcap.in: " + dir_ + "/no.pcap: No such file or directory");
  EXPECT_EQ(error_of(with_port("{name: a, pcap: {out: no/x.pcap}}")),
            "t.yaml:1: port.pcap.out: there is no directory " + dir_ + "/no");
  EXPECT_EQ(error_of(with_port("{name: a, pcap: {in: there.pcap, out: there.pcap}}")),
            "t.yaml:1: port: in and out are the same file");
  EXPECT_EQ(error_of(with_port("{name: a, pcap: {out: x.pcap}}, {name: b, pcap: {out: x.pcap}}")),
            "t.yaml:1: port: file \"" + dir_ + "/x.pcap\" is already used by port a on line 1");
}

TEST_F(ConfigErrors, Weights) {
  const std::string weighted = "wake: {dispatch: baton, baton: {order: weighted}}\n";
  const auto with = [](const std::string& nf, const std::string& chain, const std::string& more) {
    return kPorts + "nfs: {t: {image: tiny" + nf + "}}\nchains: {c: {nfs: [t]" + chain + "}}\n" +
           kFlows + more;
  };
  const std::string weight = ", wake: {weight: 200}";
  const std::string tenant = "tenants: {a: {key: 101, weight: 300}}\n";
  EXPECT_EQ(error_of(with(weight, weight, weighted + tenant)), "");
  const std::string elsewhere =
      "a weight counts in one order only; write wake: {dispatch: baton, baton: {order: weighted}}, "
      "or leave it out";
  for (const char* other : {"", "wake: {dispatch: baton}\n", "wake: {dispatch: futex}\n",
                            "wake: {dispatch: baton, baton: {order: deadline}}\n",
                            "wake: {dispatch: futex, baton: {order: weighted}}\n"}) {
    EXPECT_EQ(error_of(with(weight, "", other)), "t.yaml:2: t.wake.weight: " + elsewhere);
    EXPECT_EQ(error_of(with("", weight, other)), "t.yaml:3: c.wake.weight: " + elsewhere);
    EXPECT_EQ(error_of(with("", "", tenant + other)), "t.yaml:5: a.weight: " + elsewhere);
  }
  EXPECT_EQ(error_of(with(", wake: {weight: 0}", "", weighted)),
            "t.yaml:2: t.wake.weight: 0 is out of bounds; write an integer from 1 to 10000");
  EXPECT_EQ(error_of(with("", "", weighted + "tenants: {a: {key: 101, weight: 10001}}\n")),
            "t.yaml:6: a.weight: 10001 is out of bounds; write an integer from 1 to 10000");
  EXPECT_EQ(error_of(kPorts + "nfs: {weight: {image: tiny}}\n" + kChains + kFlows),
            "t.yaml:2: weight: an NF cannot have this name: it is a key of every tenant; choose "
            "another");
}

TEST_F(ConfigErrors, NfsAndChains) {
  const Row rows[] = {
      {In::nfs, "nfs: {t: {}}", "2: t: \"image\" is missing; write for example image: firewall"},
      {In::nfs, "nfs: [t]", "2: nfs: this is a list; expected a map of names"},
      {In::nfs, "nfs: {t: tiny}",
       "2: t: this is a single value; expected a map with image, trust, pool, args and wake"},
      {In::nfs, "nfs: {\"a b\": {image: tiny}}",
       "2: nfs: \"a b\" is not a name; use 1 to 63 letters, digits, '_', '-', '.' or ':', "
       "the first a letter or digit"},
      {In::nfs, "nfs: {key: {image: tiny}}",
       "2: key: an NF cannot have this name: it is a key of every tenant; choose another"},
      {In::nfs, "nfs: {t: {image: tiny, trust: isolated}}",
       "2: t.trust: \"isolated\" is not in this version; use shared"},
      {In::nfs, "nfs: {t: {image: tiny, trust: some}}",
       "2: t.trust: \"some\" is not known here; use shared"},
      {In::nfs, "nfs: {t: {image: tiny, pool: {idle: 20, max: 10}}}",
       "2: t.pool.idle: 20 is above pool.max, which is 10; lower it, or raise max"},
      {In::nfs, "nfs: {t: {image: tiny, pool: {max: 300000}}}",
       "2: t.pool.max: 300000 is out of bounds; write an integer from 1 to 262144"},
      {In::nfs,
       "nfs:\n  t: {image: tiny, pool: {max: 200000}}\n  u: {image: tiny, pool: {max: 100000}}",
       "4: u: with this NF, all pool.max together are 300000; at most 262144 instances are "
       "possible"},
      {In::nfs, "nfs: {t: {image: tiny, pool: {empty: wait}}}",
       "2: t.pool.empty: \"wait\" is not known here; use queue, share, bypass or drop"},
      {In::nfs, "nfs: {t: {image: tiny, wake: {dispatch: poll}}}",
       "2: t.wake.dispatch: the dispatch is one for all; move it to the wake: at the top"},
      {In::nfs, "nfs: {t: {image: tiny, args: {treshold: 1}}}",
       "2: t.args: unknown key \"treshold\"; did you mean \"threshold\"?"},
      {In::nfs, "nfs: {t: {image: tiny, args: {threshold: 101}}}",
       "2: t.args.threshold: 101 is out of bounds; write an integer from 1 to 100"},
      {In::nfs, "nfs: {t: {image: tiny, args: {strict: yes}}}",
       "2: t.args.strict: \"yes\" is not known here; use true or false"},
      {In::nfs, "nfs: {t: {image: tiny, args: {rate: 20}}}",
       "2: t.args.rate: \"20\" has no unit; write for example 20kpps, 1Mpps or 100Mbps"},
      {In::nfs, "nfs: {t: {image: tiny, args: {rate: 20Gpps}}}",
       "2: t.args.rate: 20Gpps is out of bounds; per second it must be 1 to 10000000000"},
      {In::nfs, "nfs: {t: {image: tiny, args: {timeout: 2h}}}",
       "2: t.args.timeout: 2h is out of bounds; write a duration from 1ms to 3600s"},
      {In::nfs, "nfs: {t: {image: tiny, args: {timeout: off}}}",
       "2: t.args.timeout: \"off\" is not possible here; write a duration, for example 30s"},
      {In::nfs, "nfs: {t: {image: tiny, args: {buffer: 2MiB}}}",
       "2: t.args.buffer: 2MiB is out of bounds; write a size from 1B to 1MiB"},
      {In::nfs, "nfs: {t: {image: tiny, args: {label: [a]}}}",
       "2: t.args.label: this is a list; expected a text"},
      {In::nfs, "nfs: {t: {image: tiny, args: {label: wrong}}}",
       "2: t.args.label: wrong is not a label"},
      {In::nfs, "nfs: {t: {image: tiny,\n  args: {label: big}}}",
       "3: t.args: the arguments compile to 70000 bytes; at most 65536 are possible"},
      {In::nfs, "nfs: {t: {image: needs}}",
       "2: t.args: \"mbps\" is missing (rate in Mbit/s); write for example mbps: 1"},
      {In::chains, "chains: {c: {nfs: [u]}}",
       "3: c.nfs: there is no NF \"u\"; did you mean \"t\"?"},
      {In::chains, "chains: {c: {nfs: []}}", "3: c.nfs: the list has 0 entries; write 1 to 16"},
      {In::chains, "chains: {c: {nfs: t}}", "3: c.nfs: this is a single value; expected a list"},
      {In::chains, "chains: {c: {}}", "3: c: \"nfs\" is missing; write for example nfs: [fw]"},
      {In::chains, "chains: {c: {nfs: [t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t]}}",
       "3: c.nfs: the list has 17 entries; write 1 to 16"},
  };
  expect_rows([this](const std::string& y) { return error_of(y); }, rows);
}

TEST_F(ConfigErrors, Flows) {
  const Row rows[] = {
      {In::flows, "flows: []", "4: flows: the list has 0 entries; write 1 to 4096"},
      {In::flows, "flows: [{}]", "4: flow: \"chain\" is missing; write for example chain: protect"},
      {In::flows, "flows: [{chain: protct}]",
       "4: flow.chain: there is no chain \"protct\"; known are c"},
      {In::flows, "flows: [{chain: c, out: b}]",
       "4: flow.out: there is no port \"b\"; did you mean \"a\"?"},
      {In::flows, "flows: [{chain: c, match: {port: lan}}]",
       "4: flow.match.port: there is no port \"lan\"; known are a"},
      {In::flows, "flows: [{chain: c, match: {vlan: 5-3}}]",
       "4: flow.match.vlan: \"5-3\" is not a range; write N or A-B, from 1 to 4094"},
      {In::flows, "flows: [{chain: c, match: {vlan: 4095}}]",
       "4: flow.match.vlan: \"4095\" is not a range; write N or A-B, from 1 to 4094"},
      {In::flows, "flows: [{chain: c, match: {ethertype: ip}}]",
       "4: flow.match.ethertype: \"ip\" is not an ethertype; write ipv4, ipv6, arp or a number "
       "from "
       "0 to 0xffff"},
      {In::flows, "flows: [{chain: c, match: {src_ip: 10.0.0.1/8}}]",
       "4: flow.match.src_ip: \"10.0.0.1/8\" has bits set past its length; write 10.0.0.0/8"},
      {In::flows, "flows: [{chain: c, match: {dst_ip: lan}}]",
       "4: flow.match.dst_ip: \"lan\" is not an address or prefix; write for example 10.0.0.0/8 or "
       "2001:db8::/32"},
      {In::flows, "flows: [{chain: c, match: {proto: tpc}}]",
       "4: flow.match.proto: \"tpc\" is not a protocol; write tcp, udp, icmp, icmpv6, sctp or a "
       "number to 255"},
      {In::flows, "flows: [{chain: c, match: {src_port: 70000}}]",
       "4: flow.match.src_port: \"70000\" is not a range; write N or A-B, from 0 to 65535"},
      {In::flows, "flows: [{chain: c, match: {src_mac: 02}}]",
       "4: flow.match.src_mac: \"02\" is not a MAC address; write for example 02:00:00:00:00:01"},
      {In::flows, "flows: [{chain: c, match: {source_mac: x}}]",
       "4: flow.match: unknown key \"source_mac\"; did you mean \"src_mac\"?"},
      {In::flows, "flows: [{chain: c, instance_per: flow}]",
       "4: flow.instance_per: \"flow\" is not known here; use rule, mac, vlan, src_ip, dst_ip, "
       "ip_pair or five_tuple"},
      {In::flows, "flows: [{chain: c, tenant_by: five_tuple}]",
       "4: flow.tenant_by: \"five_tuple\" is not known here; use mac, vlan, src_ip or dst_ip"},
      {In::flows, "flows: [{chain: c, instance_per: five_tuple, tenants: required}]",
       "4: flow.tenants: nothing says who the tenant of a packet is; add for example tenant_by: "
       "vlan"},
      {In::flows, "flows: [{chain: c, idle: 30}]",
       "4: flow.idle: \"30\" has no unit; write for example 200us, 5ms or 30s"},
      {In::flows, "flows: [{chain: c, idle: off}]",
       "4: flow.idle: \"off\" is not possible here; write a duration, for example 30s"},
  };
  expect_rows([this](const std::string& y) { return error_of(y); }, rows);
}

TEST_F(ConfigErrors, Images) {
  const auto with_image = [](const std::string& image) {
    return kPorts + "nfs:\n  t:\n    image: " + image + "\n" + kChains + kFlows;
  };
  const std::string so = std::string(MAYFLY_TEST_IMAGES) + "/";
  EXPECT_EQ(error_of(with_image("tiney")).substr(0, 40),
            "t.yaml:4: t.image: image \"tiney\" is not ");
  EXPECT_TRUE(error_of(with_image("tiney")).ends_with("; did you mean \"tiny\"?"));
  EXPECT_EQ(error_of(with_image("./tiny.so")),
            "t.yaml:4: t.image: image \"./tiny.so\": there is no "
            "file " +
                dir_ + "/./tiny.so");
  EXPECT_EQ(
      error_of(with_image("not_an_nf")),
      "t.yaml:4: t.image: image " + so +
          "not_an_nf.so is not an NF image: it has no mayfly_nf_image (MAYFLY_NF_IMAGE in its "
          "source)");
  file("text.so", "hello");
  EXPECT_EQ(error_of(with_image("./text.so")),
            "t.yaml:4: t.image: image " + dir_ + "/./text.so: file too short");
  EXPECT_EQ(error_of(with_image("broken_by_version")),
            "t.yaml:4: t.image: image " + so +
                "broken_by_version.so was built for SDK version 3, this is 2: build it again");
  EXPECT_EQ(error_of(with_image("broken_by_name")),
            "t.yaml:4: t.image: image " + so +
                "broken_by_name.so is not valid: it has no name or summary");
  EXPECT_EQ(error_of(with_image("broken_by_blanks")),
            "t.yaml:4: t.image: image " + so +
                "broken_by_blanks.so is not valid: blank_buffers is 17; at most 16 are possible");
  EXPECT_EQ(
      error_of(with_image("broken_in_loading")),
      "t.yaml:4: t.image: image " + so + "broken_in_loading.so crashed in loading: signal 11");
  EXPECT_EQ(
      error_of(with_image("broken_in_compile")),
      "t.yaml:3: t.args: image " + so + "broken_in_compile.so crashed in compile(): signal 11");
  EXPECT_EQ(error_of(with_image("broken_by_exit")), "t.yaml:3: t.args: an image may print");
}

TEST_F(ConfigErrors, FileArguments) {
  const auto with_rules = [](const std::string& path) {
    return kPorts + "nfs:\n  t:\n    image: tiny\n    args:\n      rules: " + path + "\n" +
           kChains + kFlows;
  };
  EXPECT_EQ(error_of(with_rules("r.txt")),
            "t.yaml:6: t.args.rules: " + dir_ + "/r.txt: No such file or directory");
  EXPECT_EQ(error_of(with_rules(".")),
            "t.yaml:6: t.args.rules: " + dir_ + "/.: not a regular file");
  file("r.txt", "good\ngood\nbad\n");
  EXPECT_EQ(error_of(with_rules("r.txt")), dir_ + "/r.txt:3: \"bad\" is not a rule");
  EXPECT_EQ(parse_config_text(with_rules(dir_ + "/r.txt"), "t.yaml", "").status().message(),
            dir_ + "/r.txt:3: \"bad\" is not a rule");
  file("r.txt", std::string((1u << 20) + 1, 'x'));
  EXPECT_EQ(error_of(with_rules("r.txt")),
            "t.yaml:6: t.args.rules: " + dir_ + "/r.txt: larger than 1048576 bytes");
}

TEST_F(ConfigErrors, TheBindRegionIsLargeEnough) {
  std::string yaml = kMinimal + "memory: {bind: 1MiB}\ntenants:\n";
  for (int i = 1; i <= 20; ++i) {
    file(fmt::format("r{}", i), std::string(60'000, static_cast<char>('a' + i)));
    yaml += fmt::format("  x{}: {{key: {}, t: {{rules: r{}}}}}\n", i, i, i);
  }
  EXPECT_EQ(error_of(yaml),
            "t.yaml:1: memory.bind: the compiled arguments of all tenants take 1201984 bytes, the "
            "region has 1048576; write at least bind: 2MiB");
}

}  // namespace
}  // namespace mayfly
