#!/usr/bin/env python3
"""What may be changed and measured while packets flow: rates, waking, measuring windows."""
import os
import signal
import time

import scenario

CONFIG = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 32768 }
ring: 1024
ports:
  - { name: load, gen: { flows: 60, size: 64, rate: 20kpps, arrival: { on: 2ms, off: 3ms } } }
  - { name: sink, dev: "net_ring0" }
nfs:
  sign:  { image: signature, pool: { idle: 70, max: 200 } }
  count: { image: counter, pool: { idle: 70, max: 200 }, wake: { batch: 4, aging: 100us } }
chains:
  pass: { nfs: [sign, count] }
flows:
  - { match: { port: load }, instance_per: src_ip, chain: pass, out: load }
wake: { dispatch: futex, batch: 8, aging: 200us }
"""


class Live(scenario.Scenario):
    def ask(self, run, method, path, body=None, status=200):
        got, answer = run.request(method, path, body)
        self.assertEqual(got, status, answer)
        return answer

    def window(self, run, seconds):
        number = self.ask(run, "POST", "/v1/window", {}, 201)["window"]
        time.sleep(seconds)
        figures = self.ask(run, "GET", "/v1/window")
        self.assertEqual(figures["window"], number)
        self.check(figures)
        return figures

    def check(self, figures):
        """What holds in every window."""
        packets = figures["packets"]
        self.assertEqual(packets["rx"] + packets["originated"] + packets["held_before"],
                         packets["tx"] + sum(packets["drops"].values()) + packets["held"])
        buckets = figures["latency_buckets"]
        self.assertEqual(sum(count for _, count in buckets), packets["tx"])
        self.assertEqual(figures["latency_us"]["count"], packets["tx"])
        self.assertEqual(buckets, sorted(buckets))
        if buckets:
            self.assertAlmostEqual(buckets[-1][0], figures["latency_us"]["max"], delta=0.002)
        self.assertEqual(figures["load"]["offered"], packets["rx"])
        self.assertLessEqual(figures["nfs"]["returned"], figures["nfs"]["live"])
        self.assertGreaterEqual(figures["disturbed"]["vswitch_wait_ms"], 0)
        self.assertGreaterEqual(figures["disturbed"]["steal_ms"], 0)
        self.assertAlmostEqual(figures["mpps"], packets["tx"] / figures["seconds"] / 1e6, places=6)

    def test_a_window_is_what_happened_in_it(self):
        run = self.start(CONFIG)
        self.ask(run, "GET", "/v1/window", status=404)
        before = self.window(run, 0.5)
        figures = self.window(run, 1.0)
        self.assertGreater(figures["window"], before["window"])
        self.assertAlmostEqual(figures["seconds"], 1.0, delta=0.5)
        self.assertEqual(figures["nfs"]["returned"], 120)
        self.assertAlmostEqual(figures["packets"]["rx"], 20_000 * figures["seconds"],
                               delta=0.02 * 20_000)
        # Silent: in a window of its own, nothing comes back from anybody.
        self.ask(run, "PATCH", "/v1/ports/load", {"rate": "1pps"})
        time.sleep(0.5)
        silent = self.window(run, 0.3)
        self.assertLessEqual(silent["packets"]["rx"], 2)
        self.assertLessEqual(silent["nfs"]["returned"], 4)
        # Another client's window replaces it, and one that is asked twice goes on.
        first = self.ask(run, "POST", "/v1/window", {}, 201)["window"]
        second = self.ask(run, "POST", "/v1/window", {}, 201)["window"]
        self.assertNotEqual(first, second)
        once = self.ask(run, "GET", "/v1/window")
        twice = self.ask(run, "GET", "/v1/window")
        self.assertGreater(twice["seconds"], once["seconds"])
        report = run.stop()
        self.assertEqual(report["latency_us"]["count"], report["packets"]["tx"],
                         "the report's histogram has every packet, those of windows too")
        self.assertEqual(report["config"]["ports"][0]["gen"]["arrival"], "bursts")

    def test_the_dead_are_not_among_those_that_returned(self):
        run = self.start(CONFIG)
        self.window(run, 0.5)
        self.ask(run, "POST", "/v1/window", {}, 201)
        time.sleep(0.5)
        self.ask(run, "PATCH", "/v1/ports/load", {"rate": "1pps"})
        time.sleep(0.3)
        bound = [row["pid"] for row in run.get("/v1/nfs") if row["state"] == "bound"][:10]
        for pid in bound:
            os.kill(pid, signal.SIGKILL)
        self.eventually(lambda: self.ask(run, "GET", "/v1/window")["nfs"]["deaths"] >= 10, 5,
                        "their deaths are known")
        figures = self.ask(run, "GET", "/v1/window")
        self.assertLessEqual(figures["nfs"]["returned"], 120 - 10 + 2)
        run.stop()

    def test_a_rate_changes_at_once(self):
        run = self.start(CONFIG)
        for rate, pps in (("50kpps", 50_000), ("5kpps", 5_000), ("max", None), ("10kpps", 10_000)):
            answer = self.ask(run, "PATCH", "/v1/ports/load", {"rate": rate})
            self.assertEqual(answer["name"], "load")
            ports = {port["name"]: port for port in self.ask(run, "GET", "/v1/ports")}
            self.assertEqual(ports["load"]["rate"], answer["rate"])
            self.assertNotIn("rate", ports["sink"])
            figures = self.window(run, 0.5)
            if pps is None:
                self.assertGreater(figures["packets"]["rx"], 100_000 * figures["seconds"])
            else:
                self.assertAlmostEqual(figures["packets"]["rx"] / figures["seconds"], pps,
                                       delta=0.3 * pps)
        self.ask(run, "PATCH", "/v1/ports/sink", {"rate": "1pps"}, 409)
        self.ask(run, "PATCH", "/v1/ports/x", {"rate": "1pps"}, 404)
        self.ask(run, "PATCH", "/v1/ports/load", {"rate": "1"}, 400)
        run.stop()

    def test_waking_changes_while_packets_flow(self):
        run = self.start(CONFIG)
        found = self.ask(run, "GET", "/v1/wake")
        self.assertEqual(found, {"dispatch": "futex", "batch": 8, "aging": "200us", "chains": {},
                                 "nfs": {"count": {"batch": 4, "aging": "100us"}}})
        # Nobody is woken before 100 packets wait: those inside stay there.
        self.ask(run, "PATCH", "/v1/wake", {"nf": "count", "inherit": True})
        self.ask(run, "PATCH", "/v1/wake", {"batch": 900, "aging": "off"})
        time.sleep(0.5)
        held = self.window(run, 0.3)
        self.assertGreater(held["packets"]["held"], 5_000)
        self.ask(run, "PATCH", "/v1/ports/load", {"rate": "1pps"})
        # ... until the settings change: no packet has to come for that.
        self.ask(run, "PATCH", "/v1/wake", {"aging": "100us"})
        self.eventually(lambda: run.stats()["packets"]["held"] <= 60, 5, "all have left")
        # Batches follow the settings.
        per_wake = {}
        self.ask(run, "PATCH", "/v1/ports/load", {"rate": "20kpps"})
        for batch in (1, 32):
            answer = self.ask(run, "PATCH", "/v1/wake", {"batch": batch, "aging": "1s"})
            self.assertEqual(answer["batch"], batch)
            time.sleep(0.3)
            per_wake[batch] = self.window(run, 1.0)["wakes"]["packets_per_wake"]
        self.assertGreater(per_wake[32], 2 * per_wake[1])
        # Back to what was found, by what was found.
        self.ask(run, "PATCH", "/v1/wake", {"batch": found["batch"], "aging": found["aging"]})
        for nf, own in found["nfs"].items():
            self.ask(run, "PATCH", "/v1/wake", {"nf": nf, **own})
        self.assertEqual(self.ask(run, "GET", "/v1/wake"), found)
        self.ask(run, "PATCH", "/v1/wake", {"dispatch": "poll"}, 409)
        self.ask(run, "PATCH", "/v1/wake", {"batch": 0}, 400)
        report = run.stop()
        self.assertEqual(report["wake"], found)
        self.assertEqual(report["wakes"]["late"], 0)

    def test_zipf_popularity(self):
        run = self.start(CONFIG.replace("flows: 60,", "flows: 60, order: zipf,")
                         .replace("arrival: { on: 2ms, off: 3ms }", "arrival: poisson"))
        self.eventually(lambda: run.stats()["packets"]["rx"] > 20_000, 10, "some packets")
        flows = {row["flow"]: row["packets"] for row in run.get("/v1/flows?limit=1000")["flows"]}
        shares = sorted(flows.values(), reverse=True)
        harmonic = sum(1 / k for k in range(1, 61))
        self.assertEqual(len(shares), 60)
        self.assertAlmostEqual(shares[0] / sum(shares), 1 / harmonic, delta=0.02)
        self.assertAlmostEqual(shares[1] / sum(shares), 0.5 / harmonic, delta=0.02)
        run.stop()


if __name__ == "__main__":
    scenario.main()
