"""mayfly tune: finds the wake settings for a load and a goal.

How it searches: search.py. What is found is then compared with what was in use, in fresh runs that
alternate between the two; it is recommended only if it is better there by more than the spread of
both."""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

import bench
import goal as goals
import grid
import living
import loads
import progress
import rowfile
import run
import search
import sweep
import tuned
import tuning
import waking

BAD_INPUT, INTERRUPTED = 2, 130
SYNTHETIC = ("nfs", "active", "chain", "nf", "size", "arrival", "order", "cost", "trust", "cores",
             "downstream")
GUARD = 4.0  # times the bound, or what the start had: a try that does worse is cut short
GUARD_PACKETS = 100
METHOD = """\
The search: successive halving over a space-filling start (a Halton sequence over dispatch, batch
and ageing, plus the settings in use), which gives most windows to the settings that may win; then
local refinement, one step along each axis from the best, with steps that shrink. Windows are in
random order; those during which the machine was stolen from are measured again. The best is then
proved against the settings in use, in fresh runs that alternate between both."""


class Parser(sweep.Parser):
    def error(self, message):
        if message.startswith("unrecognized arguments: "):
            raise grid.GridError(f"{message.split(': ')[1].split()[0]}: there is no such option "
                                 "(see mayfly tune --help)")
        raise grid.GridError(message)


