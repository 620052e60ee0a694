#!/usr/bin/env python3
"""The baton against every other dispatch, interleaved, in one run: the rows of its table.

    bench/baton.py --out DIR                       # all rows
    bench/baton.py --rows p99,saturation --seconds 2 --repeat 5 --out DIR
    bench/baton.py --resume DIR                    # goes on where it was interrupted
    bench/baton.py --smoke                         # the size that every test run executes

    p99         64 and 512 NFs at 0.1 Mpps: each dispatch at batch 1, and at the best of 3 batches x
                3 ageing times, which short windows of their own look for first; futex at 32, 100 us
    alone       one NF: latency at 0.1 and 1 Mpps, throughput; baton, poll, futex
    saturation  throughput under overload, 8, 32, 126 and 400 NFs
    chains      the same, 2,000 NFs, two a packet
    p99-high    126 and 400 NFs at 4 Mpps, batch 32 and 8
    half        2,000 NFs, two a packet, at half of their throughput under overload
    cycles      vSwitch cycles a packet at 8 and 2,000 NFs, --fixed and overload

A unit is a fresh dataplane of one number of NFs under one dispatch, and in it one window for each
batch, ageing time and rate that any row asks for, in random order. Each repeat goes through all
units in a new random order (fixed seed). Each window is printed and on the disk (DIR/rows.jsonl, a
sweep's rows: `mayfly report DIR` draws them) before the next; a disturbed one is measured again,
once. At the end, or after Ctrl-C: the tables and goals as Markdown, also in DIR/table.md, and in
DIR/table.json. The machine must be quiet; kept results have 400 huge pages of 2 MiB."""
import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

import baton_rows
import baton_table
import grid
import measure
import rowfile
import run
import sweep

SEARCH_SECONDS = 0.5
CALM_SECONDS, CALM_PPS, CALM_HELD = 3, 1000, 64


class Measurer(measure.Measurer):
    """Measures units: many wake settings and rates in one dataplane."""

    def unit(self, points, repeat):
        def measure_all(r, made, written):
            for point in points:
                if self._settled(point, repeat):
                    continue
                pps = self._offered(point, repeat)
                if pps is None:
                    self._row(point, repeat, "failed", [], None, made,
                              reason="its throughput under overload is not known")
                    continue
                self._set(r, point, pps)
                while not self._settled(point, repeat):
                    written.append(self._window(r, point, repeat, pps, made))

        self._unit(measure.setting_of(points[0]), repeat, points, (), measure_all)

    def _window(self, r, point, repeat, pps, made):
        figures = r.window(self.settings.warmup, self.settings.window)
        wake = {**made[0]["wake"], "batch": point["batch"], "aging": point["aging"]}
        config = {**made[0], "wake": wake}
        return self._row(point, repeat, "measured", measure.disturbances(figures), figures,
                         (config, *made[1:]), rate_pps=None if pps == "max" else pps)

    def _offered(self, point, repeat):
        """Packets a second, or "max"; None if that cannot be told."""
        if not str(point["rate"]).endswith("%"):
            return point["rate"]
        full = [row for row in self.rows.of({**point, "rate": "max"}, repeat)
                if row["kind"] == "measured"]
        return full[-1]["figures"]["mpps"] * 1e6 * grid.share(point["rate"]) if full else None

    @staticmethod
    def _set(r, point, pps):
        """Another setting, once what the last one left inside has drained."""
        r.set_rate(CALM_PPS)
        deadline = time.monotonic() + CALM_SECONDS
        while (time.monotonic() < deadline
               and r.get("/v1/stats", seconds=30)["packets"]["held"] > CALM_HELD):
            time.sleep(0.02)
        r.patch("/v1/wake", {"batch": point["batch"], "aging": point["aging"]})
        r.set_rate(pps)


def units_of(points, chance):
    """[[point, ...], ...]: those that one dataplane can measure in turn, all in random order; but
    shares of a throughput after it."""
    groups = {}
    for point in points:
        group = groups.setdefault((point["nfs"], point["chain"], point["dispatch"]), [])
        if point not in group:
            group.append(point)
    units = list(groups.values())
    chance.shuffle(units)
    for unit in units:
        chance.shuffle(unit)
        unit.sort(key=lambda p: str(p["rate"]).endswith("%"))
    return units


def say(text):
    print(text, flush=True)


