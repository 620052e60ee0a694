"""What a tuning runs: a configuration of the user's, or a synthetic load, with other wake settings
and another rate each time."""
import json
import os
import pathlib
import re
import subprocess
import time

import grid
import measure
import run
import workload

RING = 128
SETTLE_SECONDS, SETTLED_SECONDS = 15, 0.5


class LoadError(ValueError):
    """One line for the user."""


class Mirrored(run.Run):
    """A run whose configuration finds its files where the user's own does: its folder has links to
    all that lies beside that one (and above it, where paths begin with `..`)."""

    def __init__(self, config, beside, **options):
        super().__init__(config, **options)
        self._beside = pathlib.Path(beside)

    def _lay_out(self):
        ups = max((len(m.group(0)) // 3 for m in re.finditer(r"(?:\.\./)+|\.\.$", self._config)),
                  default=0)
        folder = self.folder
        chain = [self._beside, *self._beside.parents][:ups + 1]
        for outer, inner in zip(reversed(chain), [*reversed(chain[:-1]), None]):
            for entry in os.scandir(outer):
                if inner is None or entry.name != inner.name:
                    _link(entry.path, folder / entry.name)
            if inner is not None:
                folder = folder / inner.name
                folder.mkdir()
        config = folder / f"{self.name}.yaml"
        config.write_text(self._config, encoding="utf-8")
        return config


def _section(wake, baton=None):
    """`wake:` with these settings, and what else the user said of the baton."""
    section = {"dispatch": wake.dispatch, "batch": wake.batch, "aging": wake.aging_text}
    baton = {**(baton or {}), **wake.baton}
    return {**section, "baton": baton} if baton else section


def _link(target, at):
    if not at.is_symlink() and not at.exists():
        at.symlink_to(target)


def settle(r):
    """Until the load has bound what it binds."""
    deadline = time.monotonic() + SETTLE_SECONDS
    bound, since = -1, time.monotonic()
    while time.monotonic() < deadline:
        now = r.get("/v1/stats", seconds=30)["nfs"]["bound"]
        if now != bound:
            bound, since = now, time.monotonic()
        elif bound > 0 and time.monotonic() - since > SETTLED_SECONDS:
            return
        time.sleep(0.05)


class FileLoad:
    """A configuration file. Its global `wake:` is what is tuned; NFs and chains with a `wake:` of
    their own keep it."""

    def __init__(self, path, mayfly, port=None):
        self.path, self.mayfly = pathlib.Path(path).resolve(), mayfly
        self._check()
        self.tree = _read(path)
        gens = [p["name"] for p in self.tree["ports"] if "gen" in p]
        if port is not None and port not in gens:
            raise LoadError(f"--port {port}: {path} has no gen port of that name; it has "
                            f"{', '.join(gens) or 'none at all'}")
        self.port = port or (gens[0] if len(gens) == 1 else None)
        self.gens = gens
        self.ring = int(self.tree.get("ring", RING))
        self.name = self.path.name
        self.nfs = 0
        self.own = [name for part in ("nfs", "chains") for name, item in self.tree[part].items()
                    if isinstance(item, dict) and "wake" in item]

    def _check(self):
        done = subprocess.run([self.mayfly, "run", str(self.path), "--check"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              check=False)
        if done.returncode:
            raise LoadError((done.stdout.strip().splitlines() or [f"{self.path}: not valid"])[0]
                            .removeprefix("mayfly: "))

    def need_port(self, option):
        """Refuses `option`, which needs a rate that can be set."""
        if self.port is None:
            raise LoadError(
                f"{option}: {self.name} has several gen ports ({', '.join(self.gens)}); say which "
                "with --port" if self.gens else
                f"{option}: {self.name} has no gen port, its load is what arrives; leave it away")

    def wake(self):
        """(dispatch, batch, ageing, baton.idle, baton.eager) as the file has them; None where it
        does not say."""
        wake = self.tree.get("wake") or {}
        baton = wake.get("baton") or {}
        return (wake.get("dispatch"), wake.get("batch"), wake.get("aging"), baton.get("idle"),
                baton.get("eager"))

    def config(self, wake, rate=None):
        tree = {**self.tree, "wake": _section(wake, (self.tree.get("wake") or {}).get("baton"))}
        tree.pop("name", None)
        if rate is not None:
            tree["ports"] = [
                {**p, "gen": {**(p["gen"] or {}), "rate": rate}} if p["name"] == self.port else p
                for p in tree["ports"]]
        return tree

    def start(self, wake, rate):
        """A Run, to be entered."""
        text = json.dumps(self.config(wake, rate), indent=1)
        return Mirrored(text, self.path.parent, mayfly=self.mayfly)

    def bind(self, r):
        settle(r)

    def offered(self):
        """The rate that the file offers, packets a second; None if nobody can say."""
        if self.port is None:
            return None
        gen = next(p for p in self.tree["ports"] if p["name"] == self.port)["gen"] or {}
        text = gen.get("rate", "1Mpps")
        return text if text == "max" else grid.AXES["rate"].parse(text)

    def point(self, wake, rate):
        point = {"config": self.name, "dispatch": wake.dispatch, "batch": wake.batch,
                 "aging": wake.aging_text, **wake.baton}
        return point if rate is None else {**point, "rate": rate}

    def jitter(self, seconds, pps):
        gen = next((p for p in self.tree["ports"] if p["name"] == self.port), {}).get("gen") or {}
        arrival = gen.get("arrival", "constant")
        if isinstance(arrival, dict):
            arrival = f"{arrival['on']}/{arrival['off']}"
        return measure.jitter({"arrival": arrival}, seconds, pps)


class SyntheticLoad:
    """One point of a grid."""

    def __init__(self, plan, mayfly):
        self.plan, self.mayfly = plan, mayfly
        self.setting = measure.setting_of(plan.points[0])
        self.ring = plan.settings.ring
        self.port = workload.LOAD
        self.name = grid.describe(plan.points[0])
        self.nfs = self.setting["nfs"]
        self.own = []

    def need_port(self, option):
        pass

    def wake(self):
        return None, None, None, None, None

    def _with(self, wake):
        return {**self.setting, "dispatch": wake.dispatch, "batch": wake.batch,
                "aging": wake.aging_text, **wake.baton}

    def _made(self, wake, rate):
        config, files = self.plan.config(self._with(wake), rate, self.plan.settings.seed)
        return {**config, "wake": _section(wake)}, files

    def config(self, wake, rate=None):
        return self._made(wake, rate or measure.BIND_RATE)[0]

    def start(self, wake, rate):
        config, files = self._made(wake, measure.BIND_RATE)
        return run.Run(config, files=files, mayfly=self.mayfly, nfs=self.nfs)

    def bind(self, r):
        measure.bind(r, self.setting)

    def offered(self):
        rate = self.plan.points[0]["rate"]
        return rate

    def point(self, wake, rate):
        return {**self._with(wake), "rate": rate}

    def jitter(self, seconds, pps):
        return measure.jitter(self.setting, seconds, pps)


def _read(path):
    try:
        import yaml  # the distribution's python3-yaml; only a file needs it
    except ImportError:
        raise LoadError(f"{path}: reading YAML needs PyYAML; install it (apt-get install "
                        "python3-yaml), or give a synthetic load (--nfs ...)") from None
    # Every scalar stays the text that it is: what it means is Mayfly's to say, and it was asked.
    return yaml.load(pathlib.Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
