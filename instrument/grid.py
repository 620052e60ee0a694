"""The grid of a sweep: its axes, what may be written on each, and what this host can bear.

A grid is a union of boxes; a box gives each axis one value or several, and stands for all their
combinations. Values come as text, from the command line (`--nfs 8,64 --rate 80%,max`), from a YAML
file or from a preset, and are read in one place. Everything impossible is refused before anything
runs, in one line that names where it was written and what would be possible; what only Mayfly
itself can judge, `mayfly run --check` is asked."""
import dataclasses
import itertools
import json
import pathlib
import re
import subprocess
import tempfile

import workload

CHAIN_MAX = 16
FRAME_MIN, FRAME_MAX = 60, 1514
COST_MAX = 10_000_000
BLANKS_MAX = 17  # entries of a ring that no packet takes: runtime/config, wake.batch
RESERVE_PROCESSES = 64
INSTANCE_BYTES = 300 * 1024  # with ordinary pages, the arena touched (runtime/cli/demo.cc)
BASE_BYTES = 320 << 20  # arena, DPDK, tables
MOST = "most"


class GridError(ValueError):
    """One line for the user."""


# Values -------------------------------------------------------------------------------------------

_DURATIONS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATES = {"pps": 1, "kpps": 1e3, "Mpps": 1e6}


def _number(text, units, example):
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z%]*)", text)
    if not match:
        raise GridError(f'"{text}" is not a number with a unit; write for example {example}')
    if match[2] not in units:
        what = f'has the unknown unit "{match[2]}"' if match[2] else "has no unit"
        raise GridError(f'"{text}" {what}; write for example {example}')
    return float(match[1]) * units[match[2]]


def seconds(text):
    return _number(text, _DURATIONS, "500ms, 2s or 1m")


def share(text):
    """"10%" or "0.1" as 0.1."""
    return _number(text, {"%": 0.01, "": 1.0}, "10% or 0.1")


def integer(text, low, high, what):
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise GridError(f'"{text}" is not {what}; write a number from {low} to {high}')
    return int(text)


def _one_of(*words):
    def parse(text):
        if text not in words:
            raise GridError(f'"{text}" is not known here; use {", ".join(words)}')
        return text
    return parse


def _nfs(text):
    return MOST if text == MOST else integer(text, 1, 10 ** 9, 'a number of NFs or "most"')


def _active(text):
    value = share(text)
    if not 0 < value <= 1:
        raise GridError(f'"{text}" is no share of the NFs; write above 0% to 100%')
    return value


def _size(text):
    if text in ("imix", "web"):
        return text
    return integer(text, FRAME_MIN, FRAME_MAX, "a frame size in bytes, imix or web")


def _rate(text):
    if text in ("max", "saturation"):
        return text
    if text.endswith("%"):
        if not 0 < share(text) <= 2:
            raise GridError(f'"{text}" is no share of saturation; write above 0% to 200%')
        return text
    pps = _number(text, _RATES, "100kpps, 1.5Mpps, 80% (of saturation), saturation or max")
    if not 0.01 <= pps <= 1e9:
        raise GridError(f'"{text}" is out of bounds; write 0.01pps to 1000Mpps')
    return int(pps) if pps == int(pps) else pps


def _arrival(text):
    if text in ("constant", "poisson"):
        return text
    on, slash, off = text.partition("/")
    if not slash:
        raise GridError(f'"{text}" is not known here; use constant, poisson, or bursts ON/OFF such '
                        "as 1ms/9ms")
    for part in (on, off):
        if not 1e-6 <= seconds(part) <= 10:
            raise GridError(f'"{part}" of "{text}" is out of bounds; write 1us to 10s')
    return text


def _order(text):
    name, colon, exponent = text.partition(":")
    if name in ("round_robin", "uniform") and not colon:
        return text
    if name == "zipf" and (not colon or re.fullmatch(r"[0-9]+(\.[0-9]+)?", exponent)
                           and 0.01 <= float(exponent) <= 10):
        return text
    raise GridError(f'"{text}" is not known here; use round_robin, uniform, zipf, or zipf with an '
                    "exponent of 0.01 to 10 such as zipf:1.2")


def _batch(text):
    return text if text == "adaptive" else integer(text, 1, 4096, "a batch of packets or adaptive")


def _aging(text):
    if text != "off" and not 1e-6 <= seconds(text) <= 10:
        raise GridError(f'"{text}" is out of bounds; write 1us to 10s, or off')
    return text


@dataclasses.dataclass(frozen=True)
class Axis:
    name: str
    default: str
    parse: object
    help: str


