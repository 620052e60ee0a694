"""`mayfly compare`: the same load, in one run, interleaved, through Mayfly and what one could use
instead. docs/measuring.md says what each alternative is.

A cell is (alternative, number of tenants). Every repeat goes through all cells in an order of its
own; a cell finds its saturation and then measures shares of it, in random order, in one fresh start
of the alternative. What an alternative cannot do is a row with the reason."""
import argparse
import dataclasses
import datetime
import os
import random
import shutil
import signal
import sys
import time
import types

import comparison
import grid
import measure
import progress
import report
import rowfile
import rows as r
import run
import saturation
import stats
import sweep
from alternatives import AlternativeError, load, mayfly, namespaces, short, testpmd

OTHERS = ("A", "B", "namespaces", "testpmd")
TENANTS_MAX = 100_000
SECONDS = (0.1, 60)
REPEATS_MAX = 100
RETRIES = 1  # of a disturbed window
WARMUP_SHARE, WARMUP_MAX = 0.25, 0.5  # of the window, seconds
TRIAL_SHARE, TRIAL_MIN = 0.25, 0.15
SEARCH_WINDOWS = 15  # bound on a search, in windows' lengths
BUCKET_PRECISION = 0.02
INTERRUPTED = 130


@dataclasses.dataclass
class Workload:
    size: object
    arrival: str
    order: str
    seed: int
    nf: str
    chain: int


class Parser(argparse.ArgumentParser):
    """Errors are one line, as everywhere in Mayfly."""

    def error(self, message):
        raise grid.GridError(f"{message} (see mayfly compare --help)")


def parser():
    p = Parser(prog="mayfly compare", allow_abbrev=False,
                     description="The same load through Mayfly and its alternatives, interleaved.",
                     epilog="Values are separated by commas. See docs/measuring.md.")
    p.add_argument("--tenants", default="10,100,1000", metavar="N,...")
    p.add_argument("--dispatch", default="all", metavar="D,...",
                   help="Mayfly's dispatches (all: all under which NFs sleep)")
    p.add_argument("--alternatives", default=",".join(OTHERS), metavar="A,...",
                   help=f"{', '.join(OTHERS)}; or none (all)")
    p.add_argument("--loads", default="20%,50%,80%", metavar="L,...",
                   help="shares of each one's own saturation (20%%,50%%,80%%)")
    p.add_argument("--chain", default="2", metavar="N", help="NFs that a packet crosses (2)")
    p.add_argument("--nf", default="firewall", help="each tenant's NFs (firewall: ten rules)")
    p.add_argument("--size", default="64", help="frame bytes without FCS, imix or web (64)")
    p.add_argument("--arrival", default="constant", help="constant or poisson")
    p.add_argument("--order", default="round_robin", help="round_robin or uniform")
    p.add_argument("--batch", default=grid.AXES["batch"].default, help="of Mayfly's dispatches")
    p.add_argument("--aging", default=grid.AXES["aging"].default, help="of Mayfly's dispatches")
    p.add_argument("--loss", default="0.1%", help="that saturation may have (0.1%%)")
    p.add_argument("--seconds", default="2", help="length of a measuring window (2)")
    p.add_argument("--repeat", default="3", metavar="N", help="of each point (3)")
    p.add_argument("--seed", default="1", help="of all that is random")
    p.add_argument("--out", metavar="DIR", help="where rows and report go (compare-TIME)")
    return p


# Reading the command line -------------------------------------------------------------------------


def _option(name, parse, text):
    try:
        return parse(text)
    except (grid.GridError, ValueError) as error:
        raise grid.GridError(f"--{name}: {error}") from None


def _values(name, parse, text):
    values = [_option(name, parse, part.strip()) for part in text.split(",")]
    return list(dict.fromkeys(values))


def _between(low, high, example):
    def parse(text):
        try:
            value = float(text.removesuffix("s"))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise grid.GridError(f'"{text}" is no number from {low:g} to {high:g}; write for '
                                 f"example {example}")
        return value
    return parse


def _loads(text):
    share = grid.share(text)
    if not text.endswith("%") or not 0 < share <= 1:
        raise grid.GridError(f'"{text}" is no share of saturation; write for example 20%,50%,80%')
    return text


