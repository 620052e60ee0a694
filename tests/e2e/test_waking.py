#!/usr/bin/env python3
"""Every dispatch, with batch thresholds, adaptive batches and ageing on and off: nothing is lost,
and no NF ever sleeps on packets that should have woken it."""
import scenario

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 32768 }}    # all packets of a second fit, so a busy machine loses none
ring: 1024
ports:
  - {{ name: load, gen: {{ flows: {flows}, size: 64, rate: {rate}, arrival: poisson }} }}
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
    ("futex", 8, "20ms", ""),  # a batch fills while the first ages
    ("futex", "adaptive", "1ms", ""),
    ("futex", 32, "500us", ", wake: { batch: 1, aging: off }"),
    ("eventfd", 1, "off", ""),
    ("eventfd", 8, "200us", ""),
    ("semaphore", 1, "off", ""),
    ("semaphore", 8, "200us", ""),
    ("poll", 1, "off", ""),
    ("uring", 1, "off", ""),
    ("uring", 8, "200us", ""),
    ("baton", 1, "off", ""),
    ("baton", 8, "200us", ""),
    ("baton, baton: { eager: false, budget: 1, idle: 0us }", 8, "200us", ""),
    ("baton", "adaptive", "1ms", ""),
]


class Waking(scenario.Scenario):
    def test_every_dispatch(self):
        for dispatch, batch, aging, own in ROWS:
            with self.subTest(dispatch=dispatch, batch=batch, aging=aging, own=own):
                batches = aging == "20ms"
                # Polling NFs share their core by whole time slices: a few of them are enough.
                flows = 8 if dispatch == "poll" or batches else 100
                # The vSwitch's audit takes a second to call a wake late.
                seconds = "3s" if aging == "off" else "1s"
                run = self.prepare(CONFIG.format(dispatch=dispatch, batch=batch, aging=aging,
                                                 own=own, rate="10kpps", flows=flows),
                                   arguments=["--for", seconds])
                run.start(wait=False)
                report = run.wait(30)
                self.assertGreater(report["packets"]["tx"], 5_000)
                self.assertEqual(report["wakes"]["late"], 0, report["wakes"])
                self.drops(report)
                if dispatch != "poll":
                    self.assertGreater(report["wakes"]["total"], 100)
                if batches:
                    self.assertGreater(report["wakes"]["packets_per_wake"], 2)

    def test_parked_nfs_use_no_cpu(self):
        """Two hundred idle instances and no traffic: not one of them is ever scheduled."""
        config = CONFIG.format(dispatch="futex", batch=8, aging="200us", own="", rate="1pps",
                               flows=1)
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
