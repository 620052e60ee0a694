#!/usr/bin/env python3
"""Tuning: the search on known functions, goals and brackets, and what happens to a living run."""
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import paths
import goal
import grid
import living
import loads
import run
import rows
import search
import tune
import tuned
import waking

SPACE = waking.Space(("eventfd", "futex", "semaphore"), (1, 64), (20, 2000))
START = waking.Wake("futex", 8, 200)
BATONS = waking.Space(("baton", "futex"), (1, 64), (20, 2000), idles=(0, 50, 200, 1000),
                      eager=(True, False))


def window(p99=100.0, cpu=1.0, lost=0.0, mpps=1.0, **more):
    return goal.Window(p99, cpu, lost, mpps, **more)


class Valley:
    """A latency with one lowest point, and noise: each halving or doubling away from it costs half
    again; the wrong dispatch, twice. Every tenth window is disturbed and ten times worse."""

    def __init__(self, best, seed, noise=0.05):
        self.best, self.noise = best, noise
        self.chance = random.Random(seed)
        self.windows = 0

    def true(self, wake):
        batch = 4 if wake.batch == waking.ADAPTIVE else wake.batch
        away = abs(math.log2(batch / self.best.batch)) + abs(math.log2(wake.aging / self.best.aging))
        return 50 * 1.5 ** away * (1 if wake.dispatch == self.best.dispatch else 2)

    def measure(self, candidate):
        self.windows += 1
        disturbed = self.windows % 10 == 0
        p99 = self.true(candidate.wake) * math.exp(self.chance.gauss(0, self.noise))
        candidate.windows.append(window(p99 * (10 if disturbed else 1), disturbed=disturbed))


