#!/usr/bin/env python3
"""`mayfly sweep` as a user runs it, in a size that every test run can bear: rows, accounting and
report; kill -9 and --resume; Ctrl-C; refusals."""
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import paths
import rowfile

QUICK = ["--window", "200ms", "--warmup", "100ms", "--repeat", "2", "--searches", "1",
         "--search-window", "100ms", "--search-time", "10s", "--retries", "1", "--loss", "30%",
         "--dispatch", "futex,semaphore"]
AXES = ["nfs", "active", "chain", "nf", "size", "rate", "arrival", "order", "dispatch", "batch",
        "aging", "cost", "trust", "cores", "downstream"]


def processes_of(sweep_pid):
    """Mayfly's processes that a sweep started: its runs are named after its pid."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"bench-{sweep_pid}-" in command:
            found.add(int(pid))
    return found


class Sweeps(unittest.TestCase):
    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-sweep-"))
        self.addCleanup(shutil.rmtree, self.out, ignore_errors=True)

    def start(self, *arguments):
        """A sweep in the background, ended with the test."""
        process = subprocess.Popen([paths.MAYFLY, "sweep", *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def sweep(self, *arguments, status=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=180)
        self.assertEqual(process.returncode, status, out + err)
        return out, err

    def rows(self):
        text = (self.out / "rows.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def wait_for_rows(self, count, process):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if (self.out / "rows.jsonl").read_bytes().count(b"\n") >= count:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        self.fail(f"no {count} rows: {process.communicate()}")


class Smoke(Sweeps):
    def test_rows_accounts_and_report(self):
        out, _ = self.sweep("--nfs", "2,8", "--rate", "20kpps,max,50%", *QUICK, "--out",
                            str(self.out))
        rows = self.rows()
        self.assertIn("12 points, 4 settings", out)
        settled = collections.Counter()
        for row in rows:
            if self.excused(row, rows):
                continue
            self.check_row(row)
            if not rowfile.DISTURBED & set(row["flags"]):
                settled[rowfile.key_of(row["point"]), row["repeat"]] += 1
        self.assertTrue(all(count == 1 for count in settled.values()), settled)
        points = {(r["point"]["nfs"], r["point"]["dispatch"], r["point"]["rate"], r["repeat"])
                  for r in rows if r["repeat"] < 2 and r["point"]["rate"] != "saturation"}
        self.assertEqual(points, {(n, d, r, k) for n in (2, 8) for d in ("futex", "semaphore")
                                  for r in (20_000, "max", "50%") for k in range(2)})
        self.check_rates(rows)
        self.check_report()
        self.assertFalse((self.out / "runs").exists())

    def excused(self, row, rows):
        """No saturation could be found, and the windows themselves say that others had the machine:
        then there is a row that says so, and the shares of saturation are rows that say so too."""
        if row["kind"] != "failed":
            return False
        search = [r["search"] for r in rows if r["point"]["rate"] == "saturation" and
                  {**r["point"], "rate": 0} == {**row["point"], "rate": 0}][-1]
        disturbed = sum(trial[3] for trial in search["trials"])
        return disturbed > len(search["trials"]) / 2

    def check_row(self, row):
        self.assertEqual(row["schema"], 1)
        self.assertEqual(row["alternative"], "mayfly")
        self.assertEqual(sorted(row["point"]), sorted(AXES))
        self.assertIn(row["kind"], ("measured", "saturation"), row.get("reason"))
        for key in ("started", "command", "seed"):
            self.assertTrue(row[key])
        self.assertEqual(row["config"]["wake"]["dispatch"], row["point"]["dispatch"])
        self.assertEqual(row["config"]["nfs"]["nf0"]["pool"]["max"], row["point"]["nfs"])
        self.assertTrue({"cpu", "cpus", "kernel"} <= row["host"].keys())
        self.assertTrue({"mayfly", "build", "dpdk"} <= row["versions"].keys())
        figures = row["figures"]
        packets = figures["packets"]
        # The books of a window: what was inside, came, left, was lost, is inside.
        self.assertEqual(packets["held_before"] + packets["rx"] + packets["originated"],
                         packets["tx"] + sum(packets["drops"].values()) + packets["held"])
        self.assertEqual(figures["nfs"]["returned"], row["point"]["nfs"])
        self.assertEqual(sum(count for _, count in figures["latency_buckets"]), packets["tx"])
        self.assertGreater(figures["seconds"], 0.199)

    def check_rates(self, rows):
        for row in rows:
            if row["point"]["rate"] == 20_000 and not row["flags"]:
                offered = row["figures"]["load"]["offered"] / row["figures"]["seconds"]
                self.assertAlmostEqual(offered, 20_000, delta=1000)
            if row["kind"] == "saturation":
                self.assertGreater(row["search"]["pps"], 1000)
                self.assertLessEqual(row["search"]["seconds"], 10 + 1)
        for row in rows:
            if row["point"]["rate"] == "50%" and row["kind"] == "measured":
                found = [r["rate_pps"] for r in rows if r["kind"] == "saturation" and
                         {**r["point"], "rate": 0} == {**row["point"], "rate": 0}]
                self.assertTrue(min(found) / 2 <= row["rate_pps"] <= max(found) / 2)

    def check_report(self):
        text = (self.out / "report.html").read_text(encoding="utf-8")
        self.assertIn("<svg", text)
        self.assertNotIn("http://", text.replace("http://www.w3.org", ""))
        self.assertGreater(len((self.out / "rows.csv").read_text().splitlines()), 24)


class Interrupted(Sweeps):
    ARGUMENTS = ["--nfs", "2,4,6", "--rate", "20kpps,max", *QUICK]
    ROWS = 3 * 2 * 2 * 2

    def finished(self):
        settled = {(rowfile.key_of(r["point"]), r["repeat"]) for r in self.rows()
                   if r["repeat"] < 2}
        self.assertEqual(len(settled), self.ROWS)

    def test_kill_9_and_resume(self):
        process = self.start(*self.ARGUMENTS, "--out", str(self.out))
        self.wait_for_rows(5, process)
        self.assertNotEqual(processes_of(process.pid), set())
        process.kill()
        process.wait()
        deadline = time.monotonic() + 15
        while processes_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(processes_of(process.pid), set(), "a killed sweep leaves its run behind")
        kept = (self.out / "rows.jsonl").read_bytes()
        with open(self.out / "rows.jsonl", "ab") as file:
            file.write(b'{"schema": 1, "point": {"nfs"')  # the kill came within a write
        self.sweep("--resume", str(self.out))
        self.assertTrue((self.out / "rows.jsonl").read_bytes().startswith(kept))
        self.finished()
        self.assertEqual([p.name for p in self.out.glob("runs")], [])

    def test_ctrl_c_keeps_what_is_done(self):
        process = self.start(*self.ARGUMENTS, "--out", str(self.out))
        self.wait_for_rows(2, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
        self.assertEqual(process.returncode, 130)
        self.assertIn(f"mayfly sweep --resume {self.out}", err)
        self.assertGreaterEqual(len(self.rows()), 2)
        self.sweep("--resume", str(self.out))
        self.finished()


class Refused(Sweeps):
    def refuse(self, *arguments):
        _, err = self.sweep(*arguments, status=2)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith("mayfly: sweep: "), err)
        return err

    def test_before_anything_runs(self):
        out = self.out / "new"
        self.assertIn("use up to", self.refuse("--nfs", "10000000", "--out", str(out)))
        self.assertIn("not", self.refuse("--trust", "telepathy", "--out", str(out)))
        self.assertFalse(out.exists())

    def test_a_folder_that_holds_a_sweep(self):
        (self.out / "rows.jsonl").write_text("")
        self.assertIn("--resume", self.refuse("--nfs", "2", "--out", str(self.out)))

    def test_nothing_to_resume(self):
        self.assertIn("plan.json", self.refuse("--resume", str(self.out)))
        self.assertIn("--repeat", self.refuse("--resume", str(self.out), "--repeat", "3"))

    def test_another_build_is_another_sweep(self):
        process = self.start("--nfs", "2", *QUICK, "--out", str(self.out))
        self.wait_for_rows(1, process)
        process.kill()
        process.wait()
        plan = json.loads((self.out / "plan.json").read_text())
        plan["versions"]["build"] = "0" * 16
        (self.out / "plan.json").write_text(json.dumps(plan))
        self.assertIn("another version", self.refuse("--resume", str(self.out)))


if __name__ == "__main__":
    unittest.main()
