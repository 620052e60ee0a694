"""A tuning at work: measures what the search asks for, writes every window down, and proves what
was found in fresh runs that alternate between the old settings and the new."""
import dataclasses
import random
import sys

import bench
import goal as goals
import measure
import run
import saturation
import search
import stats
import tuned

TRIALS = 3  # of a rate, each time that a setting's highest one is looked for
RETRIES = 1  # of a window that the machine disturbed
CONFIRM_SEARCH_SECONDS = 30


class Tuning:
    """Measures what the search asks for, and writes it down."""

    def __init__(self, place, goal, how, rows, describe, bar):
        """`describe(wake, rate)`: what a row says besides its figures."""
        self.bench, self.goal, self.how = place, goal, how
        self._rows, self._describe, self.bar = rows, describe, bar
        self._repeats = {}
        self.top_pps = None  # highest rate that any setting bore so far
        self.rates_seen = []

    def look(self, candidate):
        """One window more of a candidate (or up to TRIALS, to find its highest rate)."""
        if self.goal.kind != goals.THROUGHPUT:
            candidate.windows.append(self.window(candidate.wake, self.bench.rate))
            return
        for _ in range(TRIALS):
            pps = candidate.bracket.next(self.top_pps)
            if pps is None:
                break
            window = self.window(candidate.wake, pps)
            passed = self.goal.passes(window)
            candidate.windows.append(window)
            candidate.bracket.tell(pps, window, passed)
            if passed:
                self.top_pps = max(self.top_pps, pps)

    def find_top(self, wake):
        """Where looking for the highest rate begins: a little below what the start bears at all."""
        figures, _ = self.bench.window(wake, self.how.warmup, self.how.window, "max")
        self.top_pps = max(goals.FLOOR_PPS, 0.7e6 * figures["mpps"])

    def window(self, wake, rate, seconds=None, phase="search"):
        for _ in range(1 + RETRIES):
            figures, cut = self.bench.window(wake, self.how.warmup,
                                             seconds or self.how.window, rate)
            window = goals.Window.of(figures, rate if rate != "max" else None,
                                     self._describe.jitter(figures, rate), cut)
            self.write(wake, rate, figures, cut, phase)
            if not window.disturbed or cut:
                break
        self.rates_seen.append(figures["packets"]["rx"] / max(figures["seconds"], 1e-9))
        self.bar.done(self.how.window + self.how.warmup)
        self.bar.say(f"{wake}: p99 {window.p99:.0f} us, {window.mpps:.3f} Mpps, "
                      f"{window.cpu:.2f} cores" + (f" [{cut}]" if cut else ""))
        return window

    def write(self, wake, rate, figures, cut, phase):
        kept = {**figures, "latency_buckets": [
            [float(f"{upper:.5g}"), count]
            for upper, count in stats.coarsen(figures.get("latency_buckets", []))]}
        flags = measure.disturbances(figures) + ["cut"] * bool(cut)
        self._rows.append(self._describe.row(wake, rate, kept, flags, phase))


class Describe:
    """What rows say about where they come from."""

    def __init__(self, load, host, mayfly, seed):
        self.load, self.seed = load, seed
        self.host, self.versions = measure.identity(host, mayfly)
        self.command = "mayfly tune " + " ".join(sys.argv[1:])

    def jitter(self, figures, rate):
        return 0.0 if not rate or rate == "max" else self.load.jitter(figures["seconds"], rate)

    def row(self, wake, rate, figures, flags, phase):
        text = None if rate is None else run.rate_text(rate)
        return {"schema": 1, "point": self.load.point(wake, rate), "repeat": 0, "phase": phase,
                "kind": "measured", "flags": flags, "figures": figures, "seed": self.seed,
                "alternative": "mayfly", "started": bench.now(), "command": self.command,
                "rate_pps": None if rate == "max" else rate,
                "config": self.load.config(wake, text if self.load.port else None),
                "host": self.host, "versions": self.versions}


class LiveLoad:
    """The traffic of a living run."""

    def __init__(self, r):
        self.name, self.port = r.name, None
        self._config = r.get("/v1/config")
        self.ring = self._config["ring_entries"]

    def jitter(self, seconds, pps):
        return 0.0

    def point(self, wake, rate):
        return {"run": self.name, "dispatch": wake.dispatch, "batch": wake.batch,
                "aging": wake.aging_text}

    def config(self, wake, rate):
        return {**self._config, "wake": {"dispatch": wake.dispatch, **bench.wake_body(wake)}}