def _known(*words):
    def parse(text):
        if text not in words:
            raise grid.GridError(f'"{text}" is not known here; use {", ".join(words)}')
        return text
    return parse


class Plan:
    """What the command line asks for, checked against this host before anything is started."""

    def __init__(self, options, host, program):
        self.host, self.program = host, program
        axes = grid.AXES
        self.tenants = sorted(_values("tenants", lambda t: grid.integer(
            t, 1, TENANTS_MAX, "a number of tenants"), options.tenants))
        self.loads = _values("loads", _loads, options.loads)
        self.seconds = _option("seconds", _between(*SECONDS, "2"), options.seconds)
        self.loss = _option("loss", grid.share, options.loss)
        self.repeat = _option("repeat", lambda t: grid.integer(
            t, 1, REPEATS_MAX, "a number of repeats"), options.repeat)
        self.workload = Workload(
            size=_option("size", axes["size"].parse, options.size),
            arrival=_option("arrival", _known("constant", "poisson"), options.arrival),
            order=_option("order", _known("round_robin", "uniform"), options.order),
            seed=_option("seed", lambda t: grid.integer(t, 0, 10 ** 9, "a seed"), options.seed),
            nf=_option("nf", _known("firewall", "signature", "counter", "forward", "l3fwd"),
                       options.nf),
            chain=_option("chain", axes["chain"].parse, options.chain))
        self.settings = grid.Settings()
        context = types.SimpleNamespace(mayfly=program, cpus=host["cores"]["usable"],
                                        workload=self.workload, settings=self.settings)
        wake = [_option(a, axes[a].parse, getattr(options, a)) for a in ("batch", "aging")]
        self.alternatives = self._mayflies(context, options.dispatch, wake)
        self.alternatives += self._others(context, options.alternatives)
        if not self.alternatives:
            raise grid.GridError("nothing to compare; give --dispatch or --alternatives")
        self._check_host()

    def _mayflies(self, context, text, wake):
        known = self.host["dispatches"]
        names = []
        for name in [part.strip() for part in text.split(",")]:
            if name == "none":
                continue
            if name != "all" and name not in known:
                raise grid.GridError(f'--dispatch: "{name}" is not in this version; use '
                                     f"{', '.join(known)}, all (all that sleep) or none")
            names += [d for d in known if d != "poll"] if name == "all" else [name]
        # The default first: it is what the others are measured by.
        names = sorted(set(names), key=lambda d: (d != self.host["dispatch_default"],
                                                  known.index(d)))
        return [mayfly.Mayfly(context, f"mayfly {d}", d, *wake) for d in names]

    @staticmethod
    def _others(context, text):
        result = []
        for name in dict.fromkeys(part.strip() for part in text.split(",")):
            if name in mayfly.ARCHITECTURES:
                dispatch, batch, aging = mayfly.ARCHITECTURES[name]
                result.append(mayfly.Mayfly(context, f"{name}: {dispatch}", dispatch, batch, aging))
            elif name == "namespaces":
                result.append(namespaces.Namespaces(context))
            elif name == "testpmd":
                result.append(testpmd.Testpmd(context))
            elif name != "none":
                raise grid.GridError(f'--alternatives: "{name}" is not known here; use '
                                     f"{', '.join(OTHERS)} or none")
        return result

    def _check_host(self):
        cpus = self.host["cores"]["usable"]
        if len(cpus) < 2:
            raise grid.GridError("a comparison needs two CPUs, and this process may use "
                                 f"{len(cpus)}; give this machine or container another")
        for alternative in self.alternatives:
            name = alternative.name
            if alternative.needs_root and os.geteuid() != 0:
                raise grid.GridError(f"--alternatives {name}: needs root; run as root, or leave it "
                                     "out (--alternatives A,B,testpmd)")
            for tool, package in alternative.needs_tools.items():
                if not shutil.which(tool):
                    raise grid.GridError(f"--alternatives {name}: {tool} is not there; install it "
                                         f"(apt-get install {package}), or leave {name} out")
            if not isinstance(alternative, mayfly.Mayfly) and \
                    not os.access(load.program(self.program), os.X_OK):
                raise grid.GridError(f"--alternatives {name}: {load.program(self.program)} is not "
                                     "there: build it (tools/build)")
        most, why = grid.most_nfs(self.host)
        nfs = self.tenants[-1] * self.workload.chain
        if nfs > most:
            raise grid.GridError(f"--tenants {self.tenants[-1]}: in chains of "
                                 f"{self.workload.chain} these are {nfs} NFs, and this host bears {most} ({why})")

    def cells(self):
        return [(n, a) for n in self.tenants for a in self.alternatives]

    def nominal(self, tenants):
        """About how long one cell takes, in seconds."""
        search = 7 * self.seconds
        return 1 + tenants * 0.003 + search + len(self.loads) * self.seconds * 1.3