AXES = {axis.name: axis for axis in (
    Axis("nfs", "64", _nfs, 'NF processes in all (8,64,512,most)'),
    Axis("active", "100%", _active, "share of the tenants that get packets (1%,10%,100%)"),
    Axis("chain", "1", lambda t: integer(t, 1, CHAIN_MAX, "a chain length"),
         "NFs that a packet crosses (1 to 16)"),
    Axis("nf", "signature", _one_of(*workload.NFS), ", ".join(workload.NFS)),
    Axis("size", "64", _size, "frame bytes without FCS (64,700,1514,imix,web)"),
    Axis("rate", "max", _rate, "offered: 100kpps, 1.5Mpps, 80% of saturation, saturation, max"),
    Axis("arrival", "constant", _arrival, "constant, poisson, or bursts ON/OFF (1ms/9ms)"),
    Axis("order", "round_robin", _order, "which flow is next: round_robin, uniform, zipf[:1.2]"),
    Axis("dispatch", "", lambda t: t, "how an NF is woken: futex, semaphore, ... (or: all)"),
    Axis("batch", "8", _batch, "packets that wake an NF, or adaptive"),
    Axis("aging", "200us", _aging, "wake after this wait (100us, 1ms, off)"),
    Axis("cost", "0", lambda t: integer(t, 0, COST_MAX, "a number of cycles"),
         "TSC cycles a packet costs in each NF (the NF spin); 0: what the NF costs"),
    Axis("trust", "shared", lambda t: t, "shared or isolated"),
    Axis("cores", "1", lambda t: integer(t, 1, 1024, "a number of NF cores"), "NF cores"),
    Axis("downstream", "per_nf", _one_of("per_nf", "shared"),
         "rings back to the vSwitch: per_nf, shared"),
)}


# Settings -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Settings:
    """How a grid is measured; all of it is kept with the rows."""
    repeat: int = 5
    window: float = 2.0
    warmup: float = 1.0
    loss: float = 0.001
    search_time: float = 60.0
    search_window: float = 1.0
    searches: int = 3
    spread: float = 0.10
    retries: int = 2
    seed: int = 1
    packets: int = 65536
    ring: int = 128

    def set(self, name, text):
        parse, low, high, example = SETTINGS[name]
        value = parse(text)
        if not low <= value <= high:
            raise GridError(f'"{text}" is out of bounds; write {example}')
        setattr(self, name, value)


def _integer(text):
    return integer(text, 0, 10 ** 12, "a whole number")


# name -> how it is read, bounds, and how they are told.
SETTINGS = {
    "repeat": (_integer, 1, 1000, "1 to 1000"),
    "window": (seconds, 0.05, 600, "50ms to 10m"),
    "warmup": (seconds, 0, 600, "0s to 10m"),
    "loss": (share, 0, 0.5, "0% to 50%"),
    "search_time": (seconds, 1, 3600, "1s to 1h"),
    "search_window": (seconds, 0.05, 600, "50ms to 10m"),
    "searches": (_integer, 1, 100, "1 to 100"),
    "spread": (share, 0.001, 10, "0.1% to 1000%"),
    "retries": (_integer, 0, 100, "0 to 100"),
    "seed": (_integer, 0, 10 ** 12, "0 to 10^12"),
    "packets": (_integer, 1024, 4_000_000, "1024 to 4000000"),
    "ring": (_integer, 32, 4096, "32, 64, 128, ... 4096"),
}


def setting_text(name, settings):
    """A setting as the command line takes it."""
    value = getattr(settings, name)
    parse = SETTINGS[name][0]
    if parse is seconds:
        return f"{value:g}s"
    return f"{value * 100:g}%" if parse is share else str(value)


# The grid -----------------------------------------------------------------------------------------


class Box:
    """Values for each axis, and where they were written (for errors)."""

    def __init__(self):
        self.values = {}
        self.where = {}

    def set(self, axis, texts, where):
        """Sets an axis; the value of `where` begins every complaint about it."""
        if axis not in AXES:
            raise GridError(f"{where}: there is no axis \"{axis}\"; the axes are "
                            f"{', '.join(AXES)}")
        values = []
        for text in texts:
            try:
                value = AXES[axis].parse(text)
            except GridError as error:
                raise GridError(f"{where}: {error}") from None
            if value not in values:
                values.append(value)
        if not values:
            raise GridError(f"{where}: no value; write for example {AXES[axis].help}")
        self.values[axis] = values
        self.where[axis] = where

    def written(self, axis):
        return self.where.get(axis, axis)

    def overlaid(self, other):
        """This box with the axes that `other` sets."""
        box = Box()
        box.values = {**self.values, **other.values}
        box.where = {**self.where, **other.where}
        return box


