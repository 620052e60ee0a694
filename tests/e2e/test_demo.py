#!/usr/bin/env python3
"""`mayfly demo`, `doctor` and `run` as a newcomer meets them, as root and as an ordinary user."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import mayfly
import scenario

NOBODY = 65534


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

    def test_doctor_names_what_it_looks_at(self):
        done, _ = self.mayfly("doctor")
        self.assertIn(done.returncode, (0, 1), done.stdout)
        for word in ("huge", "cgroup", "dpdk"):
            self.assertIn(word, done.stdout.lower())


if __name__ == "__main__":
    scenario.main()
