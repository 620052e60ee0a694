#!/usr/bin/env python3
"""An NF that waits for something else in the midst of its work, among others on its core: without the
core nobody notices; with it, the core is taken from it."""
import mayfly
import scenario

IMAGES = mayfly.BIN.parent / "tests" / "nfs"
FIRST_VLAN, FLOWS, WAITS = 100, 21, 105
PPS = 420  # twenty a second for each

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 32768 }}
ring: 1024
ports:
  - {{ name: load, gen: {{ flows: {flows}, first_vlan: {first}, size: 64, rate: {pps}pps }} }}
nfs:
  wait: {{ image: {image}, pool: {{ idle: 21, max: 32 }} }}
chains:
  pass: {{ nfs: [wait] }}
flows:
  - {{ match: {{ port: load }}, instance_per: vlan, chain: pass, out: load }}
tenants: tenants.yaml
wake: {{ dispatch: {dispatch}, batch: 1, aging: off, baton: {{ restart_after: 0 }} }}
"""


class WaitingNfs(scenario.Scenario):
    def run_for(self, arguments, dispatch="baton", packets=1500):
        """Twenty NFs that never wait and one that sleeps 5 ms for every packet."""
        tenants = "".join(f"t{vlan}: {{ key: {vlan}{arguments if vlan == WAITS else ''} }}\n"
                          for vlan in range(FIRST_VLAN, FIRST_VLAN + FLOWS))
        run = self.start(CONFIG.format(flows=FLOWS, first=FIRST_VLAN, pps=PPS, dispatch=dispatch,
                                       image=IMAGES / "waiter.so"),
                         files={"tenants.yaml": tenants})
        self.eventually(lambda: run.stats()["packets"]["tx"] > packets, 60, "packets pass")
        rows = {row["tenant"]: row["packets"] for row in run.get("/v1/nfs")
                if row["state"] == "bound"}
        report = run.stop()
        waits = rows.pop(f"t{WAITS}")
        others = sum(rows.values()) / len(rows)
        print(f"{dispatch} {arguments}: others {others}, the one {waits}, {report.get('baton')}")
        self.drops(report)
        self.assertEqual(report["wakes"]["late"], 0)
        self.assertGreater(min(rows.values()), 0.9 * others)
        self.assertGreater(waits, 0.5 * others)
        return report

    def test_without_the_core_nobody_notices(self):
        report = self.run_for(", wait: { sleep: 5ms }")
        self.assertEqual(report["baton"][0]["revocations"], 0)
        self.assertEqual(report["nfs"]["deaths"], 0)

    def test_with_the_core_it_is_taken(self):
        report = self.run_for(", wait: { sleep: 5ms, keeps_core: true }", packets=1000)
        self.assertGreater(report["baton"][0]["revocations"], 0)

    def test_in_other_dispatches_the_call_does_nothing(self):
        for dispatch in ("futex", "eventfd", "semaphore"):
            self.run_for(", wait: { sleep: 5ms }", dispatch, packets=500)


if __name__ == "__main__":
    scenario.main()