def most_nfs(host):
    """How many NF processes this host bears beside what runs now, and what sets that bound."""
    room = host["processes"]
    memory = host["memory"]["available_bytes"]
    bounds = [
        (room["room"] - RESERVE_PROCESSES, f"{room['limit']}; {room['remedy']}"),
        ((memory - BASE_BYTES) // INSTANCE_BYTES, f"{memory >> 20} MiB of memory available"),
        (host["instances_max"], "the most that Mayfly runs"),
    ]
    count, why = min(bounds)
    return max(0, count), why


class Grid:
    """All points of a sweep, checked against `host` (what `mayfly doctor --json` says)."""

    def __init__(self, boxes, settings, host):
        self.settings = settings
        self.host = host
        self.points = []
        if settings.ring & (settings.ring - 1):
            raise GridError(f"--ring {settings.ring}: a ring has 32, 64, 128, ... 4096 entries")
        seen = set()
        for box in boxes:
            for point in self._points_of(box):
                key = json.dumps(point)
                if key not in seen:
                    seen.add(key)
                    self.points.append(point)
        if not self.points:
            raise GridError("the grid has no points")

    @classmethod
    def of_points(cls, points, settings, host):
        """A grid that was checked when it began."""
        self = cls.__new__(cls)
        self.points, self.settings, self.host = points, settings, host
        return self

    def _points_of(self, box):
        axes = {}
        for name, axis in AXES.items():
            if name in box.values:
                axes[name] = box.values[name]
            elif name == "dispatch":
                axes[name] = [self.host["dispatch_default"]]
            else:
                axes[name] = [axis.parse(axis.default)]
        axes["dispatch"] = self._dispatches(axes["dispatch"], box)
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, values))
            self._check(point, box)
            yield point

    def _dispatches(self, names, box):
        known = self.host["dispatches"]
        result = []
        for name in names:
            chosen = [d for d in known if d != "poll"] if name == "all" else [name]
            if not set(chosen) <= set(known):
                raise GridError(f'{box.written("dispatch")}: "{name}" is not in this version; use '
                                f"{', '.join(known)} or all (all that sleep)")
            result += [d for d in chosen if d not in result]
        return result

    def _check(self, point, box):
        """Refuses what cannot be; resolves `most`."""
        most, why = most_nfs(self.host)
        if point["nfs"] == MOST:
            point["nfs"] = most - most % point["chain"]
        nfs, chain = point["nfs"], point["chain"]
        if nfs > most:
            raise GridError(f"{box.written('nfs')}: {nfs} NFs are more than this host bears; use up "
                            f"to {most} ({why})")
        if nfs % chain or nfs == 0:
            near = sorted({max(chain, nfs - nfs % chain), nfs - nfs % chain + chain})
            raise GridError(f"{box.written('nfs')}: {nfs} NFs do not make whole chains of {chain}; "
                            f"use {' or '.join(map(str, near))}")
        if workload.tenants(point) * point["active"] < 1:
            raise GridError(f"{box.written('active')}: {point['active']:g} of "
                            f"{workload.tenants(point)} tenants is not even one; use at least "
                            f"{100 / workload.tenants(point):.3g}%")
        self._check_cores(point, box)
        batch_max = self.settings.ring - BLANKS_MAX
        if point["batch"] != "adaptive" and point["batch"] > batch_max:
            raise GridError(f"{box.written('batch')}: {point['batch']} is more than a ring of "
                            f"{self.settings.ring} holds; use up to {batch_max}, or a larger --ring")
        if point["batch"] == "adaptive" and point["aging"] == "off":
            raise GridError(f"{box.written('aging')}: off leaves an adaptive batch without its "
                            "measure; give a time")
        if point["cost"] and point["nf"] not in ("signature", "spin"):
            raise GridError(f"{box.written('cost')}: a cost is that of the NF spin, and this grid "
                            f"also says nf {point['nf']}; give one of both")
        if point["nf"] == "spin" and not point["cost"]:
            raise GridError(f"{box.written('nf')}: spin without a cost; give --cost in cycles")
        if point["cost"]:
            point["nf"] = "spin"

    def _check_cores(self, point, box):
        usable = self.host["cores"]["usable"]
        if point["cores"] > len(usable) - 1:
            raise GridError(f"{box.written('cores')}: {point['cores']} NF cores beside the "
                            f"vSwitch's, but {len(usable)} can be used here "
                            f"({', '.join(map(str, usable))}); "
                            + (f"use up to {len(usable) - 1}" if len(usable) > 1 else
                               "two are the least: give this machine or container another"))

    def config(self, point, rate, seed):
        return workload.config(point, self.host["cores"]["usable"], self.settings, rate, seed)


def _probes(points):
    """The fewest points (nearly) that between them have every value of every axis, and the most
    NFs."""
    seen = set()
    for point in sorted(points, key=lambda p: -p["nfs"]):
        fresh = {(axis, str(value)) for axis, value in point.items()
                 if axis not in ("nfs", "rate", "active")} - seen
        if fresh or not seen:
            seen |= fresh
            yield point


