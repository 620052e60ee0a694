"""Rows of `rows.jsonl`, and the points they make.

A row is one measured window. Rows of equal axes (and equal alternative) are repeats of one point; a
point's values are the median of its repeats with the median absolute deviation (MAD). Rows of
disturbed windows stay in the file, but a point uses its undisturbed ones alone, as long as it has
any; where it has none, or its repeats disagreed and were measured again, the point is flagged.

The file may have been cut off by a kill, or written by another version: what cannot be used is left
out with a note, never guessed."""
import json
import math
import re

import scales
import stats
from rowfile import DISTURBED

SCHEMA = 1
KINDS = ("measured", "saturation", "refused", "failed")
SATURATION = "saturation"

# Every axis in the order in which a report names them: its words, and how a value is written.
AXES = {
    "alternative": ("alternative", str),
    "nf": ("NF", None),
    "dispatch": ("dispatch", str),
    "downstream": ("downstream rings", str),
    "trust": ("trust", str),
    "size": ("packet size", None),
    "chain": ("chain", lambda v: f"chain of {v}"),
    "nfs": ("NFs", lambda v: f"{axis_value('nfs', v)} NF" + ("" if v == 1 else "s")),
    "active": ("active share", None),
    "cost": ("NF cost", lambda v: axis_value("cost", v) if numeric(v) else ""),
    "cores": ("NF cores", lambda v: f"{v} NF core" + ("" if v == 1 else "s")),
    "arrival": ("arrival", str),
    "order": ("flow order", str),
    "rate": ("offered rate", None),
    "batch": ("batch", lambda v: f"batch {v}"),
    "aging": ("ageing", lambda v: f"ageing {axis_value('aging', v)}"),
}


class RowsError(Exception):
    """Nothing can be reported; one line that says why and what to do."""


def number_of(value):
    """`value` as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def dig(tree, path):
    """tree["a"]["b"] for "a.b"; None where anything is missing."""
    for key in path.split("."):
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree


def read(path):
    """(rows, notes): every row that can be used, and one line for each that cannot."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RowsError(f"{path}: {error.strerror}; a folder that `mayfly sweep` wrote has the "
                        "file rows.jsonl") from None
    rows, notes = [], []
    lines = data.split(b"\n")
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row, why = _row(line, cut_off=i == len(lines))
        if row is None:
            notes.append(f"{path.name}:{i}: {why}; left out")
        else:
            rows.append(row)
    if not rows:
        why = notes[0] if notes else f"{path.name} is empty"
        raise RowsError(f"{path.parent}: no row to report ({why}); `mayfly sweep --resume` goes "
                        "on where a sweep ended")
    return rows, notes


def _row(line, cut_off):
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None, "cut off" if cut_off else "not JSON"
    if not isinstance(row, dict):
        return None, "not an object"
    if row.get("schema") != SCHEMA:
        return None, f"schema {json.dumps(row.get('schema'))[:40]}, this version reads {SCHEMA}"
    if row.get("kind") not in KINDS:
        return None, f"kind {json.dumps(row.get('kind'))[:40]}, expected one of {', '.join(KINDS)}"
    if not isinstance(row.get("point"), dict):
        return None, "no point"
    if not isinstance(row.get("figures"), dict):
        if row["kind"] in ("measured", "saturation"):
            return None, "no figures"
        row["figures"] = {}
    row["flags"] = [str(f) for f in row["flags"]] if isinstance(row.get("flags"), list) else []
    return row, None


class Value:
    """One value of a point: the median of its repeats, their MAD and number."""

    def __init__(self, values):
        self.values = values
        self.median = stats.median(values)
        self.mad = stats.mad(values)

    @property
    def low(self):
        return self.median - self.mad

    @property
    def high(self):
        return self.median + self.mad


class Point:
    """The repeats of one combination of axes."""

    def __init__(self, axes, rows):
        self.axes = axes
        self.rows = rows
        undisturbed = [r for r in rows if not DISTURBED & set(r["flags"])]
        self.used = undisturbed or rows
        self.flags = sorted({f for r in self.used for f in r["flags"]})

    def value(self, path):
        """The Value of `path` in `figures` ("latency_us.p99"), or None where no row has it. A
        function of the figures serves as well as a path."""
        take = path if callable(path) else lambda figures: number_of(dig(figures, path))
        values = [v for v in (take(r["figures"]) for r in self.used) if v is not None]
        return Value(values) if values else None

    @property
    def saturated(self):
        return self.axes.get("rate") in (SATURATION, "max")


def axes_of(row):
    """A row's axes: those of its point, with the alternative, and the rate a search found named
    `saturation`."""
    axes = {k: v for k, v in row["point"].items() if isinstance(v, (str, int, float))}
    if row["kind"] == "saturation":
        axes["rate"] = SATURATION
    if row.get("alternative"):
        axes["alternative"] = str(row["alternative"])
    return axes


