"""Measures one unit of a sweep: the windows of one repeat of one setting, in one fresh dataplane.

A setting is a point without its rate. Its rates share a dataplane within a repeat (they are
windows in random order of one running process, the rate changed while it runs); every repeat of
every setting has a dataplane of its own, started when its turn in the random order comes. What is
written is each window as it ends, disturbed or not; a disturbed one is measured again, up to
`retries` times."""
import datetime
import hashlib
import pathlib
import platform
import time

import grid
import run
import rowfile
import saturation
import stats
import workload

# Of a window's length: time that the hypervisor took from this machine's CPUs, and time that the
# vSwitch's thread was ready to run and did not.
STEAL_SHARE = 0.01
WAIT_SHARE = 0.01
BIND_RATE = "50kpps"  # until every tenant has its NFs
BIND_SECONDS = 10
BIND_SETTLED_SECONDS = 0.3
SEARCH_WARMUP = 0.3
STARTS_MAX = 2  # of a dataplane that fails


def setting_of(point):
    return {axis: value for axis, value in point.items() if axis != "rate"}


def nominal_seconds(setting, rates, settings, search):
    """About how long a unit takes; the progress bar corrects it as it learns."""
    # Measured: 1 s to start and stop 4,000 NFs, 7 s 10,000, 37 s 16,000, 66 s 24,000.
    start = 0.7 + setting["nfs"] * 0.0005 + 1.5 * (setting["nfs"] / 4000) ** 2
    if search:
        return start + 14 * (settings.search_window + SEARCH_WARMUP)
    return start + len(rates) * (settings.window + settings.warmup)


def disturbances(figures):
    """The flags of a window during which the machine was not ours."""
    took = figures.get("disturbed") or {}
    length_ms = figures["seconds"] * 1000
    flags = []
    if (took.get("steal_ms") or 0) > STEAL_SHARE * length_ms:
        flags.append("steal")
    if (took.get("vswitch_wait_ms") or 0) > WAIT_SHARE * length_ms:
        flags.append("vswitch_wait")
    return flags


def jitter(point, seconds, pps):
    """By what share an irregular source may miss its mean within a window: four standard
    deviations, or a period of bursts at each end."""
    if point["arrival"] == "poisson":
        return 4 / max(1.0, pps * seconds) ** 0.5
    if "/" in point["arrival"]:
        return sum(grid.seconds(part) for part in point["arrival"].split("/")) / seconds
    return 0.0