# Proof --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Proof:
    """The same goal figure of both settings, from windows that alternate."""
    before: list
    after: list
    lower_is_better: bool
    after_met: bool
    before_met: bool

    def better(self):
        """By more than the spread of both; or it is within the bounds, and the old one is not."""
        if self.after_met != self.before_met:
            return self.after_met
        gain = stats.median(self.before) - stats.median(self.after)
        gain = gain if self.lower_is_better else -gain
        return gain > max(stats.mad(self.before), stats.mad(self.after),
                          0.01 * abs(stats.median(self.before)))


def prove(tuning, start, best, repeats, seed):
    """Fresh runs of both, in pairs whose order is random."""
    chance = random.Random(f"{seed}/proof")
    goal = tuning.goal
    seen = {start: [], best: []}
    for _ in range(repeats):
        pair = [start, best]
        chance.shuffle(pair)
        for wake in pair:
            tuning.bench.fresh(wake)
            if goal.kind == goals.THROUGHPUT:
                seen[wake].append(_highest(tuning, wake))
            else:
                seen[wake].append(tuning.window(wake, tuning.bench.rate,
                                                2 * tuning.how.window, "proof"))
    tuning.bench.stop()
    if goal.kind == goals.THROUGHPUT:
        return Proof(seen[start], seen[best], False, stats.median(seen[best]) > 0,
                     stats.median(seen[start]) > 0), "Mpps", 1e-6
    name, unit = ("cpu", "cores") if goal.kind == goals.LEAST_CPU else ("p99", "us")

    def met(windows):
        bound = goal.kind == goals.P99 or goal.value(windows, "p99") <= goal.p99
        return bound and goal.value(windows, "lost") <= goal.loss

    quiet = {wake: [w for w in windows if not w.disturbed] or windows
             for wake, windows in seen.items()}
    return Proof([getattr(w, name) for w in quiet[start]], [getattr(w, name) for w in quiet[best]],
                 True, met(quiet[best]), met(quiet[start])), unit, 1


def _highest(tuning, wake):
    """The highest rate of a setting within the goal's bounds, searched for in full."""
    def trial(pps):
        figures, _ = tuning.bench.window(wake, tuning.how.warmup, tuning.how.window, pps)
        tuning.write(wake, pps, figures, "", "proof")
        jitter = 0.0 if pps == "max" else tuning.bench.load.jitter(figures["seconds"], pps)
        return tuning.goal.trial(figures, pps, jitter)
    return saturation.Search(trial, trial, tuning.goal.loss, CONFIRM_SEARCH_SECONDS).run().pps


# All of it ----------------------------------------------------------------------------------------


def tune(tuning, space, start, points, seconds):
    """Searches and proves: (Search, recommended Wake, lines that say so)."""
    if tuning.goal.kind == goals.THROUGHPUT:
        tuning.find_top(start)
    s = search.Search(space, start, tuning.look, tuning.goal.score, tuning.how.seed, seconds)
    try:
        best = s.run(points).wake
    except KeyboardInterrupt:
        tell_interrupted(s, tuning)
        raise
    tuning.bench.stop()
    told = [f"goal: {tuning.goal.describe()}", f"start: {start}"]
    if best == start:
        return s, start, told + ["nothing better than the settings in use was found"]
    tuning.bar.more(2 * tuning.how.repeat * 2 * tuning.how.window)
    proof, unit, scale = prove(tuning, start, best, tuning.how.repeat, tuning.how.seed)
    before, after = stats.median(proof.before) * scale, stats.median(proof.after) * scale
    told.append(f"found: {best}")
    told.append(f"proof, {len(proof.before)} and {len(proof.after)} fresh windows, alternating: "
                f"{before:.4g} ± {stats.mad(proof.before) * scale:.3g} {unit} before, "
                f"{after:.4g} ± {stats.mad(proof.after) * scale:.3g} {unit} after "
                f"({tuned.ratio(before, after)})")
    if not proof.better():
        return s, start, told + ["not better beyond the spread: the settings in use stay"]
    if tuning.goal.kind == goals.P99 and after > tuning.goal.p99:
        told.append(f"the bound of {tuning.goal.p99:g} us is not met by any setting that was tried")
    elif not proof.after_met:
        told.append("the bounds are not met by any setting that was tried")
    return s, best, told


def tell_interrupted(s, tuning):
    ranked = s.ranked()
    if ranked:
        print(f"\nmayfly: interrupted; the best so far, not proved: {ranked[0].wake.section()}",
              file=sys.stderr)
