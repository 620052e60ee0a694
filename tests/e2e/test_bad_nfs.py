#!/usr/bin/env python3
"""Network functions that crash, hang or stop: they cost their own tenant packets, and nobody else
anything."""
import os
import signal
import time

import mayfly
import scenario

IMAGES = mayfly.BIN.parent / "tests" / "nfs"
FIRST_VLAN, FLOWS, BAD = 100, 10, 105

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 65536 }}
ring: 1024
ports:
  - {{ name: load, gen: {{ flows: {flows}, first_vlan: {first}, size: 64, rate: 2kpps }} }}
nfs:
  test:  {{ image: {image}, pool: {{ idle: 16, max: 32 }}{arguments} }}
  count: {{ image: counter, pool: {{ idle: 16, max: 32 }} }}
chains:
  pass: {{ nfs: [test, count] }}
  around: {{ nfs: [count] }}
flows:
  - {{ match: {{ port: load }}, instance_per: vlan, chain: pass, out: load }}
tenants: tenants.yaml
wake: {{ dispatch: {dispatch}, batch: 4, aging: 200us }}
"""


def tenants(bad_arguments):
    """Ten tenants, of which one has these arguments for `test`."""
    return "".join(f"t{vlan}: {{ key: {vlan}{bad_arguments if vlan == BAD else ''} }}\n"
                   for vlan in range(FIRST_VLAN, FIRST_VLAN + FLOWS))


class BadNfs(scenario.Scenario):
    dispatch = "futex"

    def config(self, image, arguments=""):
        return CONFIG.format(image=IMAGES / image, arguments=arguments, flows=FLOWS,
                             first=FIRST_VLAN, dispatch=self.dispatch)

    def packets(self, run):
        """Packets that each tenant's second NF has seen."""
        return {n["tenant"]: n["packets"] for n in run.get("/v1/nfs")
                if n["state"] == "bound" and n["nf"] == "count"}

    def others_go_on(self, run, seconds=2.0):
        others = {f"t{vlan}" for vlan in range(FIRST_VLAN, FIRST_VLAN + FLOWS)} - {f"t{BAD}"}
        self.eventually(lambda: others <= self.packets(run).keys(), 10, "all are bound")
        before = self.packets(run)
        time.sleep(seconds)
        after = self.packets(run)
        for tenant in others:
            # 200 packets a second each; a busy machine may be late with some.
            self.assertGreater(after[tenant] - before[tenant], 50 * seconds, tenant)

    def stop_and_check(self, run, *lost):
        """Only the bad tenant's packets, a tenth of all, may have been lost."""
        report = run.stop()
        self.drops(report, *lost)
        self.assertLess(sum(report["packets"]["drops"].values()),
                        0.12 * report["packets"]["rx"] + 100, report["packets"])
        return report

    def test_one_that_crashes_on_every_packet_is_held_back(self):
        marker = f"8100{BAD:04x}"  # its own VLAN tag
        run = self.start(self.config("crash.so"), files={
            "tenants.yaml": tenants(f', test: {{ marker: "{marker}", offset: 12 }}')})
        self.others_go_on(run, 3)
        report = self.stop_and_check(run, "nf_died", "instance_backoff", "backlog_full",
                                     "shutdown")
        deaths = report["nfs"]["deaths"]
        print(f"{deaths} deaths, {report['packets']['drops']}")
        self.assertGreater(deaths, 1)
        self.assertLess(deaths, 100, "respawned in a loop")
        self.assertGreater(report["packets"]["drops"]["instance_backoff"], 0)

    def test_one_that_crashes_when_it_is_bound(self):
        run = self.start(self.config("crash.so"), files={
            "tenants.yaml": tenants(", test: { in_bind: true }")})
        self.others_go_on(run)
        report = self.stop_and_check(run, "nf_died", "instance_backoff", "backlog_full",
                                     "shutdown")
        self.assertLess(report["nfs"]["deaths"], 100)

    def test_an_image_that_crashes_in_create_is_refused_at_once(self):
        run = self.prepare(self.config("crash.so", ", args: { in_init: true }"),
                           files={"tenants.yaml": tenants("")})
        run.start(wait=False)
        self.assertEqual(run.process.wait(30), 2, run.output())
        self.assertIn("crash.so", run.output())
        self.assertIn("config.yaml:8:", run.output())

    def hung(self, arguments):
        run = self.start(self.config("hang.so", ", args: { after: 1000000000 }"), files={
            "tenants.yaml": tenants(f", test: {{ {arguments} }}")})
        self.others_go_on(run)
        return self.stop_and_check(run, "nf_ring_full", "shutdown", "tenant_limit", "nf_died")

    def test_one_that_never_returns(self):
        self.hung("after: 10, asleep: true")

    def test_one_that_never_returns_and_burns_its_core(self):
        self.hung("after: 10")

    def test_one_that_is_stopped_by_a_signal_and_goes_on_later(self):
        run = self.start(self.config("crash.so"), files={"tenants.yaml": tenants("")})
        self.others_go_on(run, 0.5)
        (victim,) = [n["pid"] for n in run.get("/v1/nfs")
                     if n["tenant"] == f"t{BAD}" and n["nf"] == "test"]
        os.kill(victim, signal.SIGSTOP)
        self.others_go_on(run)
        before = self.packets(run)[f"t{BAD}"]
        os.kill(victim, signal.SIGCONT)
        self.eventually(lambda: self.packets(run)[f"t{BAD}"] > before, 5, "it goes on")
        report = run.stop()
        self.drops(report)  # a ring of 1,024 holds what came meanwhile

    def test_one_that_is_stopped_does_not_hold_up_its_tenants_next_chain(self):
        run = self.start(self.config("crash.so"), files={"tenants.yaml": tenants("")})
        self.others_go_on(run, 0.5)
        (victim,) = [n["pid"] for n in run.get("/v1/nfs")
                     if n["tenant"] == f"t{BAD}" and n["nf"] == "test"]
        os.kill(victim, signal.SIGSTOP)
        time.sleep(0.2)  # some packets are in its hands now
        run.cli("tenant", "set", f"t{BAD}", "--chain", "around")
        self.eventually(lambda: run.stats()["flows"]["overdue_gates"] == 1, 5, "the gate opens")
        def bad_packets():
            return sum(n["packets"] for n in run.get("/v1/nfs") if n["tenant"] == f"t{BAD}"
                       and n["nf"] == "count" and n["state"] == "bound")
        before = bad_packets()
        self.eventually(lambda: bad_packets() > before + 100, 5, "the next chain works")
        report = run.stop()
        self.drops(report, "shutdown")  # what the stopped one still had


class BadNfsUnderTheBaton(BadNfs):
    """One who keeps the baton for himself loses it, and is replaced if he does so again and again."""
    dispatch = "baton"
    test_one_that_crashes_when_it_is_bound = None  # no different
    test_an_image_that_crashes_in_create_is_refused_at_once = None

    def hung(self, arguments):
        report = super().hung(arguments)
        self.assertGreater(sum(core["revocations"] for core in report["baton"]), 0)

    def test_one_that_is_stopped_by_a_signal_and_goes_on_later(self):
        run = self.start(self.config("crash.so"), files={"tenants.yaml": tenants("")})
        self.others_go_on(run, 0.5)
        (victim,) = [n["pid"] for n in run.get("/v1/nfs")
                     if n["tenant"] == f"t{BAD}" and n["nf"] == "test"]
        os.kill(victim, signal.SIGSTOP)
        self.others_go_on(run)
        self.eventually(lambda: victim not in run.pids("nf"), 5, "it is replaced")
        before = self.packets(run)[f"t{BAD}"]
        self.eventually(lambda: self.packets(run)[f"t{BAD}"] > before, 5, "its tenant goes on")
        self.stop_and_check(run, "nf_died", "backlog_full")


if __name__ == "__main__":
    scenario.main()
