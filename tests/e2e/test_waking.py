#!/usr/bin/env python3
"""Every dispatch, with batch thresholds, adaptive batches and ageing on and off: nothing is lost,
and no NF ever sleeps on packets that should have woken it."""
import scenario

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 16384 }}
ports:
  - {{ name: load, gen: {{ flows: 100, size: 64, rate: {rate}, arrival: poisson }} }}
nfs:
  sign:  {{ image: signature, pool: {{ idle: 100, max: 200 }} }}
  count: {{ image: counter, pool: {{ idle: 100, max: 200 }}{own} }}
chains:
  pass: {{ nfs: [sign, count] }}
flows:
  - {{ match: {{ port: load }}, instance_per: src_ip, chain: pass, out: load }}
wake: {{ dispatch: {dispatch}, batch: {batch}, aging: {aging} }}
"""
ROWS = [  # dispatch, batch, aging, of `count` alone
    ("futex", 1, "off", ""),
    ("futex", 8, "200us", ""),
    ("futex", "adaptive", "1ms", ""),
    ("futex", 32, "500us", ", wake: { batch: 1, aging: off }"),
    ("eventfd", 1, "off", ""),
    ("eventfd", 8, "200us", ""),
    ("semaphore", 1, "off", ""),
    ("semaphore", 8, "200us", ""),
    ("poll", 1, "off", ""),
]


class Waking(scenario.Scenario):
    def test_every_dispatch(self):
        for dispatch, batch, aging, own in ROWS:
            with self.subTest(dispatch=dispatch, batch=batch, aging=aging, own=own):
                rate = "20kpps" if dispatch == "poll" else "100kpps"
                run = self.prepare(CONFIG.format(dispatch=dispatch, batch=batch, aging=aging,
                                                 own=own, rate=rate), arguments=["--for", "1s"])
                run.start(wait=False)
                report = run.wait(30)
                self.assertGreater(report["packets"]["tx"], 10_000)
                self.assertEqual(report["wakes"]["late"], 0, report["wakes"])
                # Two hundred spinning processes on one core: polling may well lose some.
                self.drops(report, *(("nf_ring_full", "shutdown", "tenant_limit")
                                     if dispatch == "poll" else ()))
                if dispatch != "poll":
                    self.assertGreater(report["wakes"]["total"], 100)
                if (dispatch, batch) == ("futex", 8):
                    self.assertGreater(report["wakes"]["packets_per_wake"], 1)

    def test_parked_nfs_use_no_cpu(self):
        """Two hundred idle instances and no traffic: not one of them is ever scheduled."""
        config = CONFIG.format(dispatch="futex", batch=8, aging="200us", own="", rate="1pps")
        run = self.start(config)
        self.eventually(lambda: len(run.pids("nf")) >= 200, 20, "the pool is full")
        parked = [row["pid"] for row in run.get("/v1/nfs") if row["state"] == "idle"]
        before = [switches(pid) for pid in parked]
        self.assertGreater(len(parked), 150)
        self.eventually(lambda: run.stats()["packets"]["rx"] >= 2, 10, "time passes")
        after = [switches(pid) for pid in parked]
        busy = sum(b != a for b, a in zip(before, after))
        self.assertLessEqual(busy, 8, "those that the one or two packets were for")
        run.stop()


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return [line for line in status if "ctxt_switches" in line]


if __name__ == "__main__":
    scenario.main()
