"""mayfly sweep: measures a grid.

Order. A point is a combination of axes; a setting is a point without its rate. First the saturation
of every setting that needs it is searched for, `searches` times; then the points are measured,
`repeat` times. Both in rounds: every round goes through all settings in a fresh random order, so
repeats of one point lie far apart, interleaved with all others, and a slow drift of the machine
spreads over all points instead of falling on one. After each phase, points whose repeats disagree
are measured as many times again, once."""
import argparse
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import grid
import measure
import presets
import progress
import rowfile
import run
import stats

INTERRUPTED = 130
PLAN_FILE = "plan.json"
ROWS_FILE = "rows.jsonl"


class Parser(argparse.ArgumentParser):
    """Errors are one line, as everywhere in Mayfly."""

    def error(self, message):
        unknown = "unrecognized arguments: "
        if message.startswith(unknown):
            message = (f"{message[len(unknown):].split()[0]}: there is no such option; the axes are "
                       f"{' '.join(f'--{name}' for name in grid.AXES)} (see mayfly sweep --help)")
        raise grid.GridError(message)


def parser():
    p = Parser(prog="mayfly sweep", description="Measures a grid: throughput, latency, CPU, wakes.",
               epilog="Values are separated by commas; all combinations are measured. See "
               "docs/measuring.md.", allow_abbrev=False)
    p.add_argument("file", nargs="?", help="a sweep file (YAML); axes given here replace its own")
    p.add_argument("--preset", help=f"a ready grid: {', '.join(presets.PRESETS)}")
    p.add_argument("--out", metavar="DIR", help="where rows and report go (default: sweep-TIME)")
    p.add_argument("--resume", metavar="DIR", help="go on with an interrupted sweep")
    p.add_argument("--plan", action="store_true", help="say what would be measured, and how long")
    axes = p.add_argument_group("axes")
    for name, axis in grid.AXES.items():
        default = f" ({axis.default})" if axis.default else ""
        axes.add_argument(f"--{name}", metavar="V,...", help=_help(axis.help + default))
    how = p.add_argument_group("how it is measured")
    texts = {
        "repeat": "repeats of each point", "window": "length of a measuring window",
        "warmup": "discarded before each window", "loss": "that saturation may have",
        "search_time": "bound on one search for saturation",
        "search_window": "length of a search's trial", "searches": "searches for each saturation",
        "spread": "MAD / median above which a point is measured again",
        "retries": "of a window during which the machine was disturbed",
        "seed": "of all that is random", "packets": "buffers", "ring": "entries of an NF's ring"}
    for name, text in texts.items():
        default = grid.setting_text(name, grid.Settings())
        how.add_argument(f"--{name.replace('_', '-')}", metavar="X", help=_help(f"{text} ({default})"))
    return p


def _help(text):
    return text.replace("%", "%%")


# What is to be measured ---------------------------------------------------------------------------