# Measuring ----------------------------------------------------------------------------------------


class Comparer:
    def __init__(self, plan, rows, say):
        self.plan, self.rows, self.say = plan, rows, say
        self.warmup = min(WARMUP_MAX, WARMUP_SHARE * plan.seconds)
        self.trial_seconds = max(TRIAL_MIN, TRIAL_SHARE * plan.seconds)
        self.host, self.versions = measure.identity(plan.host, plan.program)
        self.random = random.Random(plan.workload.seed)
        self.given_up = set()

    def cell(self, alternative, tenants, repeat):
        """All windows of one cell in one repeat."""
        if (alternative.name, tenants) in self.given_up:
            return
        self.alternative, self.tenants, self.repeat = alternative, tenants, repeat
        self.written, self.pending = [], [r.SATURATION, *self.plan.loads]
        self.target = self.search = None
        try:
            self.target = alternative.target(tenants)
            with self.target:
                self._measure()
                self._check()
        except (AlternativeError, run.RunError, OSError) as error:
            reason = short(error)
            if not self.written:
                self.given_up.add((alternative.name, tenants))
            for rate in list(self.pending):
                more = {"search": self.search} if self.search and rate == r.SATURATION else {}
                self._row("failed", rate, None, reason=reason, **more)

    def _measure(self):
        target, plan = self.target, self.plan
        found = saturation.Search(self._trial(self.trial_seconds), self._trial(plan.seconds),
                                  plan.loss, SEARCH_WINDOWS * plan.seconds).run()
        search = {"pps": found.pps, "loss_bound": plan.loss, "seconds": found.seconds,
                  "complete": found.complete, "trials": found.trials}
        if found.trial is None:
            self.search = search
            raise AlternativeError(
                f"no rate was confirmed with at most {plan.loss * 100:.3g} % of the packets lost "
                f"({len(found.trials)} trials in {found.seconds:.0f} s)")
        flags = [] if found.complete else ["search_bound"]
        flags += measure.disturbances(found.trial.figures)
        self._row("saturation", r.SATURATION, found.trial.figures, flags, rate_pps=found.pps,
                  search=search)
        loads = list(plan.loads)
        self.random.shuffle(loads)
        for rate in loads:
            pps = found.pps * grid.share(rate)
            target.set_rate(pps)
            for _ in range(1 + RETRIES):
                figures = target.window(self.warmup, plan.seconds)
                flags = measure.disturbances(figures)
                self._row("measured", rate, figures, flags, rate_pps=pps)
                if not flags:
                    break

    def _trial(self, seconds):
        point = {"arrival": self.plan.workload.arrival}

        def trial(pps):
            self.target.set_rate(pps)
            figures = self.target.window(self.warmup, seconds)
            loose = 0.0 if pps == "max" else measure.jitter(point, figures["seconds"], pps)
            return saturation.judge(figures, pps, loose, bool(measure.disturbances(figures)))
        return trial

    def _check(self):
        """What the alternative says of itself at its end. A wrong sum spoils what it measured."""
        try:
            self.target.check()
        except run.RunError as error:
            self.rows.flag(self.written, "accounts")
            self.say(f"{self.alternative.name}: {short(error)}")

    def _row(self, kind, rate, figures, flags=(), **more):
        load_ = self.plan.workload
        point = {"alternative": self.alternative.name, "tenants": self.tenants, "nf": load_.nf,
                 "chain": load_.chain, "size": load_.size, "arrival": load_.arrival,
                 "order": load_.order, "rate": rate}
        if figures:
            buckets = stats.coarsen(figures.get("latency_buckets", []), BUCKET_PRECISION)
            figures = {**figures, "costs": self.target.costs(), "latency_buckets": [
                [float(f"{upper:.4g}"), count] for upper, count in buckets]}
        row = {"schema": 1, "point": point, "repeat": self.repeat, "kind": kind,
               "flags": list(flags), "figures": figures, **more,
               "alternative": self.alternative.name,
               "order": self.plan.alternatives.index(self.alternative), "seed": load_.seed,
               "started": datetime.datetime.now(datetime.timezone.utc).isoformat(
                   timespec="milliseconds"), "command": self.plan.command,
               "config": getattr(self.target, "config", None), "host": self.host,
               "versions": self.versions}
        self.rows.append(row)
        if kind in ("measured", "saturation"):
            self.written.append(row)
        if rate in self.pending:
            self.pending.remove(rate)
        self.say(_line(row))


