#!/usr/bin/env python3
"""Tenants by VLAN and QinQ tag, between two tap ports: each frame comes out as it went in, and each
tenant has its own rules."""
import scenario
from capture import udp_frame
from netns import Wire

CONFIG = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 4096 }
ports:
  - { name: lan, dev: "net_tap0,iface=lan" }
  - { name: wan, dev: "net_tap1,iface=wan" }
nfs:
  fw:  { image: firewall, pool: { idle: 8, max: 64 }, args: { rules: open.rules } }
  sig: { image: signature, pool: { idle: 8, max: 64 } }
chains:
  protect: { nfs: [fw, sig] }
flows:
  - { match: { port: lan, vlan: 1-4094 }, instance_per: vlan, chain: protect, out: wan }
  - { match: { port: wan, vlan: 1-4094 }, instance_per: vlan, chain: protect, out: lan }
tenants:
  acme:  { key: 101,   fw: { rules: no-dns.rules } }
  duck:  { key: 102,   fw: { rules: open.rules } }
  inner: { key: 100.7, fw: { rules: no-dns.rules } }
  twin:  { key: 100.8, fw: { rules: open.rules } }
wake: { batch: 4, aging: 200us }
"""
RULES = {"open.rules": "default allow\n",
         "no-dns.rules": "deny udp from any to any port 53\ndefault allow\n"}
TAGS = {"acme": (101,), "duck": (102,), "inner": (100, 7), "twin": (100, 8)}
NO_DNS = {"acme", "inner"}


class TaggedTenants(scenario.Scenario):
    def setUp(self):
        self.run_ = self.start(CONFIG, files=RULES)
        self.sides = {side: Wire(self.run_.namespace, side) for side in ("lan", "wan")}
        for wire in self.sides.values():
            self.addCleanup(wire.close)

    def pass_through(self, frame, way):
        """The frame as it arrives on the other side, or None."""
        source, destination = way
        self.sides[source].send(frame)
        while (got := self.sides[destination].receive(0.5)) is not None:
            if got[:12] == frame[:12]:  # not the kernel's own chatter on the tap
                return got
        return None

    def test_vlan_and_qinq_both_ways(self):
        for i, (tenant, tags) in enumerate(TAGS.items()):
            for way in (("lan", "wan"), ("wan", "lan")):
                for port, blocked in ((80, False), (53, tenant in NO_DNS)):
                    payload = f"{tenant} {way} {port}".encode()
                    frame = udp_frame("10.0.0.1", "10.0.0.2", 4000 + i, port, payload, tags)
                    with self.subTest(tenant=tenant, way=way, port=port):
                        self.assertEqual(self.pass_through(frame, way), None if blocked else frame)
        tenants = {t["name"]: t for t in self.run_.get("/v1/tenants")}
        self.assertEqual(set(tenants), set(TAGS))
        report = self.run_.stop()
        self.assertEqual(report["packets"]["drops"].get("nf_drop"), 4)
        # What the kernel says on a tap (router solicitations and the like) is untagged.
        self.drops(report, "nf_drop", "no_rule")

    def test_an_untagged_frame_matches_no_rule(self):
        frame = udp_frame("10.0.0.1", "10.0.0.2", 4000, 80, b"untagged")
        self.assertIsNone(self.pass_through(frame, ("lan", "wan")))
        report = self.run_.stop()
        self.assertGreaterEqual(report["packets"]["drops"]["no_rule"], 1)


if __name__ == "__main__":
    scenario.main()