def identity(host, mayfly):
    """(host, versions) as rows carry them."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file
                      if line.startswith("model name")), platform.machine())
    described = {
        "cpu": model, "cpus": len(host["cores"]["online"]), "cores": host["cores"]["usable"],
        "kernel": host["kernel"], "memory_mib": host["memory"]["total_bytes"] >> 20,
        "huge_pages": host["huge_pages"]["total"],
    }
    digest = hashlib.sha256()
    for name in ("mayfly-dataplane", "mayfly-zygote"):
        try:
            digest.update((pathlib.Path(mayfly).parent / name).read_bytes())
        except OSError as error:
            raise grid.GridError(f"{error.filename}: {error.strerror}; build or install Mayfly "
                                 "whole") from None
    versions = {"mayfly": host["version"], "build": digest.hexdigest()[:16], "dpdk": host["dpdk"],
                "python": platform.python_version()}
    return described, versions


def command(point, settings):
    """The line that measures this point again."""
    words = ["mayfly sweep"]
    for axis, value in point.items():
        text = grid.written(axis, value)
        if axis in ("nfs", "rate", "dispatch") or text != grid.AXES[axis].default:
            if not (axis == "nf" and value == "spin"):
                words.append(f"--{axis} {text}")
    defaults = grid.Settings()
    for name in grid.SETTINGS:
        if getattr(settings, name) != getattr(defaults, name):
            words.append(f"--{name.replace('_', '-')} {grid.setting_text(name, settings)}")
    return " ".join(words)


class Measurer:
    def __init__(self, plan, rows, say, folder, mayfly):
        """`plan`: the Grid. `say(text)` is called between windows. `folder`: for runs' files."""
        self.grid, self.rows, self.say, self.mayfly = plan, rows, say, mayfly
        self.settings = plan.settings
        self.folder = folder
        self.host, self.versions = identity(plan.host, mayfly)

    # Rows -----------------------------------------------------------------------------------------

    def _row(self, point, repeat, kind, flags, figures, made, **more):
        if figures and "latency_buckets" in figures:
            figures = {**figures, "latency_buckets": [
                [float(f"{upper:.5g}"), count]
                for upper, count in stats.coarsen(figures["latency_buckets"])]}
        config, files, seed, started = made
        row = {"schema": 1, "point": point, "repeat": repeat, "kind": kind, "flags": flags,
               "figures": figures, **more, "alternative": "mayfly", "seed": seed,
               "started": started, "command": command(point, self.settings), "config": config,
               "files": files, "host": self.host, "versions": self.versions}
        self.rows.append(row)
        self.say(_line(point, repeat, row))
        return row

    def _made(self, setting, repeat):
        """What a unit's dataplane is made of: configuration, files, seed, and when."""
        seed = self.settings.seed + repeat
        config, files = self.grid.config(setting, BIND_RATE, seed)
        return config, files, seed, _now()

    # A unit ---------------------------------------------------------------------------------------

    def windows(self, setting, repeat, rates, flags=()):
        """One window for each of `rates`: (rate as the axis has it, packets a second or "max", or
        None and why there is none), in this order."""
        points = {rate: {**setting, "rate": rate} for rate, *_ in rates}

        def measure(r, made, written):
            for rate, pps, reason in rates:
                point = points[rate]
                if pps is None:
                    if not self._settled(point, repeat):
                        self._row(point, repeat, "failed", [*flags], None, made, reason=reason)
                    continue
                if not self._settled(point, repeat):
                    r.set_rate(pps)
                while not self._settled(point, repeat):
                    figures = r.window(self.settings.warmup, self.settings.window)
                    config = _with_rate(made[0], pps)
                    written.append(self._row(
                        point, repeat, "measured", [*flags, *disturbances(figures)], figures,
                        (config, *made[1:3], _now()), rate_pps=None if pps == "max" else pps))

        self._unit(setting, repeat, list(points.values()), flags, measure)

    def search(self, setting, repeat, flags=()):
        """The saturation of a setting."""
        point = {**setting, "rate": "saturation"}

        def measure(r, made, written):
            while not self._settled(point, repeat):
                found = self._search(r, setting)
                details = {"pps": found.pps, "loss_bound": self.settings.loss,
                           "seconds": found.seconds, "seconds_bound": self.settings.search_time,
                           "complete": found.complete, "trials": found.trials}
                if found.trial is None:
                    self._row(point, repeat, "failed", [*flags], None, made, search=details,
                              reason=f"no rate was confirmed with at most {self.settings.loss:.3g} "
                              f"of the packets lost ({len(found.trials)} trials in "
                              f"{found.seconds:.0f} s)")
                    return
                extra = [] if found.complete else ["search_bound"]
                extra += disturbances(found.trial.figures)
                written.append(self._row(
                    point, repeat, "saturation", [*flags, *extra], found.trial.figures,
                    (_with_rate(made[0], found.pps), *made[1:]), rate_pps=found.pps,
                    search=details))

        self._unit(setting, repeat, [point], flags, measure)

    def _search(self, r, setting):
        def trial(length):
            def measure(pps):
                r.set_rate(pps)
                figures = r.window(min(SEARCH_WARMUP, self.settings.warmup), length)
                loose = 0.0 if pps == "max" else jitter(setting, figures["seconds"], pps)
                return saturation.judge(figures, pps, loose, bool(disturbances(figures)))
            return measure
        return saturation.Search(trial(self.settings.search_window), trial(self.settings.window),
                                 self.settings.loss, self.settings.search_time).run()

    def _settled(self, point, repeat):
        return self.rows.settled(point, repeat, self.settings.retries)

    def _unit(self, setting, repeat, points, flags, measure):
        """`measure(run, made, written rows)` in a fresh dataplane; what fails becomes rows too."""
        for start in range(STARTS_MAX):
            if all(self._settled(point, repeat) for point in points):
                return
            made = self._made(setting, repeat)
            written = []
            reason, kind = "", "failed"
            try:
                with run.Run(made[0], mayfly=self.mayfly, files=made[1], parent=self.folder,
                             nfs=setting["nfs"]) as r:
                    bind(r, setting)
                    measure(r, made, written)
                    self._check_end(r, written)
            except run.Refused as error:
                reason, kind = str(error), "refused"
            except run.RunError as error:
                reason = _short(error)
            if reason and (kind == "refused" or start + 1 == STARTS_MAX):
                for point in points:
                    if not self._settled(point, repeat):
                        self._row(point, repeat, kind, [*flags], None, made, reason=reason)

    def _check_end(self, r, written):
        try:
            r.stop()
        except run.RunError:
            if written:
                self.rows.flag(written, "accounts")
            raise


def bind(r, setting):
    """Until every tenant has its NFs, or (random order) no more come; then silences those that are
    not to be active."""
    deadline = time.monotonic() + BIND_SECONDS + setting["nfs"] / 1000
    bound, since = -1, time.monotonic()
    while time.monotonic() < deadline:
        now = r.get("/v1/stats", seconds=30)["nfs"]["bound"]
        if now >= setting["nfs"]:
            break
        if now != bound:
            bound, since = now, time.monotonic()
        elif bound > 0 and time.monotonic() - since > BIND_SETTLED_SECONDS:
            break
        time.sleep(0.05)
    if workload.active_tenants(setting) < workload.tenants(setting):
        r.set_rate(workload.SILENCE_PPS, port=workload.SILENT)


def _with_rate(config, pps):
    """The configuration that has this rate from the start: what ran, written down whole."""
    load, *others = config["ports"]
    gen = {**load["gen"], "rate": run.rate_text(pps)}
    return {**config, "ports": [{**load, "gen": gen}, *others]}


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def _short(error):
    """The last line that says something, of an error with a run's whole output."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("mayfly: ")]
    first = lines[0] if lines else type(error).__name__
    return (f"{first}: {told[-1][len('mayfly: '):]}" if told else first)[:300]


def _line(point, repeat, row):
    """One row for the eye."""
    words = f"{grid.describe(point)} #{repeat + 1}: "
    if row["kind"] in ("failed", "refused"):
        return words + f"{row['kind']}: {row['reason']}"
    figures = row["figures"]
    latency = figures["latency_us"]
    text = words + (f"{figures['mpps']:.3f} Mpps, p50 {latency['p50']:.0f} p99 "
                    f"{latency['p99']:.0f} us, {figures['nfs']['returned']} live")
    return text + (f" [{' '.join(row['flags'])}]" if row["flags"] else "")