def check_with_mayfly(grid, mayfly):
    """Asks `mayfly run --check` about the grid's configurations; raises with its answer."""
    with tempfile.TemporaryDirectory(prefix="mayfly-check-") as folder:
        for point in _probes(grid.points):
            config, files = grid.config(point, "1kpps", grid.settings.seed)
            file = pathlib.Path(folder) / "config.yaml"
            file.write_text(json.dumps(config, indent=1), encoding="utf-8")
            for name, text in files.items():
                (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")
            done = subprocess.run([mayfly, "run", str(file), "--check"], text=True, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                lines = done.stdout.strip().splitlines() or [f"exit {done.returncode}"]
                why = re.sub(r"^mayfly: |\S*config\.yaml(:\d+)?: ", "", lines[0])
                why = re.sub(r"^\S*config\.yaml(:\d+)?: ", "", why)
                raise GridError(f"{describe(point, grid.points)}: {why}")


def describe(point, points=()):
    """A point in words: the axes that differ from their defaults or among `points`."""
    words = []
    for axis, value in point.items():
        varies = any(other[axis] != value for other in points)
        if varies or str(value) != AXES[axis].default and axis not in ("nf", "active"):
            words.append(f"{axis} {value}")
        elif axis == "nf" and value != "signature" or axis == "active" and value != 1:
            words.append(f"{axis} {value}")
    return ", ".join(words)


def written(axis, value):
    """A value as the command line takes it."""
    if axis == "active":
        return f"{value * 100:g}%"
    if axis == "rate" and not isinstance(value, str):
        return f"{value:.12g}pps"
    return str(value)


# YAML ---------------------------------------------------------------------------------------------


def read_file(path):
    """(boxes, settings as text {name: (text, where)}) of a sweep file."""
    try:
        import yaml  # the distribution's python3-yaml; only a file needs it
    except ImportError:
        raise GridError(f"{path}: reading YAML needs PyYAML; install it (apt-get install "
                        "python3-yaml), or give the axes on the command line") from None
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise GridError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GridError(f"{path}: not text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise GridError(f"{where}: {getattr(error, 'problem', None) or 'not YAML'}") from None
    reader = _Reader(str(path), yaml)
    return reader.sweep(tree)


class _Reader:
    """A sweep file, node by node, so that every complaint has its line."""

    def __init__(self, path, yaml):
        self.path = path
        self.yaml = yaml

    def at(self, node):
        return f"{self.path}:{node.start_mark.line + 1}"

    def map(self, node, what):
        if not isinstance(node, self.yaml.MappingNode):
            where = self.path if node is None else self.at(node)
            raise GridError(f"{where}: {what} is a map, such as "
                            "{ nfs: [8, 64], rate: [80%, max] }")
        items = {}
        for key, value in node.value:
            name = self.scalar(key, "a name")
            if name in items:
                raise GridError(f"{self.at(key)}: {name} is given twice")
            items[name] = (key, value)
        return items

    def scalar(self, node, what):
        if not isinstance(node, self.yaml.ScalarNode):
            raise GridError(f"{self.at(node)}: expected {what}")
        return node.value

    def value(self, node):
        """One value of an axis: a scalar, or bursts { on: 1ms, off: 9ms }."""
        if isinstance(node, self.yaml.MappingNode):
            items = self.map(node, "bursts")
            if set(items) != {"on", "off"}:
                raise GridError(f"{self.at(node)}: bursts are written {{ on: 1ms, off: 9ms }}")
            return "/".join(self.scalar(items[k][1], "a duration") for k in ("on", "off"))
        return self.scalar(node, "a value")

    def values(self, node):
        if isinstance(node, self.yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        return [self.value(node)]

    def box(self, node):
        box = Box()
        for axis, (key, value) in self.map(node, "a grid").items():
            box.set(axis, self.values(value), f"{self.at(key)}: {axis}")
        return box

    def sweep(self, tree):
        boxes, settings = [], {}
        for name, (key, value) in self.map(tree, "a sweep file").items():
            if name == "grid":
                nodes = value.value if isinstance(value, self.yaml.SequenceNode) else [value]
                boxes = [self.box(node) for node in nodes]
            elif name in SETTINGS:
                settings[name] = (self.scalar(value, "a value"), f"{self.at(key)}: {name}")
            else:
                raise GridError(f"{self.at(key)}: there is no key \"{name}\"; the keys are grid, "
                                f"{', '.join(SETTINGS)}")
        if not boxes:
            raise GridError(f"{self.path}: no grid; write for example grid: "
                            "{ nfs: [8, 64], rate: [80%, max] }")
        return boxes, settings
