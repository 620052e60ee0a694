"""Figures that set alternatives side by side: each one's value divided by the reference's."""
import dataclasses

import facets as f
import panels
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
    text += (" Green: better than it by more than both MADs; orange: worse by more; grey: not told "
             "apart.")
    return [Figure(key, title, text, panels.draw(plots, title, 1), points)]


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
    return panels.Row(name, ratio, ratio * max(1 - spread, 0.05), ratio * (1 + spread),
                      _times(ratio), f.written(measure.metric, value), style, shape, flagged)