def parser():
    p = Parser(prog="mayfly tune", allow_abbrev=False, epilog=METHOD,
               description="Finds dispatch, batch and ageing for a load and a goal.",
               formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", nargs="?", help="the configuration to tune (else: a synthetic load)")
    p.add_argument("--live", action="store_true", help="on a run that lives: its batch and ageing, "
                   "within --batch and --aging, put back at the end")
    p.add_argument("--name", help="of the living run")
    p.add_argument("--apply", action="store_true", help="with --live: leave what is recommended")
    aim = p.add_argument_group("goal")
    aim.add_argument("--p99", metavar="T", help="bound of the p99 latency (500us); alone: the "
                     "lowest p99 at the load's rate")
    aim.add_argument("--least-cpu", action="store_true", help="the least CPU within --p99")
    aim.add_argument("--throughput", action="store_true", help="the highest rate within --p99")
    aim.add_argument("--rate", metavar="R", help="offered (default: as the load has it)")
    aim.add_argument("--loss", metavar="X", default="0.1%%", help="bound of the loss (0.1%%)")
    aim.add_argument("--port", help="the gen port that --rate is of, where there are several")
    space = p.add_argument_group("space")
    space.add_argument("--dispatch", metavar="V,...", help="dispatches (all that sleep)")
    space.add_argument("--idle", metavar="LOW..HIGH", help="wake.baton.idle (0us..1ms)")
    space.add_argument("--eager", metavar="B,...", help="wake.baton.eager (true,false)")
    space.add_argument("--batch", metavar="LOW..HIGH", help="batches (1..64)")
    space.add_argument("--aging", metavar="LOW..HIGH", help="ageing times (20us..2ms)")
    space.add_argument("--no-adaptive", action="store_true", help="fixed batches only")
    how = p.add_argument_group("how")
    how.add_argument("--budget", metavar="T", default="2m", help="for the search, about (2m)")
    how.add_argument("--window", metavar="T", default="1s", help="length of a window (1s)")
    how.add_argument("--warmup", metavar="T", default="300ms", help="before each (300ms)")
    how.add_argument("--repeat", metavar="N", default="5", help="of the proof (5)")
    how.add_argument("--seed", metavar="N", default="1", help="of all that is random (1)")
    how.add_argument("--out", metavar="DIR", help="where it is written (default: tune-TIME)")
    load = p.add_argument_group("synthetic load (as mayfly sweep has it, one value each)")
    for name in SYNTHETIC:
        axis = grid.AXES[name]
        load.add_argument(f"--{name}", metavar="V",
                          help=f"{axis.help} ({axis.default})".replace("%", "%%"))
    return p


# What is asked for --------------------------------------------------------------------------------


def option(name, parse, text, *bounds, example=""):
    """`text` read by `parse`; complaints name the option."""
    try:
        value = parse(text)
    except (grid.GridError, ValueError) as error:
        raise grid.GridError(f"--{name}: {error}") from None
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise grid.GridError(f"--{name}: \"{text}\" is out of bounds; write {example}")
    return value


def span(name, text, parse, low, high, example):
    """LOW..HIGH as two values."""
    first, dots, last = text.partition("..")
    pair = [option(name, parse, part, low, high, example=example)
            for part in ((first, last) if dots else (first, first))]
    if pair[0] > pair[1]:
        raise grid.GridError(f"--{name}: {text} begins above its end; write {last}..{first}")
    return tuple(pair)


def goal_of(o):
    if o.p99 is None:
        raise grid.GridError("no goal; give a bound of the p99 latency, for example --p99 500us, "
                             "alone or with --throughput or --least-cpu")
    if o.throughput and o.least_cpu:
        raise grid.GridError("--throughput and --least-cpu are two goals; give one of both")
    kind = (goals.THROUGHPUT if o.throughput else
            goals.LEAST_CPU if o.least_cpu else goals.P99)
    if kind == goals.THROUGHPUT and o.rate:
        raise grid.GridError("--rate: the rate is what --throughput looks for; leave it away")
    p99 = option("p99", grid.seconds, o.p99, 1e-6, 10, example="1us to 10s") * 1e6
    loss = option("loss", grid.share, o.loss.replace("%%", "%"), 0, 0.5, example="0% to 50%")
    rate = option("rate", grid.AXES["rate"].parse, o.rate) if o.rate else None
    if isinstance(rate, str):
        raise grid.GridError(f"--rate: {rate} has no latency of its own; give packets a second, or "
                             "look for the highest rate with --throughput")
    return goals.Goal(kind, p99, loss, rate)


def space_of(o, dispatches, ring):
    most = ring - grid.BLANKS_MAX
    batch = span("batch", o.batch or f"1..{min(64, most)}",
                 lambda t: grid.integer(t, 1, 4096, "a batch of packets"), 1, most, f"1..{most}")
    aging = span("aging", o.aging or "20us..2ms", lambda t: round(grid.seconds(t) * 1e6),
                 1, 10_000_000, "1us..10s")
    return waking.Space(tuple(dispatches), batch, aging, not o.no_adaptive,
                        *baton_of(o, dispatches))


def baton_of(o, dispatches):
    """(idle times, eager) to be tried with the baton."""
    if waking.BATON not in dispatches:
        for name in ("idle", "eager"):
            if getattr(o, name):
                raise grid.GridError(f"--{name} is of dispatch baton, and that is not tried; add it "
                                     "to --dispatch, or leave the option away")
        return (), ()
    low, high = span("idle", o.idle or "0us..1ms", lambda t: round(grid.seconds(t) * 1e6),
                     0, 10_000_000, "0us..10s")
    words = {"true": True, "false": False}
    chosen = [w.strip() for w in (o.eager or "true,false").split(",")]
    if not set(chosen) <= set(words):
        raise grid.GridError(f'--eager: "{o.eager}" is not known here; use true, false, or both')
    return waking.idles_between(low, high), tuple(dict.fromkeys(words[w] for w in chosen))


def dispatches_of(o, host):
    known = host["dispatches"]
    if not o.dispatch:
        return [d for d in known if d != "poll"]
    chosen = [d.strip() for d in o.dispatch.split(",")]
    wrong = [d for d in chosen if d not in known]
    if wrong:
        raise grid.GridError(f'--dispatch: "{wrong[0]}" is not in this version; use '
                             f"{', '.join(known)}")
    return list(dict.fromkeys(chosen))


def start_of(dispatch, batch, aging, idle, eager, host):
    """The settings in use, from a file (texts)."""
    start = wake_in_use(dispatch, batch, aging, host)
    if start.dispatch != waking.BATON:
        return start
    return dataclasses.replace(
        start, idle=waking.IDLE_DEFAULT_US if idle is None else round(grid.seconds(idle) * 1e6),
        eager=waking.EAGER_DEFAULT if eager is None else str(eager).lower() == "true")


def wake_in_use(dispatch, batch, aging, host):
    """Those that a living run may change, from a file (texts) or the API."""
    batch = 8 if batch is None else batch
    aging = "200us" if aging is None else aging
    micros = None if aging == "off" else max(1, round(grid.seconds(aging) * 1e6))
    return waking.Wake(dispatch or host["dispatch_default"],
                       batch if batch == waking.ADAPTIVE else int(batch), micros)


def load_of(o, host, mayfly):
    """The load of a tuning in runs of our own."""
    given = [name for name in SYNTHETIC if getattr(o, name) is not None]
    if o.config:
        if given:
            raise grid.GridError(f"--{given[0]} is of a synthetic load, and {o.config} is given; "
                                 "give one of both")
        return loads.FileLoad(o.config, mayfly, o.port)
    if not given:
        raise grid.GridError("nothing to tune; give a configuration, a synthetic load (--nfs 64), "
                             "or --live (see mayfly tune --help)")
    box = grid.Box()
    for name in given:
        if "," in getattr(o, name):
            raise grid.GridError(f"--{name}: one value; a grid is for mayfly sweep")
        box.set(name, [getattr(o, name)], f"--{name}")
    box.set("rate", [o.rate or "100kpps"], "--rate")
    plan = grid.Grid([box], grid.Settings(seed=int(o.seed)), host)
    grid.check_with_mayfly(plan, mayfly)
    return loads.SyntheticLoad(plan, mayfly)


@dataclasses.dataclass
class How:
    budget: float
    window: float
    warmup: float
    repeat: int
    seed: int

    @classmethod
    def of(cls, o):
        return cls(option("budget", grid.seconds, o.budget, 1, 86400, example="1s to 24h"),
                   option("window", grid.seconds, o.window, 0.05, 60, example="50ms to 1m"),
                   option("warmup", grid.seconds, o.warmup, 0, 60, example="0s to 1m"),
                   option("repeat", int, o.repeat, 1, 1000, example="1 to 1000"),
                   option("seed", int, o.seed, 0, 10 ** 12, example="0 to 10^12"))


# The command --------------------------------------------------------------------------------------


def finish(folder, s, work, best, start, told):
    ranked = s.ranked()
    tuned.write(folder, told, ranked, work.goal, best, start)
    work.bar.end()
    windows = sum(len(c.windows) for c in ranked)
    print(f"{len(ranked)} settings, {windows} windows; the Pareto front:")
    print(tuned.table(ranked, work.goal, best, start))
    seen = work.rates_seen
    if work.goal.kind != goals.THROUGHPUT and seen and max(seen) > 1.5 * max(min(seen), 1e-9):
        print(f"note: the load moved between {min(seen):.4g} and {max(seen):.4g} packets a second "
              "while it was measured; figures of different settings may differ by that")
    for line in told:
        print(line)
    print(best.section())
    print(f"{folder}/: {', '.join(tuned.FILES)}, rows.jsonl")


def prepare_folder(out):
    folder = pathlib.Path(out or time.strftime("tune-%Y%m%d-%H%M%S"))
    if (folder / "rows.jsonl").exists():
        raise grid.GridError(f"--out {folder}: holds rows already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise grid.GridError(f"--out {folder}: {error.strerror}") from None
    return folder


def tune_own(o, mayfly):
    host = sweep.host_facts(mayfly)
    goal, how = goal_of(o), How.of(o)
    load = load_of(o, host, mayfly)
    if o.rate or goal.kind == goals.THROUGHPUT:
        load.need_port("--rate" if o.rate else "--throughput")
    space = space_of(o, dispatches_of(o, host), load.ring)
    start = start_of(*load.wake(), host)
    rate = goal.rate if goal.kind == goals.THROUGHPUT else goal.rate or load.offered()
    if rate == "max" and goal.kind != goals.THROUGHPUT:
        raise grid.GridError(f"{load.name} offers rate: max, which has no latency of its own; give "
                             "--rate, or look for the highest rate with --throughput")
    folder = prepare_folder(o.out)
    each = (how.window + how.warmup) * (tuning.TRIALS if goal.kind == goals.THROUGHPUT else 1)
    begin_seconds = 1.0 + 0.0015 * load.nfs
    points = search.points_for(how.budget, each, begin_seconds, space.runs())
    bar = progress.Progress(sum(search.nominal_windows(points)) * each)
    print(f"{load.name}: {goal.describe()}; {points} settings of {', '.join(space.dispatches)}, "
          f"batch {space.batch[0]} to {space.batch[1]}{' or adaptive' * space.adaptive}, ageing "
          f"{space.aging[0]} to {space.aging[1]} us", flush=True)
    if load.own:
        print(f"note: {', '.join(load.own)} have a wake: of their own, which stays")
    place = bench.OwnBench(load, rate)
    with contextlib.closing(place), rowfile.RowFile(folder / "rows.jsonl") as rows:
        say = tuning.Describe(load, host, mayfly, how.seed)
        work = tuning.Tuning(place, goal, how, rows, say, bar)
        s, best, told = tuning.tune(work, space, start, points, how.budget)
        finish(folder, s, work, best, start, told)
    return 0


def guard_of(goal, before):
    """What ends a try on living traffic: a p99, or a loss, far beyond both the bound and what the
    start had."""
    worst_p99 = GUARD * max(goal.p99, before.p99)
    worst_loss = GUARD * max(goal.loss, before.lost)

    def hurts(figures):
        window = goals.Window.of(figures, None)
        if figures["packets"]["tx"] >= GUARD_PACKETS and window.p99 > worst_p99:
            return f"p99 above {worst_p99:.0f} us"
        if figures["packets"]["rx"] >= GUARD_PACKETS and window.lost > worst_loss:
            return f"loss above {worst_loss * 100:.2g} %"
        return ""
    return hurts


def refuse_with_live(o):
    for name in ("rate", "port", "dispatch", "idle", "eager", *SYNTHETIC):
        if getattr(o, name) is not None:
            raise grid.GridError(f"--{name} does not go with --live: the load and the dispatch of "
                                 "a living run stay as they are")
    if o.config:
        raise grid.GridError(f"{o.config}: --live tunes the run of --name; leave the file away")
    if o.throughput:
        raise grid.GridError("--throughput does not go with --live: its senders decide the rate")
    if not o.batch or not o.aging:
        raise grid.GridError("--live: say within which bounds this traffic may be tried on, for "
                             "example --batch 1..32 --aging 50us..1ms")


def tune_live(o, mayfly):
    refuse_with_live(o)
    host = sweep.host_facts(mayfly)
    goal, how = goal_of(o), How.of(o)
    with living.Living(o.name) as r:
        load = tuning.LiveLoad(r)
        with living.PutBack(r) as kept:
            found = kept.found
            space = dataclasses.replace(space_of(o, [found["dispatch"]], load.ring), idles=(),
                                        eager=())
            start = wake_in_use(found["dispatch"], found["batch"], found["aging"], host)
            folder = prepare_folder(o.out)
            points = search.points_for(how.budget, how.window + how.warmup, 0, 1)
            bar = progress.Progress(sum(search.nominal_windows(points))
                                    * (how.window + how.warmup))
            own = [*found["chains"], *found["nfs"]]
            print(f"{r.name}: {goal.describe()}; {points} settings with batch {space.batch[0]} to "
                  f"{space.batch[1]}{' or adaptive' * space.adaptive}, ageing {space.aging[0]} to "
                  f"{space.aging[1]} us; {start} is put back at the end", flush=True)
            if own:
                print(f"note: {', '.join(own)} have a wake: of their own, which stays")
            before = goals.Window.of(living.watched_window(r, how.warmup, how.window)[0], None)
            place = bench.LiveBench(r, guard_of(goal, before))
            with rowfile.RowFile(folder / "rows.jsonl") as rows:
                say = tuning.Describe(load, host, mayfly, how.seed)
                work = tuning.Tuning(place, goal, how, rows, say, bar)
                s, best, told = tuning.tune(work, space, start, points, how.budget)
                if o.apply and best != start:
                    r.patch("/v1/wake", bench.wake_body(best))
                    kept.keep()
                    told.append("applied: the run goes on with it")
                else:
                    told.append(f"put back: {start}")
                finish(folder, s, work, best, start, told)
    return 0


def _interrupt(*_):
    raise KeyboardInterrupt


def main(argv):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        o = parser().parse_args(argv)
        if not os.access(run.MAYFLY, os.X_OK):
            raise grid.GridError(f"{run.MAYFLY} is not there: build it (tools/build)")
        for name in ("name", "apply"):
            if getattr(o, name) and not o.live:
                raise grid.GridError(f"--{name} is of a living run; give --live with it")
        return tune_live(o, run.MAYFLY) if o.live else tune_own(o, run.MAYFLY)
    except (grid.GridError, loads.LoadError, living.NotFound) as error:
        print(f"mayfly: tune: {error}", file=sys.stderr)
        return BAD_INPUT
    except (run.RunError, rowfile.Busy, json.JSONDecodeError) as error:
        line = str(error).splitlines()[0].removeprefix("mayfly: ")
        print(f"mayfly: tune: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