class SearchOnKnownFunctions(unittest.TestCase):
    def search(self, valley, seed, points=27, kind=goal.P99):
        aim = goal.Goal(kind, 1e6)
        return search.Search(SPACE, START, valley.measure, aim.score, seed).run(points)

    def test_it_comes_near_the_lowest_point(self):
        good = 0
        for seed in range(20):
            chance = random.Random(f"best{seed}")
            best = SPACE.at(chance.choice(SPACE.dispatches), math.exp(chance.uniform(0, 4.1)),
                            math.exp(chance.uniform(3, 7.6)))
            valley = Valley(best, seed)
            found = self.search(valley, seed).wake
            good += valley.true(found) < 1.35 * valley.true(best)
            self.assertLess(valley.windows, sum(search.nominal_windows(27)) + 60)
        self.assertGreaterEqual(good, 18)

    def test_it_spends_its_windows_better_than_chance(self):
        ours = theirs = 0.0
        for seed in range(10):
            chance = random.Random(f"rival{seed}")
            best = SPACE.at(chance.choice(SPACE.dispatches), math.exp(chance.uniform(0, 4.1)),
                            math.exp(chance.uniform(3, 7.6)))
            valley = Valley(best, seed)
            ours += math.log(valley.true(self.search(valley, seed).wake) / 50)
            rival = Valley(best, seed)
            tried = [search.Candidate(w) for w in SPACE.sample(valley.windows // 3, seed + 99)]
            for candidate in tried:
                for _ in range(3):
                    rival.measure(candidate)
            aim = goal.Goal(goal.P99, 1e6)
            theirs += math.log(rival.true(min(tried, key=aim.score).wake) / 50)
        self.assertLess(ours, 0.6 * theirs)

    def test_where_nothing_helps_the_start_or_its_equal_is_found(self):
        flat = Valley(START, 3)
        flat.true = lambda wake: 100.0
        self.assertEqual(self.search(flat, 3).wake.dispatch in SPACE.dispatches, True)

    def test_a_bound_that_only_few_settings_keep(self):
        """CPU falls with the batch, p99 grows with it: the best is the largest batch within."""
        def measure(candidate):
            batch = 4 if candidate.wake.batch == waking.ADAPTIVE else candidate.wake.batch
            candidate.windows.append(window(p99=10.0 * batch, cpu=1 / batch))
        aim = goal.Goal(goal.LEAST_CPU, 200.0)
        for seed in range(5):
            found = search.Search(SPACE, START, measure, aim.score, seed).run(27)
            self.assertLessEqual(found.wake.batch, 20)
            self.assertGreaterEqual(found.wake.batch, 17)

    def test_time_that_is_up_ends_the_refinement(self):
        now = [0.0]

        def measure(candidate):
            now[0] += 1
            candidate.windows.append(window())
        s = search.Search(SPACE, START, measure, goal.Goal(goal.P99, 1e6).score, 1, seconds=10,
                          clock=lambda: now[0])
        s.run(9)
        self.assertEqual(now[0], search.nominal_windows(9)[0])

    def test_the_budget_decides_how_many_points(self):
        self.assertEqual(search.points_for(1, 1, 1, 3), 8)
        self.assertEqual(search.points_for(1e6, 1, 1, 3), 81)
        many, few = search.points_for(200, 1, 1, 3), search.points_for(150, 1, 1, 3)
        self.assertGreater(many, few)
        self.assertLessEqual(sum(search.nominal_windows(many)), 200)


class OfTheBaton(unittest.TestCase):
    """Idle time and eagerness: a few values, each a run of its own."""

    def test_only_the_baton_has_them(self):
        found = BATONS.sample(60, 3)
        self.assertTrue(all(BATONS.contains(w) for w in found))
        self.assertEqual({w.idle for w in found if w.dispatch == "baton"}, set(BATONS.idles))
        self.assertEqual({w.eager for w in found if w.dispatch == "baton"}, {True, False})
        self.assertEqual({(w.idle, w.eager) for w in found if w.dispatch == "futex"},
                         {(None, None)})
        self.assertEqual(BATONS.runs(), 4 * 2 + 1)
        self.assertEqual(waking.idles_between(0, 500), (0, 50, 200, 500))
        self.assertEqual(waking.idles_between(100, 100), (100,))

    def test_neighbours_take_one_step_along_one_axis(self):
        wake = waking.Wake("baton", 8, 200, 50, True)
        own = {w.run_key for w in BATONS.near(wake, 2.0)}
        self.assertEqual(own, {("baton", 50, True), ("baton", 0, True), ("baton", 200, True),
                               ("baton", 50, False), ("futex", None, None)})
        self.assertEqual({w.run_key for w in BATONS.near(wake, 1.41)}, {wake.run_key})
        self.assertIn(("baton", 200, True), {w.run_key for w in BATONS.near(START, 2.0)})

    def test_the_best_is_found(self):
        """Each idle time away from the best costs a fifth; the wrong eagerness a half."""
        for seed in range(6):
            best = waking.Wake("baton", 1, 100, BATONS.idles[seed % 4], seed % 2 == 0)
            valley = Valley(best, seed, noise=0.02)
            plain = valley.true

            def true(wake, plain=plain, best=best):
                if wake.dispatch != "baton":
                    return plain(wake)
                steps = abs(BATONS.idles.index(wake.idle) - BATONS.idles.index(best.idle))
                return plain(wake) * 1.2 ** steps * (1 if wake.eager == best.eager else 1.5)
            valley.true = true
            found = search.Search(BATONS, START, valley.measure, goal.Goal(goal.P99, 1e6).score,
                                  seed).run(40).wake
            self.assertLess(true(found), 1.5 * true(best), found)

    def test_it_reads_back(self):
        self.assertEqual(waking.Wake("baton", 4, 150, 50, False).section(),
                         "wake: { dispatch: baton, batch: 4, aging: 150us, "
                         "baton: { idle: 50us, eager: false } }")

    def test_what_else_the_user_said_of_the_baton_stays(self):
        host = {"dispatch_default": "futex"}
        said = tune.start_of("baton", "4", "1ms", "20us", "false", host)
        self.assertEqual(said, waking.Wake("baton", 4, 1000, 20, False))
        self.assertEqual(tune.start_of("baton", None, None, None, None, host).run_key,
                         ("baton", 200, True))
        self.assertEqual(loads._section(said, {"budget": "64", "idle": "20us"})["baton"],
                         {"budget": "64", "idle": "20us", "eager": False})
        self.assertNotIn("baton", loads._section(START))


class Spaces(unittest.TestCase):
    def test_samples_are_different_within_bounds_and_spread(self):
        found = SPACE.sample(60, 7)
        self.assertEqual(len(set(found)), 60)
        self.assertTrue(all(SPACE.contains(w) for w in found))
        self.assertEqual({w.dispatch for w in found}, set(SPACE.dispatches))
        for low, high in ((1, 8), (8, 64)):
            self.assertGreater(sum(low <= w.batch <= high for w in found
                                   if w.batch != waking.ADAPTIVE), 12)
        for low, high in ((20, 200), (200, 2000)):
            self.assertGreater(sum(low <= w.aging <= high for w in found), 20)
        self.assertIn(waking.ADAPTIVE, {w.batch for w in found})
        self.assertEqual(found, SPACE.sample(60, 7))
        self.assertNotEqual(found, SPACE.sample(60, 8))

    def test_a_space_of_few_points_gives_them_all(self):
        tiny = waking.Space(("futex",), (1, 2), (100, 100), adaptive=False)
        self.assertEqual(set(tiny.sample(50, 1)),
                         {waking.Wake("futex", 1, 100), waking.Wake("futex", 2, 100)})

    def test_neighbours_stay_inside(self):
        for wake in SPACE.sample(40, 3) + [waking.Wake("futex", 8, None)]:
            for step in (2.0, 1.41, 1.19):
                near = SPACE.near(wake, step)
                self.assertTrue(near)
                self.assertNotIn(wake, near)
                self.assertTrue(all(SPACE.contains(w) for w in near))

    def test_it_reads_back(self):
        self.assertEqual(waking.Wake("futex", 4, 150).section(),
                         "wake: { dispatch: futex, batch: 4, aging: 150us }")


class Goals(unittest.TestCase):
    def candidate(self, *windows):
        return search.Candidate(START, list(windows))

    def test_within_bounds_comes_first_and_then_by_value(self):
        aim = goal.Goal(goal.LEAST_CPU, 500, 0.001)
        order = [self.candidate(window(p99=400, cpu=0.5)), self.candidate(window(p99=100, cpu=0.9)),
                 self.candidate(window(p99=600, cpu=0.1)), self.candidate(window(p99=5000, cpu=0.1)),
                 self.candidate(window(p99=10, cpu=0.1, cut="p99 above 4000 us")),
                 self.candidate()]
        shuffled = order[:]
        random.Random(1).shuffle(shuffled)
        self.assertEqual(sorted(shuffled, key=aim.score), order)

    def test_one_disturbed_window_says_nothing(self):
        aim = goal.Goal(goal.P99, 500)
        good = self.candidate(window(p99=100), window(p99=9000, disturbed=True), window(p99=110))
        self.assertEqual(aim.score(good)[:2], (0, 105))
        self.assertTrue(aim.met(aim.score(good)))
        self.assertFalse(aim.met(aim.score(self.candidate(window(p99=600)))))

    def test_lost_is_not_what_an_nf_was_asked_to_drop(self):
        figures = {"packets": {"drops": {"nf_drop": 50, "no_tenant": 5, "nf_ring_full": 10},
                               "rx": 1000}, "load": {"offered": 900}, "seconds": 1.0}
        self.assertAlmostEqual(goal.lost_of(figures, None), 0.01)
        self.assertAlmostEqual(goal.lost_of(figures, 1000), (10 + 36) / 1000)

    def test_a_bracket_closes_on_what_is_borne(self):
        for capacity in (3_000, 990_000, 7_000_000):
            bracket = goal.Bracket()
            for _ in range(30):
                pps = bracket.next(500_000)
                if pps is None:
                    break
                bracket.tell(pps, window(), pps <= capacity)
            self.assertLessEqual(bracket.low, capacity)
            self.assertGreater(bracket.low, capacity / goal.CLOSE / 1.001)

    def test_an_unlucky_failure_is_forgiven(self):
        bracket = goal.Bracket()
        bracket.tell(100, window(), False)
        bracket.tell(100, window(), True)
        self.assertEqual((bracket.low, bracket.high), (100, None))

    def test_the_front(self):
        aim = goal.Goal(goal.P99, 500)
        points = [(100, 1.0), (90, 1.2), (200, 0.5), (210, 0.6), (100, 1.1), (90, 1.3)]
        found = tuned.pareto([self.candidate(window(p99=p, cpu=c)) for p, c in points], aim)
        self.assertEqual([(c.windows[0].p99, c.windows[0].cpu) for c in found],
                         [(90, 1.2), (100, 1.0), (200, 0.5)])


class BadInput(unittest.TestCase):
    def test_rows(self):
        table = [
            ([], "no goal"),
            (["--p99", "500"], "has no unit"),
            (["--p99", "1h"], "out of bounds"),
            (["--p99", "1ms"], "nothing to tune"),
            (["--p99", "1ms", "--throughput", "--least-cpu"], "two goals"),
            (["--p99", "1ms", "--throughput", "--rate", "1Mpps"], "leave it away"),
            (["--p99", "1ms", "--nfs", "8", "--rate", "max"], "no latency"),
            (["--p99", "1ms", "--nfs", "8,9"], "one value"),
            (["--p99", "1ms", "--nfs", "100000000"], "more than this host bears"),
            (["--p99", "1ms", "--nfs", "8", "--batch", "0..8"], "--batch"),
            (["--p99", "1ms", "--nfs", "8", "--batch", "9..8"], "begins above its end"),
            (["--p99", "1ms", "--nfs", "8", "--aging", "1..2"], "has no unit"),
            (["--p99", "1ms", "--nfs", "8", "--dispatch", "telepathy"], "not in this version"),
            (["--p99", "1ms", "--nfs", "8", "--dispatch", "futex", "--idle", "0us..1ms"],
             "--idle is of dispatch baton"),
            (["--p99", "1ms", "--nfs", "8", "--idle", "1ms..0us"], "begins above its end"),
            (["--p99", "1ms", "--nfs", "8", "--eager", "perhaps"], "--eager"),
            (["--p99", "1ms", "--live", "--idle", "0us..1ms"], "does not go with --live"),
            (["--p99", "1ms", "--nfs", "8", "--name", "x"], "--live"),
            (["--p99", "1ms", "--live", "--nfs", "8"], "does not go with --live"),
            (["--p99", "1ms", "--live"], "within which bounds"),
            (["--p99", "1ms", "--live", "--name", "nobody", "--batch", "1..8", "--aging",
              "20us..1ms"], "there is no such run"),
            (["--p99", "1ms", "nothing.yaml"], "nothing.yaml"),
            (["--p99", "1ms", "--nfs", "8", "--fast"], "--fast: there is no such option"),
        ]
        with tempfile.TemporaryDirectory() as folder:
            for arguments, word in table:
                done = subprocess.run([paths.MAYFLY, "tune", *arguments], text=True, timeout=60,
                                      capture_output=True, check=False, cwd=folder)
                self.assertEqual(done.returncode, 2, (arguments, done.stderr))
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(word, done.stderr, arguments)
                self.assertEqual(os.listdir(folder), [])


CONFIG = """
ring: 64
ports:
  - { name: load, gen: { flows: 16, rate: 20kpps } }
nfs:
  sig: { image: signature, pool: { idle: 16, max: 16 } }
  fw:  { image: firewall, pool: { idle: 16, max: 16 }, args: { rules: sub/../some.rules } }
chains:
  path: { nfs: [sig, fw] }
flows:
  - { match: { port: load }, instance_per: src_ip, chain: path, out: load }
wake: { dispatch: futex, batch: 40, aging: off }
"""


class WithMayfly(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-tune-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def config(self):
        inner = self.folder / "tree" / "inner"
        (inner / "sub").mkdir(parents=True)
        (inner / "some.rules").write_text("default allow\n", encoding="utf-8")
        (inner / "user.yaml").write_text(CONFIG, encoding="utf-8")
        return inner / "user.yaml"

    def tune(self, *arguments):
        out = self.folder / "out"
        done = subprocess.run(
            [paths.MAYFLY, "tune", "--p99", "100ms", "--budget", "1s", "--window", "100ms",
             "--warmup", "20ms", "--repeat", "2", "--out", str(out), *arguments],
            text=True, timeout=200, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out, done.stdout

    def check_folder(self, out):
        """Everything that is promised, and the recommended section as a configuration has it."""
        for name in tuned.FILES:
            self.assertTrue((out / name).read_text(encoding="utf-8"), name)
        self.assertIn("<svg", (out / "front.svg").read_text(encoding="utf-8"))
        all_rows, notes = rows.read(out / "rows.jsonl")
        self.assertEqual(notes, [])
        section = (out / "wake.yaml").read_text(encoding="utf-8").splitlines()[-1]
        match = re.fullmatch(r"wake: \{ dispatch: (\w+), batch: (\w+), aging: (\w+)"
                             r"(, baton: \{ idle: \w+, eager: \w+ \})? \}", section)
        self.assertTrue(match, section)
        return all_rows, section

    def test_a_configuration_of_the_users(self):
        """Its files lie beside it; ageing off and a batch of 40 of 64: anything is better."""
        out, text = self.tune(str(self.config()), "--dispatch", "futex,semaphore")
        all_rows, section = self.check_folder(out)
        self.assertIn("recommended", text)
        self.assertIn(section, text)
        self.assertNotIn("batch: 40, aging: off", section)
        self.assertEqual({row["point"]["config"] for row in all_rows}, {"user.yaml"})
        self.assertIn("proof", {row["phase"] for row in all_rows})
        edited = self.config_with(section)
        done = subprocess.run([paths.MAYFLY, "run", str(edited), "--check"], capture_output=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        leftovers = [p for p in (self.folder / "tree" / "inner").iterdir()
                     if p.name not in ("sub", "some.rules", "user.yaml", "edited.yaml")]
        self.assertEqual(leftovers, [])

    def config_with(self, section):
        file = self.folder / "tree" / "inner" / "edited.yaml"
        file.write_text(re.sub(r"wake:.*", section, CONFIG), encoding="utf-8")
        return file

    def test_a_synthetic_load_and_its_highest_rate(self):
        out, text = self.tune("--nfs", "8", "--throughput", "--dispatch", "futex", "--repeat", "1")
        all_rows, _ = self.check_folder(out)
        self.assertIn("highest rate", text)
        self.assertGreater(max(row["rate_pps"] or 0 for row in all_rows), 10_000)

    def test_the_baton_with_what_is_its_own(self):
        out, text = self.tune("--nfs", "4", "--rate", "20kpps", "--dispatch", "baton", "--idle",
                              "0us..200us", "--eager", "true", "--repeat", "1")
        all_rows, _ = self.check_folder(out)
        tried = {row["point"].get("idle") for row in all_rows if row["point"]["dispatch"] == "baton"}
        self.assertGreater(len(tried), 1)
        for row in all_rows:
            if row["point"]["dispatch"] == "baton":
                self.assertEqual(row["config"]["wake"]["baton"],
                                 {key: row["point"][key] for key in ("idle", "eager")})
        self.assertIn("baton, idle", text)

    def living(self):
        """A run of somebody else's, and its wake settings."""
        r = run.Run({**loads._read(self.config()), "wake": {"batch": "40", "aging": "5ms"}},
                    files={"some.rules": "default allow\n"})
        (self.folder / "sub").mkdir(exist_ok=True)
        original = r._lay_out

        def lay_out():
            (r.folder / "sub").mkdir()
            return original()
        r._lay_out = lay_out
        r.__enter__()
        self.addCleanup(r.__exit__, None, None, None)
        return r

    def begin(self, r, *arguments):
        """A tuning of `r` that will take long."""
        process = subprocess.Popen(
            [paths.MAYFLY, "tune", "--live", "--name", r.name, "--p99", "50ms", "--batch", "1..16",
             "--aging", "50us..1ms", "--window", "100ms", "--warmup", "20ms", "--out",
             str(self.folder / "live"), *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return process

    def until(self, condition, what, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        self.fail(f"not within {seconds} s: {what}")

    def test_live_puts_back_however_it_ends(self):
        r = self.living()
        found = r.get("/v1/wake")
        self.assertEqual((found["batch"], found["aging"]), (40, "5ms"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signal=number):
                shutil.rmtree(self.folder / "live", ignore_errors=True)
                process = self.begin(r, "--budget", "60s")
                self.until(lambda: r.get("/v1/wake") != found, "it tries other settings")
                time.sleep(0.3)
                process.send_signal(number)
                _, errors = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 130 if number != signal.SIGKILL else -9, errors)
                self.until(lambda: r.get("/v1/wake") == found, "the old settings are back", 15)
        r.stop()

    def test_live_to_its_end_and_applied(self):
        r = self.living()
        found = r.get("/v1/wake")
        process = self.begin(r, "--budget", "1s", "--repeat", "3")
        output, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn("put back", output)
        self.assertEqual(r.get("/v1/wake"), found)
        tried = {(row["point"]["batch"], row["point"]["aging"])
                 for row in rows.read(self.folder / "live" / "rows.jsonl")[0]}
        self.assertGreater(len(tried), 5)
        for batch, aging in tried - {(40, "5000us")}:
            self.assertTrue(batch == waking.ADAPTIVE or 1 <= batch <= 16, batch)
            self.assertTrue(50e-6 <= grid.seconds(aging) <= 1e-3, aging)
        shutil.rmtree(self.folder / "live")
        process = self.begin(r, "--budget", "1s", "--repeat", "3", "--apply")
        output, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors)
        if "applied" in output:  # a batch of 40 and 5 ms: nearly everything is better
            self.assertNotEqual(r.get("/v1/wake"), found)
        r.stop()

    def test_a_run_that_ends_meanwhile(self):
        r = self.living()
        found = r.get("/v1/wake")
        process = self.begin(r, "--budget", "60s")
        self.until(lambda: r.get("/v1/wake") != found, "it tries other settings")
        r.stop()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertEqual(errors.strip().splitlines()[-1].count("Traceback"), 0)


if __name__ == "__main__":
    if not os.access(paths.MAYFLY, os.X_OK):
        sys.exit(77)
    unittest.main(verbosity=2)
