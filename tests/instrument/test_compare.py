#!/usr/bin/env python3
"""`mayfly compare` as a user runs it, with two tenants and short windows: every alternative for
real, what is left behind (nothing), refusals, and the table of known rows."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import paths
import comparison
import rows as r

TOOLS = ("ip", "nft", "dpdk-testpmd")
QUICK = ["--tenants", "2", "--seconds", "0.15", "--repeat", "1", "--loss", "50%"]
NETNS = pathlib.Path("/run/netns")


def children_of(pid):
    """Every process of its session and those that it started."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found |= {int(entry)} | children_of(int(entry))
    return found


def threads_of(pid):
    try:
        return {(task / "comm").read_text().strip()
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}
    except OSError:
        return set()


def namespaces_of(pid):
    return [p.name for p in NETNS.glob(f"mayfly-compare-{pid}-*")]


def eventually(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


class Compares(unittest.TestCase):
    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-compare-test-"))
        self.addCleanup(shutil.rmtree, self.out, ignore_errors=True)

    def start(self, *arguments, **options):
        process = subprocess.Popen([paths.MAYFLY, "compare", *arguments, "--out", str(self.out)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **options)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def compare(self, *arguments, status=0, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, status, out + err)
        return process, out, err

    def rows(self):
        return [json.loads(line) for line in
                (self.out / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


class SideBySide(Compares):
    @unittest.skipIf(os.geteuid() or not all(map(shutil.which, TOOLS)),
                     f"needs root and {', '.join(TOOLS)}")
    def test_every_alternative_for_real(self):
        every = {"mayfly futex", "A: poll", "B: semaphore", "namespaces", "testpmd"}
        measured = set()
        # A machine that is busy with something else may carry nothing for a while.
        for _ in range(4):
            process, out, err = self.compare(*QUICK, "--dispatch", "futex", "--loads", "20%")
            rows = self.rows()
            self.assertEqual({row["alternative"] for row in rows}, every)
            for row in rows:
                if row["kind"] in ("failed", "refused"):
                    self.assertIn("packets lost", row["reason"], row)
                    continue
                self.check_figures(row)
                self.assertIn(row["alternative"], out)
            measured |= {row["alternative"] for row in rows if row["kind"] == "measured"}
            if measured == every:
                break
            shutil.rmtree(self.out)
        self.assertEqual(measured, every, out + err)
        self.assertTrue((self.out / "rows.csv").exists())
        self.assertIn("<svg", (self.out / "report.html").read_text(encoding="utf-8"))
        self.assertEqual(namespaces_of(process.pid), [])
        for folder in (tempfile.gettempdir(), "/var/run/dpdk"):
            self.assertEqual(list(pathlib.Path(folder).glob(f"mayfly-compare-{process.pid}-*")), [])

    def check_figures(self, row):
        figures = row["figures"]
        self.assertEqual(row["point"]["tenants"], 2)
        self.assertEqual(figures["latency_us"]["count"],
                         sum(count for _, count in figures["latency_buckets"]))
        self.assertGreater(figures["mpps"], 0)
        self.assertGreater(comparison.cpu_us_per_packet(figures), 0)
        self.assertGreater(figures["costs"]["start_ms"], 0)
        packets = figures["packets"]
        self.assertLessEqual(packets["tx"], packets["rx"] * 1.2)
        if row["alternative"] in ("namespaces", "testpmd"):
            self.assertEqual(figures["tenants"]["returned"], 2)
            self.assertEqual(figures["latency_us"]["count"], packets["tx"])
        else:
            self.assertEqual(figures["nfs"]["returned"], 4)  # two NFs a packet


@unittest.skipIf(os.geteuid() or not all(map(shutil.which, TOOLS)),
                 f"needs root and {', '.join(TOOLS)}")
class LeavesNothing(Compares):
    ONLY_NAMESPACES = ["--dispatch", "none", "--alternatives", "namespaces", "--tenants", "20",
                       "--seconds", "0.5"]

    def running(self, *arguments):
        """A comparison whose namespaces stand and whose generator runs."""
        process = self.start(*arguments)
        self.assertTrue(eventually(lambda: process.poll() is not None or (
            len(namespaces_of(process.pid)) == 22 and self.generators(process))))
        self.assertIsNone(process.poll())
        return process, self.generators(process)

    @staticmethod
    def generators(process):
        found = []
        for pid in children_of(process.pid):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("/mayfly-load"):
                    found.append(pid)
            except OSError:
                pass
        return found

    def gone(self, pids):
        return not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)

    def test_after_ctrl_c(self):
        process, generators = self.running(*self.ONLY_NAMESPACES)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, out + err)
        self.assertIn("interrupted", err)
        self.assertEqual(namespaces_of(process.pid), [])
        self.assertTrue(eventually(lambda: self.gone(generators)))

    def test_after_kill_9_the_next_one_clears_up(self):
        process, generators = self.running(*self.ONLY_NAMESPACES)
        process.kill()
        process.communicate()
        self.assertTrue(eventually(lambda: self.gone(generators)), "the generator outlives it")
        self.assertEqual(len(namespaces_of(process.pid)), 22)
        shutil.rmtree(self.out)
        self.compare(*QUICK, "--dispatch", "none", "--alternatives", "namespaces")
        self.assertEqual(namespaces_of(process.pid), [])

    def test_what_dies_is_a_row_and_the_others_go_on(self):
        process = self.start(*QUICK, "--seconds", "0.5", "--dispatch", "none", "--alternatives",
                             "testpmd,namespaces", "--loads", "20%")
        self.assertTrue(eventually(lambda: self.forwarder(process) and "source" in {
            name for pid in self.generators(process) for name in threads_of(pid)}))
        os.kill(self.forwarder(process), signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, out + err)
        failed = [row for row in self.rows() if row["kind"] == "failed"
                  and row["alternative"] == "testpmd"]
        self.assertEqual({row["point"]["rate"] for row in failed}, {"saturation", "20%"}, out + err)
        self.assertIn("dpdk-testpmd ended (-9)", failed[0]["reason"])
        self.assertIn("could not: ", out)
        self.assertTrue(any(row["alternative"] == "namespaces" for row in self.rows()))

    @staticmethod
    def forwarder(process):
        for pid in children_of(process.pid):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("/dpdk-testpmd"):
                    return pid
            except OSError:
                pass
        return None


class Refusals(Compares):
    ROWS = (
        (["--tenants", "ten"], '--tenants: "ten" is not a number of tenants'),
        (["--tenants", "100000"], "this host bears"),
        (["--alternatives", "ovs"], '--alternatives: "ovs" is not known here'),
        (["--dispatch", "smoke"], '--dispatch: "smoke" is not in this version'),
        (["--dispatch", "none", "--alternatives", "none"], "nothing to compare"),
        (["--loads", "120%"], '--loads: "120%" is no share of saturation'),
        (["--loads", "0.5"], '--loads: "0.5" is no share of saturation'),
        (["--seconds", "0"], '--seconds: "0" is no number from 0.1 to 60'),
        (["--size", "2000"], '--size: "2000" is not a frame size'),
        (["--repeat", "0"], '--repeat: "0" is not a number of repeats'),
        (["--nfs", "3"], "unrecognized arguments: --nfs"),
    )

    def test_one_line_and_nothing_started(self):
        for arguments, says in self.ROWS:
            with self.subTest(arguments):
                process, out, err = self.compare(*arguments, status=2)
                self.assertIn(says, err)
                self.assertEqual(err.count("\n"), 1, err)
                self.assertTrue(err.startswith("mayfly: compare: "), err)
                self.assertEqual(out, "")
                self.assertEqual(namespaces_of(process.pid), [])
                self.assertEqual(list(self.out.iterdir()), [])

    @unittest.skipIf(os.geteuid(), "needs root")
    def test_a_missing_tool_names_its_package(self):
        tools = tempfile.mkdtemp(prefix="mayfly-tools-")
        self.addCleanup(shutil.rmtree, tools)
        for tool in ("python3", "ip"):
            os.symlink(sys.executable if tool == "python3" else shutil.which(tool),
                       f"{tools}/{tool}")
        _, _, err = self.compare("--alternatives", "namespaces", status=2,
                                 env={**os.environ, "PATH": tools})
        self.assertIn("nft is not there; install it (apt-get install nftables)", err)

    @unittest.skipIf(os.geteuid(), "needs root, to give it up")
    def test_an_ordinary_user_is_told(self):
        os.chmod(self.out, 0o777)
        _, _, err = self.compare("--alternatives", "namespaces", status=2, user=65534,
                                 group=65534, extra_groups=())
        self.assertIn("needs root", err)


def row(name, tenants, rate, mpps, p99, **more):
    point = {"alternative": name, "tenants": tenants, "rate": rate}
    figures = {"mpps": mpps, "latency_us": {"p50": p99 / 2, "p99": p99},
               "cpu": {"vswitch": 0.5, "nf_cores": [0.25]},
               "costs": {"start_ms_per_tenant": 2.0, "kib_per_tenant": 100.0}}
    return {"schema": 1, "point": point, "repeat": 0, "kind": "measured", "flags": [],
            "figures": figures, "alternative": name, "order": 0, **more}


class Table(unittest.TestCase):
    ROWS = [row("mayfly futex", 10, "saturation", 4.0, 100, kind="saturation"),
            row("mayfly futex", 10, "50%", 2.0, 50),
            row("namespaces", 10, "saturation", 1.0, 400, kind="saturation", order=1),
            row("namespaces", 10, "50%", 0.5, 25, order=1),
            {**row("A: poll", 10, "50%", 0, 0, order=2), "kind": "failed", "figures": {},
             "reason": "not ready within 30 s"}]

    def lines(self):
        return comparison.table(comparison.ordered(r.points_of(self.ROWS)), self.ROWS)

    def test_ratios_are_by_the_first_of_mayflys(self):
        lines = self.lines()
        at = next(i for i, line in enumerate(lines) if line.strip().startswith("namespaces"))
        cells = [cell.strip() for cell in lines[at + 1].split("|")]
        head = [cell.strip() for cell in lines[0].split("|")]
        times = dict(zip(head, cells))
        self.assertEqual(times["Mpps"], "x 0.25")
        self.assertEqual(times["p99@50%"], "x 0.5")
        self.assertEqual(times["CPU@50%"], "x 4")
        self.assertEqual(times["KiB/tenant"], "x 1")
        self.assertIn("x: times mayfly futex's", lines)

    def test_what_could_not_be_has_its_reason(self):
        self.assertTrue(any("A: poll" in line and "could not: not ready within 30 s" in line
                            for line in self.lines()))

    def test_figures(self):
        drawn = comparison.drawn(r.points_of(self.ROWS), self.ROWS)
        keys = [figure.key for figure in drawn]
        self.assertIn("ratios-10", keys)
        ratios = drawn[keys.index("ratios-10")].svg
        self.assertTrue(re.search(r"×\s*0\.25", ratios), ratios[:2000])
        self.assertIn("could not", ratios)


if __name__ == "__main__":
    unittest.main()