def _line(row):
    point, figures = row["point"], row["figures"]
    words = (f"{point['alternative']}, {point['tenants']} tenants, {point['rate']} "
             f"#{row['repeat'] + 1}: ")
    if not figures:
        return words + f"{row['kind']}: {row['reason']}"
    latency = figures["latency_us"]
    return (words + f"{figures['mpps']:.3f} Mpps, p50 {latency['p50']:.0f} p99 "
            f"{latency['p99']:.0f} us" + (f" [{' '.join(row['flags'])}]" if row["flags"] else ""))


def measure_all(plan, folder):
    bar = progress.Progress(plan.repeat * sum(plan.nominal(n) for n, _ in plan.cells()))
    with rowfile.RowFile(folder / sweep.ROWS_FILE) as rows:
        comparer = Comparer(plan, rows, bar.say)
        try:
            for repeat in range(plan.repeat):
                cells = plan.cells()
                comparer.random.shuffle(cells)
                for tenants, alternative in cells:
                    comparer.cell(alternative, tenants, repeat)
                    bar.done(plan.nominal(tenants))
        finally:
            _release(plan.alternatives)
            bar.end()


def _release(alternatives):
    """Gives back what alternatives keep, all of it, whatever the user presses meanwhile."""
    old = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM,
                                                         signal.SIGHUP)}
    for alternative in alternatives:
        try:
            alternative.release()
        except (AlternativeError, OSError) as error:
            print(f"mayfly: compare: {alternative.name}: {error}", file=sys.stderr)
    for number, handler in old.items():
        signal.signal(number, handler)


# The command --------------------------------------------------------------------------------------


def start(argv):
    options = parser().parse_args(argv)
    program = run.MAYFLY
    if not os.access(program, os.X_OK):
        raise grid.GridError(f"{program} is not there: build it (tools/build)")
    plan = Plan(options, sweep.host_facts(program), program)
    plan.command = " ".join(["mayfly compare", *argv])
    options.out = options.out or time.strftime("compare-%Y%m%d-%H%M%S")
    folder = sweep.prepare_folder(options)
    print(f"{folder}: {len(plan.cells())} cells ({', '.join(a.name for a in plan.alternatives)}; "
          f"{', '.join(map(str, plan.tenants))} tenants), {plan.repeat} repeats of "
          f"{plan.seconds:g} s windows", flush=True)
    interrupted = False
    try:
        measure_all(plan, folder)
    except KeyboardInterrupt:
        interrupted = True
        print(f"\nmayfly: compare: interrupted; what was measured is in {folder}", file=sys.stderr)
    if (folder / sweep.ROWS_FILE).stat().st_size:
        rows, _ = r.read(folder / sweep.ROWS_FILE)
        print("\n".join(comparison.table(comparison.ordered(r.points_of(rows)), rows)))
        print(report.make(folder))
    return INTERRUPTED if interrupted else 0


def _interrupt(*_):
    raise KeyboardInterrupt


def main(argv):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return start(argv)
    except grid.GridError as error:
        print(f"mayfly: compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