def points_of(rows):
    """The points of all measured rows, in the order of their axes."""
    groups = {}
    for row in rows:
        if row["kind"] in ("measured", "saturation"):
            axes = axes_of(row)
            groups.setdefault(tuple(sorted((k, str(v)) for k, v in axes.items())),
                              (axes, []))[1].append(row)
    points = [Point(axes, group) for axes, group in groups.values()]
    return sorted(points, key=lambda p: [sort_key(a, p.axes.get(a)) for a in AXES])


def missing_of(rows):
    """[(axes, kind, reason)] of what could not be measured, once each."""
    found = {}
    for row in rows:
        if row["kind"] in ("refused", "failed"):
            axes = axes_of(row)
            reason = next((str(v) for v in (row.get("reason"), row["figures"].get("reason"),
                                            row["figures"].get("error")) if v), "")
            found[json.dumps(axes, sort_keys=True), row["kind"]] = (axes, row["kind"], reason)
    return list(found.values())


def varying(points):
    """{axis: its values in order} of the axes that differ among `points`."""
    result = {}
    for axis in [*AXES, *sorted({a for p in points for a in p.axes} - set(AXES))]:
        values = {str(p.axes.get(axis)): p.axes.get(axis) for p in points if axis in p.axes}
        if len(values) > 1:
            result[axis] = sorted(values.values(), key=lambda v: sort_key(axis, v))
    if {"nfs", "chain"} <= set(result) and _follows(points, "nfs", "chain"):
        del result["nfs"]  # one tenant, or a fixed number of them: the chain says it all
    return result


def _follows(points, axis, other):
    """Is the value of `axis` the same wherever that of `other` is?"""
    seen = {}
    return all(seen.setdefault(str(p.axes.get(other)), p.axes.get(axis)) == p.axes.get(axis)
               for p in points)


def constant(points):
    """{axis: value} of the axes that all `points` share."""
    if not points:
        return {}
    return {a: points[0].axes[a] for a in [*AXES, *sorted(set(points[0].axes) - set(AXES))]
            if all(a in p.axes and str(p.axes[a]) == str(points[0].axes[a])
                              for p in points)}


_UNITS = {"ns": 1e-3, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6, "pps": 1, "kpps": 1e3, "Mpps": 1e6,
          "%": 1, "": 1}


def numeric(value):
    """The number in an axis value ("100us" in microseconds, "1.5Mpps" in packets a second, "80%"
    in percent), or None: `imix`, `off`, `adaptive` have none."""
    if number_of(value) is not None:
        return value
    match = re.fullmatch(r"([0-9.]+)\s*([a-zA-Zµ%]*)", str(value))
    try:
        return float(match[1]) * _UNITS[match[2]] if match else None
    except (ValueError, KeyError):
        return None


def sort_key(axis, value):
    """Numbers in their order, then words; a share of saturation before saturation itself."""
    if value is None:
        return (0, 0, "")
    known = numeric(value)
    relative = axis == "rate" and isinstance(value, str) and not value.endswith("pps")
    return (2 if known is None else 1 + 0.5 * relative, known or 0, str(value))


def axis_value(axis, value):
    """A value as a reader wants it, without the axis' name: 64 B, 80 % load, 100 µs."""
    known = numeric(value)
    if value is None:
        return "-"
    if known is None:
        return {"imix": "IMIX", SATURATION: "saturation", "max": "full load"}.get(
            str(value), str(value).replace("_", " "))
    if axis == "size":
        return f"{scales.number(known, 4)} B"
    if axis == "rate":
        return f"{scales.number(known)} % load" if str(value).endswith("%") else scales.rate(known)
    if axis == "active":
        return scales.percent(known)
    if axis == "aging":
        return scales.micros(known) if known else "0"
    if axis == "cost":
        return f"{scales.number(known, 4)} cycles"
    return scales.number(known, 6)


def axis_words(axis, value):
    """A value that says what it is: "batch 32", "ageing 100 µs", "64 B", "baton"."""
    if axis in AXES:
        named = AXES[axis][1]
        if named not in (None, str) and value is not None:
            return named(value)
        text = axis_value(axis, value)
        whole = {("active", 1): "all active", ("downstream", "per_nf"): "a return ring per NF",
                 ("downstream", "shared"): "one return ring"}
        return whole.get((axis, value)) or {
            "active": f"{text} active", "trust": f"{text} trust", "arrival": f"{text} arrivals",
            "order": f"{text} order"}.get(axis, text)
    return f"{axis} {axis_value(axis, value)}"


def axis_name(axis):
    return AXES.get(axis, (axis,))[0]