def host_facts(mayfly):
    done = subprocess.run([mayfly, "doctor", "--json"], capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode:
        raise grid.GridError(f"{mayfly} doctor --json: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


def read_grid(options, host):
    """The Grid that the command line asks for."""
    if options.file and options.preset:
        raise grid.GridError(f"--preset {options.preset} and {options.file}: give one of both")
    settings, boxes = grid.Settings(), [grid.Box()]
    if options.file:
        boxes, texts = grid.read_file(options.file)
        for name, (text, where) in texts.items():
            _set(settings, name, text, where)
    if options.preset:
        boxes = presets.boxes(options.preset, host)
    given = grid.Box()
    for axis in grid.AXES:
        text = getattr(options, axis)
        if text is not None:
            given.set(axis, [part.strip() for part in text.split(",")], f"--{axis}")
    if not given.values and not options.file and not options.preset:
        raise grid.GridError("nothing to sweep; give axes (--nfs 8,64 --rate 80%,max), --preset "
                             f"{'|'.join(presets.PRESETS)}, or a file (see mayfly sweep --help)")
    for name in grid.SETTINGS:
        text = getattr(options, name)
        if text is not None:
            _set(settings, name, text, f"--{name.replace('_', '-')}")
    return grid.Grid([box.overlaid(given) for box in boxes], settings, host)


def _set(settings, name, text, where):
    try:
        settings.set(name, text)
    except grid.GridError as error:
        raise grid.GridError(f"{where}: {error}") from None


def needs_saturation(rate):
    return isinstance(rate, str) and (rate.endswith("%") or rate == "saturation")


@dataclasses.dataclass
class Unit:
    """One repeat of one setting."""
    setting: dict
    rates: list
    repeat: int
    search: bool = False
    flags: tuple = ()

    def nominal(self, settings):
        return measure.nominal_seconds(self.setting, self.rates, settings, self.search)

    def points(self):
        return [{**self.setting, "rate": rate} for rate in self.rates]


class Sweep:
    """The units of a grid, in their order. The order depends on the seed alone, so a resumed sweep
    goes through the same one and skips what it has."""

    def __init__(self, plan):
        self.grid, self.settings = plan, plan.settings
        self.rates = {}
        self.by_key = {}
        for point in plan.points:
            setting = measure.setting_of(point)
            key = rowfile.key_of(setting)
            self.by_key[key] = setting
            self.rates.setdefault(key, []).append(point["rate"])
        self._random = random.Random(self.settings.seed)
        self.searches = self._rounds(
            {key: ["saturation"] for key, rates in self.rates.items()
             if any(map(needs_saturation, rates))}, self.settings.searches, True)
        self.windows = self._rounds(
            {key: [r for r in rates if r != "saturation"] for key, rates in self.rates.items()
             if set(rates) != {"saturation"}}, self.settings.repeat, False)

    def _rounds(self, rates, repeats, search):
        units = []
        for repeat in range(repeats):
            keys = sorted(rates)
            self._random.shuffle(keys)
            for key in keys:
                order = sorted(rates[key], key=str)
                self._random.shuffle(order)
                units.append(Unit(self.by_key[key], order, repeat, search))
        return units

    def again(self, units, rows):
        """Units for the points of `units` whose repeats disagree: as many repeats again."""
        wide = {}
        for unit in units:
            for point in unit.points():
                values = rows.values(point, stats.main_figure(point["rate"]))
                if stats.wide(values, self.settings.spread):
                    key = rowfile.key_of(unit.setting)
                    if point["rate"] not in wide.setdefault(key, []):
                        wide[key].append(point["rate"])
        if not wide:
            return []
        search = units[0].search
        count = self.settings.searches if search else self.settings.repeat
        more = self._rounds(wide, count, search)
        for unit in more:
            unit.repeat += count
            unit.flags = ("spread",)
        return more

    def nominal(self):
        return sum(unit.nominal(self.settings) for unit in self.searches + self.windows)

    def describe(self):
        settings = self.settings
        words = (f"{len(self.grid.points)} points, {len(self.by_key)} settings; {settings.repeat} "
                 f"repeats of {settings.window:g} s after {settings.warmup:g} s of warm-up")
        if self.searches:
            bound = settings.search_time * len(self.searches)
            words += (f"; {len(self.searches)} searches for saturation (loss at most "
                      f"{settings.loss * 100:g} %), each within {settings.search_time:g} s, all "
                      f"within {progress.duration_text(bound)}")
        return words + f"; about {progress.duration_text(self.nominal())} in all"


# Measuring ----------------------------------------------------------------------------------------


class Conductor:
    """Goes through a sweep's units."""

    def __init__(self, sweep, rows, folder, mayfly):
        self.sweep, self.rows = sweep, rows
        self.settings = sweep.settings
        self.bar = progress.Progress(sweep.nominal())
        self.measurer = measure.Measurer(sweep.grid, rows, self.bar.say, folder, mayfly)

    def run(self):
        for phase in (self.sweep.searches, self.sweep.windows):
            self._units(phase)
            again = self.sweep.again(phase, self.rows)
            self.bar.more(sum(unit.nominal(self.settings) for unit in again))
            self._units(again)
        self.bar.end()

    def _units(self, units):
        for unit in units:
            if unit.search:
                self.measurer.search(unit.setting, unit.repeat, unit.flags)
            else:
                rates = [(rate, *self._offered(unit.setting, rate)) for rate in unit.rates]
                self.measurer.windows(unit.setting, unit.repeat, rates, unit.flags)
            self.bar.done(unit.nominal(self.settings))

    def _offered(self, setting, rate):
        """(packets a second or "max", "") for a rate of the grid; (None, why) if there is none."""
        if not needs_saturation(rate):
            return rate, ""
        found = [row["rate_pps"] for row in self.rows.of({**setting, "rate": "saturation"})
                 if row["kind"] == "saturation"]
        quiet = [row["rate_pps"] for row in self.rows.of({**setting, "rate": "saturation"})
                 if row["kind"] == "saturation" and not rowfile.DISTURBED & set(row["flags"])]
        if not found:
            return None, "its saturation was not found"
        return stats.median(quiet or found) * grid.share(rate), ""


def prepare_folder(options):
    folder = pathlib.Path(options.out or time.strftime("sweep-%Y%m%d-%H%M%S"))
    if (folder / ROWS_FILE).exists() or (folder / PLAN_FILE).exists():
        raise grid.GridError(f"--out {folder}: holds a sweep already; go on with it (--resume "
                             f"{folder}), or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise grid.GridError(f"--out {folder}: {error.strerror}") from None
    return folder


def save_plan(folder, plan, mayfly):
    host, versions = measure.identity(plan.host, mayfly)
    text = json.dumps({"schema": 1, "settings": dataclasses.asdict(plan.settings), "host": host,
                       "versions": versions, "points": plan.points,
                       "command": "mayfly sweep " + " ".join(sys.argv[1:])}, indent=1)
    beside = folder / (PLAN_FILE + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, folder / PLAN_FILE)


def load_plan(folder, host, mayfly):
    """The Grid of an interrupted sweep, if this is still the machine and the build it ran on."""
    file = pathlib.Path(folder) / PLAN_FILE
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        points, settings = saved["points"], grid.Settings(**saved["settings"])
    except OSError as error:
        raise grid.GridError(f"--resume {folder}: {file}: {error.strerror}; give a folder that "
                             "mayfly sweep wrote") from None
    except (ValueError, KeyError, TypeError):
        raise grid.GridError(f"--resume {folder}: {file} is not a plan of this version") from None
    now_host, now_versions = measure.identity(host, mayfly)
    for what, then, now in (("host", saved["host"], now_host),
                            ("version", saved["versions"], now_versions)):
        if then != now:
            differ = next(k for k in sorted({*then, *now}) if then.get(k) != now.get(k))
            raise grid.GridError(
                f"--resume {folder}: another {what} than the one it began with ({differ} "
                f"{then.get(differ)}, now {now.get(differ)}): its rows could not be compared; "
                "begin anew with --out")
    return grid.Grid.of_points(points, settings, host)


def print_summary(folder):
    """The medians, for the terminal; all there is to know is in the report."""
    import rows
    all_rows, _ = rows.read(folder / ROWS_FILE)
    points = rows.points_of(all_rows)
    varying = rows.varying(points)
    for point in points:
        name = ", ".join(rows.axis_words(a, point.axes.get(a)) for a in varying) or "the point"
        figures = [point.value(f) for f in ("mpps", "latency_us.p50", "latency_us.p99")]
        cells = [f"{v.median:.4g} ± {v.mad:.2g} {unit}" if v else f"- {unit}"
                 for v, unit in zip(figures, ("Mpps", "us p50", "us p99"))]
        flags = f"  [{' '.join(point.flags)}]" if point.flags else ""
        print(f"{name}: {', '.join(cells)}  (n {len(point.used)}){flags}")
    for axes, kind, reason in rows.missing_of(all_rows):
        name = ", ".join(rows.axis_words(a, axes[a]) for a in varying if a in axes) or "the point"
        print(f"{name}: {kind}: {reason}")


def make_report(folder):
    try:
        import report
    except ImportError:
        return
    report.make(folder)


def measure_all(plan, folder, mayfly):
    """Runs the sweep in `folder`; the exit code."""
    runs = folder / "runs"  # private files of running dataplanes
    sweep = Sweep(plan)
    print(f"{folder}: {sweep.describe()}", flush=True)
    try:
        with rowfile.RowFile(folder / ROWS_FILE) as rows:
            shutil.rmtree(runs, ignore_errors=True)
            runs.mkdir()
            try:
                Conductor(sweep, rows, runs, mayfly).run()
            finally:
                shutil.rmtree(runs, ignore_errors=True)
    except rowfile.Busy as error:
        raise grid.GridError(str(error)) from None
    except KeyboardInterrupt:
        print(f"\nmayfly: interrupted; what is measured is in {folder}; go on with: mayfly sweep "
              f"--resume {folder}", file=sys.stderr)
        return INTERRUPTED
    print_summary(folder)
    make_report(folder)
    return 0


def _interrupt(*_):
    raise KeyboardInterrupt


def start(argv):
    options = parser().parse_args(argv)
    mayfly = run.MAYFLY
    if not os.access(mayfly, os.X_OK):
        raise grid.GridError(f"{mayfly} is not there: build it (tools/build)")
    host = host_facts(mayfly)
    if options.resume:
        others = [f"--{n.replace('_', '-')}" for n, v in vars(options).items()
                  if v not in (None, False) and n != "resume"]
        if others:
            raise grid.GridError(f"--resume goes on with what was begun; it does not go with "
                                 f"{', '.join(others)}")
        plan = load_plan(options.resume, host, mayfly)
        return measure_all(plan, pathlib.Path(options.resume), mayfly)
    plan = read_grid(options, host)
    grid.check_with_mayfly(plan, mayfly)
    if options.plan:
        print(Sweep(plan).describe())
        for point in plan.points:
            print(f"  {grid.describe(point, plan.points)}")
        return 0
    folder = prepare_folder(options)
    save_plan(folder, plan, mayfly)
    return measure_all(plan, folder, mayfly)


def main(argv):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return start(argv)
    except grid.GridError as error:
        print(f"mayfly: sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
