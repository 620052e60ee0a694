#!/usr/bin/env python3
"""Three hundred NFs under the baton for half a minute, killed, stopped and continued at random while
traffic flows: all packets are accounted for, no wake is lost, and in the end every flow flows."""
import os
import random
import signal
import time

import mayfly
import scenario

CONFIG = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 32768 }
ports:
  - { name: load, gen: { flows: 150, first_vlan: 100, size: 64, rate: 30kpps, arrival: poisson } }
nfs:
  count: { image: counter, pool: { idle: 40, max: 400 } }
  sign:  { image: signature, pool: { idle: 40, max: 400 } }
chains:
  pass: { nfs: [count, sign] }
flows:
  - { match: { port: load }, instance_per: vlan, chain: pass, out: load }
wake: { dispatch: baton, batch: 1, aging: off }
"""
SECONDS = 30
LOST = ("nf_died", "backlog_full", "instance_backoff", "pool_empty", "nf_ring_full")


class Baton(scenario.Scenario):
    def bound(self, run):
        return [row for row in run.get("/v1/nfs") if row["state"] == "bound"]

    def test_killed_stopped_and_continued(self):
        seed = int.from_bytes(os.urandom(4), "little")
        print(f"seed {seed}")
        choose = random.Random(seed)
        run = self.start(CONFIG)
        self.eventually(lambda: len(self.bound(run)) == 300, 20, "all NFs are bound")
        end = time.monotonic() + SECONDS
        stopped = []
        counts = {"kill": 0, "stop": 0}
        while time.monotonic() < end:
            rows = self.bound(run)
            for _ in range(20):
                pid = choose.choice(rows)["pid"]
                action = choose.random()
                try:
                    if action < 0.4:
                        os.kill(pid, signal.SIGKILL)
                        counts["kill"] += 1
                    elif action < 0.7:
                        os.kill(pid, signal.SIGSTOP)
                        stopped.append(pid)
                        counts["stop"] += 1
                    else:
                        go_on(stopped)
                except ProcessLookupError:
                    pass  # killed just now
                time.sleep(choose.random() * 0.03)
        go_on(stopped)
        self.eventually(lambda: len(self.bound(run)) == 300, 10, "all NFs are bound again")
        before = {row["key"]: row["packets"] for row in self.bound(run) if row["nf"] == "sign"}
        self.eventually(lambda: all(row["packets"] > before.get(row["key"], 0) for row in self.bound(run)
                                    if row["nf"] == "sign"), 10, "every flow flows")
        report = run.stop()
        print(f"{counts}, {report['packets']}, {report['batons']}")
        self.drops(report, *LOST)
        self.assertGreater(counts["kill"], 50)
        # One that is stopped between raising its flag and looking again looks like one that sleeps.
        self.assertLessEqual(report["wakes"]["late"], 2 if mayfly.stretch() == 1 else 20)


def go_on(stopped):
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    stopped.clear()


if __name__ == "__main__":
    scenario.main()
