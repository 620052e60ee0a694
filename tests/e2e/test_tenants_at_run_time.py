#!/usr/bin/env python3
"""Tenants attached, changed and removed while the others' traffic flows untouched."""
import time

import scenario

LOAD_TENANTS = 50
# Rings, buffers and idle instances for seconds of traffic: that the machine is busy must not look
# like a loss.
CONFIG = f"""
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 65536 }}
ring: 1024
ports:
  - {{ name: load, gen: {{ flows: 100, first_vlan: 1000, size: 128, rate: 10kpps }} }}
nfs:
  fw:  {{ image: firewall, pool: {{ idle: 250, max: 400 }}, args: {{ rules: open.rules }} }}
  lim: {{ image: rate_limit, pool: {{ idle: 250, max: 400 }}, args: {{ mbps: 1000 }} }}
chains:
  both:  {{ nfs: [fw, lim] }}
  short: {{ nfs: [fw] }}
flows:
  - {{ match: {{ port: load, vlan: 1-4094 }}, instance_per: vlan, chain: both, out: load }}
tenants: tenants.yaml
wake: {{ batch: 8, aging: 200us }}
"""
# The first fifty VLANs carry load and stay as they are; the other fifty carry load and change.
STABLE = "".join(f"stable{i}: {{ key: {1000 + i}, lim: {{ mbps: {500 + i} }} }}\n"
                 for i in range(LOAD_TENANTS))
FILES = {"open.rules": "default allow\n", "closed.rules": "link deny\ndefault deny\n",
         "tenants.yaml": STABLE}
ROUNDS = 200


class TenantsUnderLoad(scenario.Scenario):
    def setUp(self):
        self.run_ = self.start(CONFIG, files=FILES)
        self.eventually(lambda: self.run_.stats()["nfs"]["bound"] >= 200, 20, "all flows bound")

    def change(self, method, body, expected):
        status, answer = self.run_.request(method, "/v1/tenants", body)
        self.assertEqual(status, expected, answer)

    def stable_packets(self):
        tenants = self.run_.get("/v1/tenants")
        return {t["name"]: t["packets"] for t in tenants if t["name"].startswith("stable")}

    def test_200_times_without_a_loss_for_the_others(self):
        """Every change but `closed.rules` passes all packets too, so no packet at all may be lost
        except those that a closed tenant's own firewall drops."""
        before = self.stable_packets()
        begin = time.monotonic()
        for i in range(ROUNDS):
            name, vlan = f"guest{i}", 1000 + LOAD_TENANTS + i % 50
            self.change("POST", {"tenants": {name: {"key": vlan, "lim": {"mbps": 100 + i}}}}, 201)
            self.change("PATCH", {"tenants": {name: {"lim": {"mbps": 200 + i}}}}, 200)
            if i % 4 == 0:
                self.change("PATCH", {"tenants": {name: {"chain": "short"}}}, 200)
            if i % 10 == 0:
                self.change("PATCH", {"tenants": {name: {"fw": {"rules": "closed.rules"}}},
                                      "files": {"closed.rules": FILES["closed.rules"]}}, 200)
            self.change("DELETE", {"names": [name]}, 200)
        seconds = time.monotonic() - begin
        print(f"{ROUNDS} tenants attached, changed and removed in {seconds:.1f} s")
        after = self.stable_packets()
        still = [n for n in before if after[n] <= before[n]]
        self.assertEqual(still, [], "tenants whose traffic stopped")
        report = self.run_.stop()
        self.drops(report, "nf_drop")
        # A closed guest lives for milliseconds on one of a hundred flows.
        self.assertLess(report["packets"]["drops"].get("nf_drop", 0),
                        0.02 * report["packets"]["rx"])

    def test_a_change_takes_effect(self):
        vlan = 1000 + LOAD_TENANTS
        self.run_.cli("tenant", "add", "guest", "--key", str(vlan), "fw.rules=closed.rules")
        drops = lambda: self.run_.stats()["packets"]["drops"].get("nf_drop", 0)  # noqa: E731
        self.eventually(drops, 2, "the guest's packets are dropped")
        self.run_.cli("tenant", "set", "guest", "fw.rules=open.rules")
        time.sleep(0.2)
        first = drops()
        time.sleep(0.3)
        self.assertEqual(drops(), first, "the guest's packets pass again")
        listed = self.run_.cli("tenant", "ls").stdout
        self.assertIn("guest", listed)
        self.run_.cli("tenant", "rm", "guest")
        self.assertNotIn("guest", self.run_.cli("tenant", "ls").stdout)
        self.drops(self.run_.stop(), "nf_drop")

    def test_a_thousand_in_one_call_within_2_seconds(self):
        text = "".join(f"mass{i}: {{ key: {1500 + i}, lim: {{ mbps: {1 + i % 900} }} }}\n"
                       for i in range(1000))
        (self.run_.folder / "mass.yaml").write_text(text)
        begin = time.monotonic()
        self.run_.cli("tenant", "add", "mass.yaml")
        seconds = time.monotonic() - begin
        print(f"1,000 tenants attached in {seconds:.2f} s")
        self.assertEqual(len(self.run_.get("/v1/tenants")), LOAD_TENANTS + 1000)
        self.assertLess(seconds, 2.0)
        names = [f"mass{i}" for i in range(1000)]
        self.change("DELETE", {"names": names}, 200)
        self.assertEqual(len(self.run_.get("/v1/tenants")), LOAD_TENANTS)
        self.drops(self.run_.stop())

    def test_what_is_wrong_is_refused_whole(self):
        rows = [
            ("POST", {"tenants": {"stable0": {"key": 3000}}}, "stable0"),
            ("POST", {"tenants": {"new": {"key": 1000}}}, "1000"),
            ("POST", {"tenants": {"good": {"key": 3001}, "bad": {"key": "no key"}}}, "no key"),
            ("POST", {"tenants": {"new": {"key": 3000, "lim": {"mbps": "fast"}}}}, "fast"),
            ("POST", {"tenants": {"new": {"key": 3000, "chain": "none"}}}, "none"),
            ("PATCH", {"tenants": {"nobody": {"lim": {"mbps": 1}}}}, "nobody"),
            ("DELETE", {"names": ["stable1", "nobody"]}, "nobody"),
            ("POST", "{half", ""),
            ("POST", "[]", ""),
        ]
        before = self.run_.get("/v1/tenants")
        for method, body, named in rows:
            with self.subTest(method=method, body=body):
                status, answer = self.run_.request(method, "/v1/tenants", body)
                self.assertIn(status, (400, 404, 409, 422), answer)
                self.assertIn(named, str(answer))
        after = self.run_.get("/v1/tenants")
        self.assertEqual([t["name"] for t in before], [t["name"] for t in after])
        self.drops(self.run_.stop())


if __name__ == "__main__":
    scenario.main()
