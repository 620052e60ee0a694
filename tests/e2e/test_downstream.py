#!/usr/bin/env python3
"""`downstream: shared`: thousands of processes give packets back through one ring, and any of them
is killed at any time, under load. Nothing is lost but what the dead were working on, nothing comes
twice, nobody is held up, nobody is blamed for another, and the accounts balance."""
import contextlib
import random
import time

import scenario
from mayfly import stretch

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 16384 }}
ring: {ring}
downstream: shared
ports:
  - {{ name: load, gen: {{ flows: {flows}, size: 64, rate: {rate} }} }}
nfs:
  count: {{ image: counter, pool: {{ idle: 16, max: 512 }} }}
  sign:  {{ image: signature, pool: {{ idle: 16, max: 512 }} }}
chains:
  pass: {{ nfs: [count, sign] }}
flows:
  - {{ match: {{ port: load }}, instance_per: src_ip, chain: pass, out: load }}
wake: {{ dispatch: {dispatch}, batch: 8, aging: 200us }}
"""
LOST = ("nf_died", "backlog_full", "instance_backoff", "pool_empty", "nf_ring_full",
        "tenant_limit", "rx_no_buffer")  # what deaths and a full machine may cost


class Downstream(scenario.Scenario):
    def config(self, flows=64, rate="max", dispatch="futex", ring=128):
        return CONFIG.format(flows=flows, rate=rate, dispatch=dispatch, ring=ring)

    def instances(self, run):
        return {row["slot"]: row for row in run.get("/v1/nfs") if row["state"] == "bound"}

    def all_flow(self, run, flows, seconds):
        """Every bound instance of every flow gives packets back."""
        deadline = time.monotonic() + seconds * stretch()
        first = None
        while True:
            now = self.instances(run)
            if len(now) == 2 * flows:
                if first is None or first.keys() != now.keys():
                    first = now
                elif all(now[s]["packets"] > first[s]["packets"] for s in first):
                    return
            if time.monotonic() > deadline:
                self.fail(f"{len(now)} of {2 * flows} bound\n{run.output()}")
            time.sleep(0.02)

    def nobody_was_blamed(self, report):
        self.assertEqual(report["nfs"]["violations"], 0, report["nfs"])
        self.assertEqual(report["nfs"]["strays"], 0, report["nfs"])

    def test_every_dispatch(self):
        for dispatch in ("futex", "baton", "semaphore", "eventfd", "poll"):
            with self.subTest(dispatch=dispatch):
                flows = 8 if dispatch == "poll" else 64
                run = self.prepare(self.config(flows, "10kpps", dispatch, ring=1024),
                                   arguments=["--for", "1s"])
                run.start(wait=False)
                report = run.wait(30)
                self.assertGreater(report["packets"]["tx"], 5_000)
                self.assertEqual(report["wakes"]["late"], 0, report["wakes"])
                self.drops(report)
                self.nobody_was_blamed(report)

    def test_killed_one_by_one_at_saturation(self):
        """The ring is in use by many at every instant; the slots of the dead are used again."""
        run = self.start(self.config())
        self.all_flow(run, 64, 10)
        choose = random.Random(1)
        kills = 150
        for _ in range(kills):
            row = choose.choice(list(self.instances(run).values()))
            with contextlib.suppress(ProcessLookupError):  # chosen twice, and gone already
                run.kill(row["pid"])
            time.sleep(choose.random() * 0.01)
        self.all_flow(run, 64, 10)
        before = run.stats()["packets"]["tx"]
        self.eventually(lambda: run.stats()["packets"]["tx"] > before + 10_000, 5, "traffic goes on")
        report = run.stop()
        self.assertGreater(report["nfs"]["deaths"], kills * 0.8)  # some were chosen twice
        self.drops(report, *LOST)
        self.nobody_was_blamed(report)

    def test_all_at_once(self):
        run = self.start(self.config(flows=32, rate="200kpps"))
        self.all_flow(run, 32, 10)
        for row in self.instances(run).values():
            run.kill(row["pid"])
        self.all_flow(run, 32, 10)
        report = run.stop()
        self.assertEqual(report["nfs"]["deaths"], 64)
        self.drops(report, *LOST)
        self.nobody_was_blamed(report)


if __name__ == "__main__":
    scenario.main()
