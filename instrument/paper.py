"""The printed values of the tiny-NF paper (paper.json, with its source), as marks beside ours.

They were measured on another machine, so a mark says what the paper says and no more."""
import json
import pathlib
import re

import panels
import rows as r

FILE = pathlib.Path(__file__).resolve().parent / "paper.json"
PRESET = re.compile(r"--preset[ =]tiny-nf\b")
# The preset's alternatives, and plain sweeps over the dispatch, run the same architectures.
NAMES = {"A": ("A", "poll"), "B": ("B", "semaphore")}


class Mark:
    """One printed value."""

    def __init__(self, entry):
        self._entry = entry

    @property
    def nfs(self):
        return self._entry["nfs"]

    def fits(self, metric, x, axes):
        """Does it belong into a panel of `metric` against `x`, where `axes` are fixed?"""
        e = self._entry
        if x != "nfs" or e["metric"] not in (metric.take, getattr(metric.take, "__name__", "")):
            return False
        names = NAMES.get(e["architecture"], (e["dispatch"],))
        for axis in ("dispatch", "alternative"):
            text = str(axes.get(axis, names[0]))
            if text not in names and e["architecture"] not in text.split():
                return False
        if e["metric"] != "latency_us.mean" and axes.get("rate") not in (None, r.SATURATION, "max"):
            return False
        return "size" not in e or str(axes.get("size", e["size"])) == str(e["size"])

    def value(self):
        return _Printed(self._entry["value"])

    def mark(self):
        e = self._entry
        size = f", {e['size']} B" if "size" in e else ""
        return panels.Mark(e["nfs"], e["value"], f"paper {e['architecture']}: {e['text']}{size}")


class _Printed:
    """Looks like a rows.Value without spread."""

    def __init__(self, value):
        self.median = self.low = self.high = value


def marks(command):
    """The marks for a sweep of the `tiny-nf` preset; none for any other."""
    if not PRESET.search(command):
        return []
    return [Mark(e) for e in json.loads(FILE.read_text(encoding="utf-8"))["values"]
            if e["architecture"] in NAMES]


def table():
    """(source, host, note, [(architecture, NFs, size, what, text)]) for the report."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    what = {"latency_us.mean": "mean latency", "gbps": "throughput", "nf_cpu": "NF cores busy"}
    return data["source"], data["host"], data["note"], [
        (e["architecture"], e["nfs"], f"{e['size']} B" if "size" in e else "",
         what[e["metric"]], e["text"]) for e in data["values"]]
