#!/usr/bin/env python3
"""Coordinated omission, on real runs. A source that waits for its sink sends nothing while the sink
stands still, and so measures one late packet where all that were due are late. Here something is
stopped for 100 ms under 20,000 packets a second: 2,000 packets were due meanwhile, their latencies
are spread evenly from 100 ms down to nothing, and all of them must be in the histogram."""
import os
import signal
import time
import unittest

import paths
import run
import stats

PPS = 20_000
STALL = 0.1
RING = 4096  # all that is due in the stall fits: nothing is dropped, only late

CONFIG = {
    "ring": RING,
    "ports": [{"name": "load", "gen": {"flows": 1, "size": 64, "rate": f"{PPS}pps"}}],
    "nfs": {"nf": {"image": "counter", "pool": {"idle": 1, "max": 1}}},
    "chains": {"path": {"nfs": ["nf"]}},
    "flows": [{"match": {"port": "load"}, "instance_per": "src_ip", "chain": "path",
               "out": "load"}],
    "wake": {"batch": 1, "aging": "100us"},
}


def stop_for(pid, seconds):
    """SIGSTOP and SIGCONT; how long it really stood."""
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    return time.monotonic() - begin


def dataplane_of(r):
    """The dataplane's pid: the keeper's child of that name."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) == r.process.pid and name.startswith("mayfly-datapla"):
            return int(pid)
    raise AssertionError("no dataplane")


class StalledSink(unittest.TestCase):
    def measure(self, victim):
        with run.Run(CONFIG, mayfly=paths.MAYFLY) as r:
            pid = victim(r)
            time.sleep(0.3)
            r.post("/v1/window")
            time.sleep(0.3)
            stood = stop_for(pid, STALL)
            time.sleep(0.5)
            figures = r.get("/v1/window")
            r.stop()
        return figures, stood

    def check(self, figures, stood):
        self.assertEqual(figures["packets"]["drops"], {})
        buckets = figures["latency_buckets"]
        total = figures["latency_us"]["count"]
        self.assertEqual(sum(count for _, count in buckets), total)
        due = PPS * stood
        for share in (0.25, 0.5, 0.75):
            late = stats.share_above(buckets, share * stood * 1e6) * total
            # A busy machine makes other packets late as well; none of these may be missing.
            self.assertGreater(late, (1 - share) * due * 0.9, share)
        self.assertGreater(figures["latency_us"]["max"], stood * 1e6 * 0.95)
        # A closed loop would have had one late packet, and a p99 as if nothing had happened.
        self.assertGreater(figures["latency_us"]["p99"], stood * 1e6 * 0.5)
        for key, q in (("p50", 0.5), ("p99", 0.99)):
            self.assertAlmostEqual(stats.bucket_percentile(buckets, q), figures["latency_us"][key],
                                   delta=0.002 * figures["latency_us"][key] + 0.01)

    def test_an_nf_that_stands_still(self):
        def nf(r):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                for instance in r.get("/v1/nfs"):
                    if instance["state"] == "bound":
                        return instance["pid"]
                time.sleep(0.01)
            raise AssertionError("no NF is bound")
        self.check(*self.measure(nf))

    def test_a_whole_dataplane_that_stands_still(self):
        """The source itself is stopped: it owes those packets all the same."""
        figures, stood = self.measure(dataplane_of)
        self.check(figures, stood)
        self.assertGreater(figures["load"]["late"], PPS * stood * 0.9)
        self.assertGreater(figures["load"]["offered"], PPS * figures["seconds"] * 0.99)


if __name__ == "__main__":
    unittest.main()