class Table:
    """All of it."""

    def __init__(self, options, folder, host):
        self.options, self.folder, self.host = options, folder, host
        self.scope = baton_rows.Scope(tuple(options.dispatch), options.most, options.fixed)
        self.rows = [baton_rows.ROWS[name](self.scope) for name in options.rows]

    def measurer(self, rows, **settings):
        options = self.options
        plan = grid.Grid.of_points([], grid.Settings(
            packets=options.packets, ring=options.ring, warmup=options.warmup, **settings),
            self.host)
        return Measurer(plan, rows, say, self.folder, options.mayfly)

    def search(self):
        """The best batch and ageing of each dispatch, for rows that ask for it."""
        rows = [row for row in self.rows if row.searched]
        points = [p for row in rows for n in row.counts() for d in self.scope.of(n)
                  for p in row.candidates(n, d)]
        if not points:
            return
        print(f"searching: {len(points)} settings, {SEARCH_SECONDS:g} s each", flush=True)
        with rowfile.RowFile(self.folder / "search.jsonl") as found:
            worker = self.measurer(found, window=min(SEARCH_SECONDS, self.options.seconds),
                                   retries=0)
            for unit in units_of(points, random.Random(0)):
                worker.unit(unit, 0)
            results = baton_table.Results(found)
            for p in points:
                self._keep_better(p, results)

    def _keep_better(self, p, results):
        key = p["nfs"], p["dispatch"]
        p99 = results(p, "latency_us.p99")
        if p99 is None or results(p, "loss") > 0.001 and key in self.scope.best:
            return
        old = self.scope.best.get(key)
        if old is None or p99 < results({**p, "batch": old[0], "aging": old[1]}, "latency_us.p99"):
            self.scope.best[key] = p["batch"], p["aging"]

    def measure(self, rows):
        chance = random.Random(1)
        points = [p for row in self.rows for p in row.points()]
        worker = self.measurer(rows, window=self.options.seconds, retries=1)
        for repeat in range(self.options.repeat):
            for unit in units_of(points, chance):
                worker.unit(unit, repeat)

    def run(self):
        """0, or 130 after Ctrl-C."""
        status = 0
        with rowfile.RowFile(self.folder / "rows.jsonl") as rows:
            try:
                self.search()
                self.measure(rows)
            except KeyboardInterrupt:
                print(f"\ninterrupted; to go on: {sys.argv[0]} --resume {self.folder}", flush=True)
                status = 130
            results = baton_table.Results(rows)
            text = baton_table.markdown(self.rows, results, self.preamble())
            (self.folder / "table.md").write_text(text, encoding="utf-8")
            (self.folder / "table.json").write_text(json.dumps(
                baton_table.as_json(self.rows, results), indent=1) + "\n", encoding="utf-8")
            print("\n" + text)
        return status

    def preamble(self):
        options, host = self.options, self.host
        pages = host["huge_pages"]
        huge = (f"{pages['total']} huge pages of {pages['page_bytes'] >> 20} MiB" if pages["total"]
                else "no huge pages (sysctl vm.nr_hugepages=400 gives some)")
        return (f"Linux {host['kernel']}, {len(host['cores']['online'])} CPUs, {huge}; ring "
                f"{options.ring}, {options.packets:,} buffers, {options.repeat} x "
                f"{options.seconds:g} s after {options.warmup:g} s of warm-up; medians ± MAD.")


# The command --------------------------------------------------------------------------------------


def parser():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)

    def words(known):
        def parse(text):
            chosen = text.split(",")
            if wrong := [w for w in chosen if w not in known]:
                raise argparse.ArgumentTypeError(f'"{wrong[0]}" is none of {", ".join(known)}')
            return chosen
        return parse

    p.add_argument("--rows", type=words(baton_rows.ROWS), default=list(baton_rows.ROWS))
    p.add_argument("--dispatch", type=words(baton_rows.DISPATCHES),
                   default=list(baton_rows.DISPATCHES))
    p.add_argument("--most", type=int, default=2000, help="leave out what needs more NFs (2000)")
    p.add_argument("--fixed", type=grid.AXES["rate"].parse, default=1_000_000,
                   help="rate of `cycles` (1Mpps)")
    p.add_argument("--seconds", type=float, default=0.8, help="length of a window (0.8)")
    p.add_argument("--warmup", type=float, default=0.2, help="before each (0.2)")
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--ring", type=int, default=512)
    p.add_argument("--packets", type=int, default=65536)
    p.add_argument("--mayfly", default=run.MAYFLY)
    p.add_argument("--out", help="folder (baton-TIME)")
    p.add_argument("--resume", metavar="DIR", help="goes on with a folder, with its options")
    p.add_argument("--smoke", action="store_true")
    return p


def smoke(options):
    options.rows, options.dispatch = ["p99", "half"], ["baton", "futex"]
    options.most, options.seconds, options.warmup, options.repeat = 4, 0.1, 0.02, 1


def prepare(options):
    """(options, folder), with those of the folder if it is to be gone on with."""
    host = sweep.host_facts(options.mayfly)
    facts = dict(zip(("host", "versions"), measure.identity(host, options.mayfly)))
    if options.resume:
        folder = pathlib.Path(options.resume)
        kept = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        for name, what in (("host", "host"), ("versions", "build")):
            if kept[name] != facts[name]:
                raise grid.GridError(f"--resume {folder}: was measured on another {what}: "
                                     f"{kept[name]}, now {facts[name]}")
        return argparse.Namespace(**{**kept["options"], "mayfly": options.mayfly}), folder, host
    if options.most > grid.most_nfs(host)[0]:
        raise grid.GridError(f"--most {options.most}: this host bears {grid.most_nfs(host)[0]} NFs "
                             f"({grid.most_nfs(host)[1]})")
    folder = pathlib.Path(options.out or time.strftime("baton-%Y%m%d-%H%M%S"))
    if (folder / "rows.jsonl").exists():
        raise grid.GridError(f"--out {folder}: holds rows already; --resume {folder} goes on")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps({"options": vars(options), **facts}, indent=1),
                                      encoding="utf-8")
    return options, folder, host


def main():
    options = parser().parse_args()
    options.mayfly = str(pathlib.Path(options.mayfly).resolve())
    if options.smoke:
        smoke(options)
    try:
        with tempfile.TemporaryDirectory(prefix="mayfly-baton-") as scratch:
            if options.smoke and not options.out:
                options.out = scratch
            options, folder, host = prepare(options)
            table = Table(options, folder, host)
            say(f"{folder}: {table.preamble()}")
            return table.run()
    except (grid.GridError, OSError) as error:
        print(f"baton.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
