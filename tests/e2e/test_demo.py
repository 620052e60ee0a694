#!/usr/bin/env python3
"""`mayfly demo`, `doctor` and `run` as a newcomer meets them, as root and as an ordinary user."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import capture
import mayfly
import scenario

NOBODY = 65534
SMALL = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 4096 }
ports:
  - { name: load, gen: { flows: 4, size: 64, rate: 1kpps } }
nfs:
  count: { image: counter, pool: { idle: 4, max: 16 } }
chains:
  pass: { nfs: [count] }
flows:
  - { match: { port: load }, instance_per: src_ip, chain: pass, out: load }
"""
PORTS = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 4096 }
ports:
  - { name: in, pcap: { in: in.pcap } }
  - { name: out, pcap: { out: out.pcap } }
  - { name: ring, dev: net_ring0 }
  - { name: load, gen: { flows: 4, size: 64, rate: 1kpps } }
nfs:
  count: { image: counter, pool: { idle: 4, max: 16 } }
chains:
  pass: { nfs: [count] }
flows:
  - { match: { port: in }, instance_per: rule, chain: pass, out: ring }
  - { match: { port: ring }, instance_per: rule, chain: pass, out: out }
  - { match: { port: load }, instance_per: src_ip, chain: pass, out: load }
"""


class Demo(scenario.Scenario):
    def mayfly(self, *arguments, user=None, seconds=60):
        home = tempfile.mkdtemp(prefix="mayfly-e2e-home-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        command = [mayfly.MAYFLY, *arguments]
        if user is not None:
            os.chown(home, user, user)
            environment["XDG_RUNTIME_DIR"] = home
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, cwd=home, env=environment, check=False), home

    def test_a_thousand_tenants_two_thousand_processes(self):
        done, home = self.mayfly("demo", "--for", "3s", "--report", "r.json", "--name",
                                 f"e2e-demo-{os.getpid()}")
        self.assertEqual(done.returncode, 0, done.stdout)
        report = json.loads(pathlib.Path(home, "r.json").read_text(encoding="utf-8"))
        mayfly.check_accounts(report)
        self.assertGreaterEqual(report["nfs"]["binds"], 2000)
        self.assertGreaterEqual(report["nfs"]["live"], 2000)
        self.assertGreater(report["packets"]["tx"], 1000)
        for word in ("Mpps", "p99", "wake", "memory"):
            self.assertIn(word.lower(), done.stdout.lower())

    def test_four_thousand_processes(self):
        done, home = self.mayfly("demo", "--tenants", "2000", "--rate", "100kpps", "--for", "2s",
                                 "--report", "r.json", "--name", f"e2e-demo-{os.getpid()}",
                                 seconds=120)
        self.assertEqual(done.returncode, 0, done.stdout)
        report = json.loads(pathlib.Path(home, "r.json").read_text(encoding="utf-8"))
        mayfly.check_accounts(report)
        self.assertGreaterEqual(report["nfs"]["live"], 4000)

    def test_an_ordinary_user(self):
        done, home = self.mayfly("demo", "--tenants", "50", "--for", "2s", "--report", "r.json",
                                 user=NOBODY)
        self.assertEqual(done.returncode, 0, done.stdout)
        report = json.loads(pathlib.Path(home, "r.json").read_text(encoding="utf-8"))
        mayfly.check_accounts(report)
        self.assertGreater(report["packets"]["tx"], 1000)
        self.assertEqual(sorted(os.listdir(home)), sorted({"r.json"} | set(os.listdir(home))
                                                          & {"mayfly", "dpdk"}))

    def test_an_ordinary_user_with_capture_and_ring_ports(self):
        folder = pathlib.Path(self.folder("user"))
        frames = [capture.udp_frame("10.0.0.1", f"10.0.0.{i}", 1000, 2000, bytes(i))
                  for i in range(2, 50)]
        capture.write(folder / "in.pcap", frames)
        (folder / "config.yaml").write_text(PORTS)
        os.chown(folder, NOBODY, NOBODY)
        done, _ = self.mayfly("run", str(folder / "config.yaml"), "--for", "1s", "--report",
                              str(folder / "r.json"), user=NOBODY)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("not root", done.stdout)
        report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
        mayfly.check_accounts(report)
        ports = {port["name"]: port for port in report["ports"]}
        self.assertEqual(ports["in"]["rx"], len(frames))
        # Into the ring, out of the ring, into the file.
        self.assertEqual(ports["ring"]["tx"], len(frames))
        self.assertEqual(ports["ring"]["rx"], len(frames))
        self.assertEqual([f.bytes for f in capture.read(folder / "out.pcap").frames], frames)
        self.assertGreater(ports["load"]["tx"], 500)

    def test_two_runs_side_by_side(self):
        runs = [self.start(SMALL), self.start(SMALL)]
        for run in runs:
            self.eventually(lambda r=run: r.stats()["packets"]["tx"] > 100, 10, "traffic")
            self.assertIn("mayfly_packets_sent_total", run.request("GET", "/metrics")[1])
        for run in runs:
            self.drops(run.stop())

    def test_doctor_names_what_it_looks_at(self):
        done, _ = self.mayfly("doctor")
        self.assertIn(done.returncode, (0, 1), done.stdout)
        for word in ("huge", "cgroup", "dpdk"):
            self.assertIn(word, done.stdout.lower())


if __name__ == "__main__":
    scenario.main()
