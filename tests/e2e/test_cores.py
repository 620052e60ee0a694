#!/usr/bin/env python3
"""The baton on two NF cores, one of them the vSwitch's own; and NFs that keep a core for too long."""
import glob

import scenario

TWO_CORES = """
cores: { vswitch: 0, nfs: [0, 1] }
memory: { packets: 32768 }
ports:
  - { name: load, gen: { flows: 20, first_vlan: 100, size: 64, rate: 50kpps } }
nfs:
  work: { image: spin, args: { cycles: 100 }, pool: { idle: 20, max: 40 } }
chains:
  pass: { nfs: [work] }
flows:
  - { match: { port: load }, instance_per: vlan, chain: pass, out: load }
wake: { dispatch: baton }
tenants:
"""
# Instances are bound to the cores in turn: these ten all lie on the same.
HEAVY = "".join(f"  heavy-{vlan}: {{ key: {vlan}, work: {{ cycles: 40000 }} }}\n" for vlan in range(100, 120, 2))

SLOW = """
cores: {{ vswitch: 0, nfs: [1] }}
ports:
  - {{ name: heavy, gen: {{ flows: 1, size: 64, rate: 50pps }} }}
  - {{ name: light, gen: {{ flows: 20, size: 64, rate: 10kpps }} }}
nfs:
  slow:  {{ image: spin, args: {{ cycles: 40000000 }}, pool: {{ idle: 1, max: 3 }} }}
  count: {{ image: counter, pool: {{ idle: 20, max: 30 }} }}
chains:
  slow: {{ nfs: [slow] }}
  fast: {{ nfs: [count] }}
flows:
  - {{ match: {{ port: heavy }}, instance_per: src_ip, chain: slow, out: heavy }}
  - {{ match: {{ port: light }}, instance_per: src_ip, chain: fast, out: light }}
wake: {{ dispatch: baton, baton: {{ restart_after: {restart_after} }} }}
"""


def groups(run):
    return glob.glob(f"/sys/fs/cgroup/**/mayfly-{run.name}-overrun", recursive=True)


class Cores(scenario.Scenario):
    def test_instances_leave_the_busier_core(self):
        run = self.start(TWO_CORES + HEAVY)
        self.eventually(lambda: sum(core["arrivals"] for core in run.stats()["baton"]) > 0, 30,
                        "an instance moves from one core to the other")
        before = run.stats()["packets"]["tx"]
        self.eventually(lambda: run.stats()["packets"]["tx"] > before + 10_000, 20, "traffic flows")
        report = run.stop()
        self.assertEqual(sum(core["bound"] for core in report["baton"]), 20)
        self.assertTrue(all(core["handovers"] > 0 for core in report["baton"]), report["baton"])
        self.drops(report, "nf_ring_full")

    def test_who_overruns_again_and_again_is_restarted(self):
        run = self.start(SLOW.format(restart_after=5))
        self.eventually(lambda: run.stats()["overruns"]["restarts"] >= 2, 60, "restarts")
        self.eventually(lambda: run.stats()["overruns"]["low_weight"] == 1, 20, "a low weight")
        before = run.stats()["packets"]["tx"]
        self.eventually(lambda: run.stats()["packets"]["tx"] > before + 5_000, 20, "others go on")
        report = run.stop()
        self.drops(report, "nf_ring_full", "nf_died", "instance_backoff", "backlog_full",
                   "shutdown")
        self.assertGreaterEqual(report["baton"][0]["revocations"], 10)
        self.assertEqual(groups(run), [])

    def test_or_not(self):
        run = self.start(SLOW.format(restart_after=0))
        self.eventually(lambda: run.stats()["baton"][0]["revocations"] >= 20, 60, "revocations")
        report = run.stop()
        self.assertEqual(report["overruns"]["restarts"], 0)
        self.assertEqual(report["nfs"]["deaths"], 0)
        self.drops(report, "nf_ring_full", "shutdown")
        self.assertEqual(groups(run), [])


if __name__ == "__main__":
    scenario.main()
