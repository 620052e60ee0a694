#!/usr/bin/env python3
"""dpdk-testpmd, an independent program, on the other side of two memif ports."""
import os
import re
import subprocess
import time

import scenario

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 16384 }}
ports:
  - {{ name: left,  dev: "net_memif0,role=server,id=0,socket-abstract=no,socket={folder}/left" }}
  - {{ name: right, dev: "net_memif1,role=server,id=0,socket-abstract=no,socket={folder}/right" }}
nfs:
  count: {{ image: counter, pool: {{ idle: 64, max: 128 }} }}
  sign:  {{ image: signature, pool: {{ idle: 64, max: 128 }} }}
chains:
  pass: {{ nfs: [count, sign] }}
flows:
  - {{ match: {{ port: left }},  instance_per: src_ip, chain: pass, out: right }}
  - {{ match: {{ port: right }}, instance_per: dst_ip, chain: pass, out: left }}
wake: {{ batch: 16, aging: 200us }}
"""
SECONDS = 3


def totals(text, kind):
    """The last value printed for each port by `show port stats all`."""
    blocks = re.findall(rf"NIC statistics for port (\d)(.*?){kind}-packets:\s+(\d+)", text, re.S)
    return {int(port): int(value) for port, _, value in blocks}


class TestpmdOverMemif(scenario.Scenario):
    def test_what_testpmd_sends_comes_back_to_it_on_the_other_port(self):
        folder = self.folder("memif")
        run = self.start(CONFIG.format(folder=folder))
        testpmd = self.background(subprocess.Popen(
            ["dpdk-testpmd", "--lcores", "0@1,1@1", "--no-huge", "--no-shconf", "-m", "256",
             "--no-pci", f"--file-prefix=mayfly-peer-{os.getpid()}",
             f"--vdev=net_memif0,role=client,id=0,socket-abstract=no,socket={folder}/left",
             f"--vdev=net_memif1,role=client,id=0,socket-abstract=no,socket={folder}/right",
             "--", "-i", "--forward-mode=flowgen", "--flowgen-flows=32",
             "--total-num-mbufs=8192", "--no-mlockall"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        self.addCleanup(testpmd.stdin.close)
        self.addCleanup(testpmd.stdout.close)

        def say(line):
            testpmd.stdin.write(line + "\n")
            testpmd.stdin.flush()

        time.sleep(1)  # both links come up when the client has connected
        say("start")
        time.sleep(SECONDS)
        for line in ("stop", "set fwd rxonly", "start"):  # send no more, but read what comes
            say(line)
        held = lambda: run.stats()["packets"]["held"] == 0  # noqa: E731
        self.eventually(held, 10, "Mayfly has sent on what testpmd sent")
        time.sleep(0.5)
        say("stop")
        say("show port stats all")
        say("quit")
        text = testpmd.communicate(timeout=20)[0]
        report = run.stop()

        sent, received = totals(text, "TX"), totals(text, "RX")
        self.assertEqual(set(sent), {0, 1}, text)
        print(f"testpmd sent {sent}, received {received}; {report['mpps']} Mpps through Mayfly")
        self.assertGreater(min(sent.values()), 1000, text)
        self.assertEqual(report["packets"]["rx"], sum(sent.values()))
        self.assertEqual(report["packets"]["tx"], sum(received.values()))
        self.assertGreater(min(received.values()), 1000, text)
        # One core for two NFs and testpmd: overload is dropped where it should be.
        self.drops(report, "nf_ring_full", "tx_full", "tenant_limit")


if __name__ == "__main__":
    scenario.main()
