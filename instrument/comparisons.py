"""Figures that set things side by side: ratios of alternatives, and Pareto fronts.

    ratios(...)   `compare`: each alternative's value divided by the reference's
    pareto(...)   `tune`: what was tried, the front, where it began, what is recommended"""
import dataclasses

import facets as f
import panels
import rows as r
import scales
from figures import Figure


@dataclasses.dataclass
class Measure:
    """One thing that is compared: `metric` of the points whose axes are `axes`."""
    name: str
    metric: f.Metric
    axes: dict = dataclasses.field(default_factory=dict)
    more_is_better: bool = False


def _value(points, measure, by, name):
    found = [p for p in f.where(points, {by: name, **measure.axes}) if p.value(measure.metric.take)]
    return (found[0].value(measure.metric.take), bool(found[0].flags)) if found else (None, False)


def ratios(key, title, text, points, measures, names, reference, by="alternative", why=None):
    """One panel for each of `measures`, a row for each of `names`: its value divided by that of
    `reference`, on one logarithmic scale, the value itself beside it. The bar adds both relative
    MADs. `why`: {name: what kept it from being measured}."""
    drawn = []
    for measure in measures:
        base, _ = _value(points, measure, by, reference)
        if not base or base.median <= 0:
            continue
        rows = [_ratio(points, measure, by, name, base, reference, (why or {}).get(name, "-"))
                for name in names]
        if any(row.value is not None and row.name != reference for row in rows):
            drawn.append((measure, rows))
    if not drawn:
        return []
    bounds = [v for _, rows in drawn for row in rows if row.value is not None
              for v in (row.low, row.high)]
    scale = scales.Log(min(bounds + [1]), max(bounds + [1]), label=_times)
    plots = [panels.Rows(f"{measure.name} ({'more' if measure.more_is_better else 'less'} is "
                         "better)", scale, rows, f"relative to {reference}", 1)
             for measure, rows in drawn]
    height = panels.Rows.ROW * len(names)
    return [Figure(key, title, text, panels.draw(plots, title, 1, height), points)]


def _times(value):
    return f"×{scales.number(value)}"


def _ratio(points, measure, by, name, base, reference, why):
    value, flagged = _value(points, measure, by, name)
    style, shape = ("c0", "circle") if name == reference else ("c6", "circle")
    if value is None or value.median <= 0:
        return panels.Row(name, note=why)
    ratio = value.median / base.median
    spread = value.mad / value.median + (base.mad / base.median if name != reference else 0)
    if name != reference and abs(ratio - 1) > spread:
        style = "c2" if (ratio > 1) == measure.more_is_better else "c1"
    text, mad, unit = measure.metric.label.pair(value.median, value.mad)
    return panels.Row(name, ratio, ratio * max(1 - spread, 0.05), ratio * (1 + spread),
                      _times(ratio), f"{text} ± {mad} {unit or measure.metric.title}".strip(),
                      style, shape, flagged)


@dataclasses.dataclass
class Try:
    """One setting that was tried. x, y: rows.Value, or anything with median, low and high."""
    name: str
    x: object
    y: object
    kind: str = "tried"   # tried, front, start, chosen
    flagged: bool = False


KINDS = (("tried", "tried", "mute", "circle"), ("front", "Pareto front", "c0", "circle"),
         ("start", "starting point", "c1", "square"), ("chosen", "recommended", "c2", "star"))


def pareto(key, title, text, tries, x_metric, y_metric, points=(), bounds=()):
    """What was tried, as points of two metrics; the front is joined by a step line. `bounds`:
    [(name, y)] the user's own bounds, drawn as level lines."""
    xs = [v for t in tries for v in (t.x.low, t.x.high)]
    ys = [v for t in tries for v in (t.y.low, t.y.high)] + [y for _, y in bounds]
    x = _scale(x_metric, xs)
    y = _scale(y_metric, ys)
    series = []
    for kind, name, style, shape in KINDS:
        chosen = sorted((t for t in tries if t.kind == kind), key=lambda t: t.x.median)
        if not chosen:
            continue
        if kind == "front":
            whole = sorted((t for t in tries if t.kind in ("front", "chosen")),
                           key=lambda t: t.x.median)
            series.append(panels.Series("", style, [panels.Dot(t.x.median, t.y.median)
                                                    for t in whole], markers=False, step=True))
        series.append(panels.Series(name, style, [_dot(t, x_metric, y_metric) for t in chosen],
                                    shape, line=False))
    drawn = panels.Lines("", x, y, x_metric.title, y_metric.title, series,
                         levels=[(level, name) for name, level in bounds])
    return [Figure(key, title, text, panels.draw([drawn], title, 1, 300), list(points))]


def _scale(metric, values):
    if metric.log:
        return scales.Log(min(v for v in values if v > 0), max(values), label=metric.label)
    return scales.Linear(0, metric.top or max(values) * 1.02, label=metric.label)


def _dot(t, x_metric, y_metric):
    told = ", ".join(m.label.measured(v.median) + (f" {m.title}" if m.label is scales.plain else "")
                     for m, v in ((x_metric, t.x), (y_metric, t.y)))
    return panels.Dot(t.x.median, t.y.median, t.y.low, t.y.high, t.flagged, f"{t.name}: {told}",
                      "" if t.kind == "tried" else t.name)


def value(number):
    """A single number as something with a spread (none)."""
    return r.Value([number])
