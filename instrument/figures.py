"""The figures of a report, drawn from points.

`by_metric`, `percentiles`, `cdf` and `heat` draw whatever points they are given; which of them a
sweep gets says sweep_figures.py, a comparison comparison.py. What goes along x, into lines and into
panels: facets.py."""
import dataclasses
import itertools
import math

import facets as f
import panels
import rows as r
import scales
import stats
from facets import Metric

PERCENTILES = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max"))
SOME = " Some combinations only; the table has all."
FIGURES_MAX = 3  # of a kind
CDF_PANELS = 4
CDF_LINES = 5


@dataclasses.dataclass
class Figure:
    """`points` are what it shows: its parameters and commands are theirs."""
    key: str
    title: str
    text: str
    svg: str
    points: list


def nf_cpu(figures):
    """The mean share of the NF cores in use."""
    cores = r.dig(figures, "cpu.nf_cores")
    known = [c for c in cores if r.number_of(c) is not None] if isinstance(cores, list) else []
    return sum(known) / len(known) if known else None


def loss(figures):
    """The share of what was offered that was dropped."""
    drops, rx = r.dig(figures, "packets.drops"), r.number_of(r.dig(figures, "packets.rx"))
    if not isinstance(drops, dict) or not rx:
        return None
    return sum(v for v in drops.values() if r.number_of(v) is not None) / rx


MPPS = Metric("mpps", "Mpps", scales.plain, name="Packets")
GBPS = Metric("gbps", "Gb/s", scales.plain, name="Bits")
LATENCY = {k: Metric(f"latency_us.{k}", "latency", scales.micros, True, name=f"{word} latency")
           for k, word in (("mean", "Mean"), ("p50", "Median"), ("p99", "99th percentile"))}
CPU = (Metric("cpu.vswitch", "busy", scales.percent, top=1, name="vSwitch core"),
       Metric(nf_cpu, "in use", scales.percent, top=1, name="NF cores"))
WAKES = (Metric("wakes.per_s", "wakes/s", scales.count, True, name="Wakes"),
         Metric("wakes.packets_per_wake", "packets", scales.plain, True,
                name="Packets per wake"))
MEMORY = Metric("memory.per_nf_kib", "KiB", scales.plain, name="Memory per NF")


def _figures(key, title, text, parts, left_out):
    """A Figure for each of `parts` [(fixed axes, panels, columns, points)], numbered from the
    second. `text`: the caption, or a function of the points."""
    result = []
    for axes, drawn, columns, points in parts:
        full = f"{title}: {f.heading(axes)}" if axes else title
        number = f"{key}-{len(result) + 1}" if result else key
        caption = (text(points) if callable(text) else text) + SOME * left_out
        result.append(Figure(number, full, caption,
                             panels.draw(drawn, full, columns), points))
    return result


def by_metric(key, title, text, points, metrics, x, by, paper=()):
    """Figures of `metrics` side by side against the axis `x`, a line for each value of `by`, a row
    of panels for each combination of what else varies. `paper`: printed values (paper.py)."""
    metrics = [m for m in metrics if any(p.value(m.take) for p in points)]
    if not metrics:
        return []
    order = r.varying(points).get(by, [])
    by = by if order else None
    parts = []
    rows_max = max(1, f.PANELS_MAX // len(metrics))
    points, left_out = f.thinned(points, {x, by}, FIGURES_MAX * rows_max)
    for axes, part in f.split(points, {x, by}, rows_max):
        if by and x not in r.varying(part):
            drawn = _named(part, {x, by}, metrics, by, order)
        else:
            drawn = _panels(part, axes, metrics, x, by, order, paper)
        parts.append((axes, drawn, len(metrics) if len(metrics) > 1 else
                      f.columns(part, {x, by}), part))
    return _figures(key, title, text, parts, left_out)


def _panels(part, axes, metrics, x, by, order, paper):
    """The panels of one figure: a row for each combination, a column for each metric."""
    rows = list(f.facets(part, {x, by}))
    scale, at = f.x_scale(x, part, [m.nfs for m in paper] if x == "nfs" else ())
    paper = () if isinstance(scale, scales.Band) else paper
    shared = {}
    for m in metrics:
        values = [v for v in (p.value(m.take) for p in part) if v]
        marks = [mark for mark in paper for more, _ in rows if mark.fits(m, x, {**axes, **more})]
        shared[m.name] = f.y_scale(m, values + [mark.value() for mark in marks])
    drawn = []
    for more, chosen in rows:
        for m in metrics:
            marks = [mark.mark() for mark in paper if mark.fits(m, x, {**axes, **more})]
            drawn.append(panels.Lines(
                f.titled(more, m.name), scale, shared[m.name], f.X_TITLES.get(x, x), m.title,
                f.lines(chosen, by, order, at, m), marks))
    return drawn


def _named(part, along, metrics, by, order):
    """The same where nothing varies along x: a row for each value of `by`."""
    drawn = []
    shared = {m.name: f.y_scale(m, [v for v in (p.value(m.take) for p in part) if v])
              for m in metrics}
    for more, chosen in f.facets(part, along):
        for m in metrics:
            rows = []
            for name in order:
                for p in f.where(chosen, {by: name})[:1]:
                    value = p.value(m.take)
                    colour, shape = f.style(by, order, name)
                    usable = value and (value.median > 0 or not m.log)
                    rows.append(panels.Row(
                        r.axis_words(by, name), value.median, value.low, value.high,
                        "", f.written(m, value), colour, shape, bool(p.flags)) if usable else
                        panels.Row(r.axis_words(by, name), note="-"))
            drawn.append(panels.Rows(f.titled(more, m.name), shared[m.name], rows, m.title,
                                    None if m.log else 0))
    return drawn


def percentiles(points, x):
    """Latency percentiles against `x`, both logarithmic; a panel for each combination."""
    there = [p for p in points if p.value("latency_us.p50")]
    if not there:
        return []
    scale_of = Metric("", "latency", scales.micros, True)
    parts = []
    there, left_out = f.thinned(there, {x}, FIGURES_MAX * f.PANELS_MAX)
    for axes, part in f.split(there, {x}):
        scale, at = f.x_scale(x, part)
        values = [v for v in (p.value(f"latency_us.{k}") for p in part for k, _ in PERCENTILES)
                  if v]
        y = f.y_scale(scale_of, values)
        drawn = [panels.Lines(f.heading(more), scale, y, f.X_TITLES.get(x, x), "latency",
                              _percentile_lines(chosen, at))
                 for more, chosen in f.facets(part, {x})]
        parts.append((axes, drawn, f.columns(part, {x}), part))
    return _figures("latency", f"Latency percentiles, by {r.axis_name(x)}",
                    lambda part: "From the moment a packet was due until it left. "
                    + spoken(part, x, None, Metric("latency_us.p99", "", scales.micros),
                             "p99: "), parts, left_out)


def _percentile_lines(points, at):
    result = []
    for i, (key, name) in enumerate(PERCENTILES):
        metric = Metric(f"latency_us.{key}", "", scales.micros, True, name=name)
        if any(p.value(metric.take) for p in points):
            result.append(panels.Series(name, f"o{round(i * 1.5)}", f.dots(points, at, metric),
                                        panels.SHAPES[i]))
    return result


def cdf(points):
    """The whole distribution of latencies, all repeats of a point together."""
    there = [p for p in points if any(_buckets(row) for row in p.used)]
    quiet = [p for p in there if not p.saturated]
    there = quiet or there
    if not there:
        return []
    vary = r.varying(there)
    by = f.beside(there, None, ("alternative", "dispatch", "nfs", "rate", "batch", *f.X_AXES,
                                *f.NAMED))
    there, left_out = f.thinned(there, {by}, CDF_PANELS)
    by = by if by in r.varying(there) else None
    order = f.thin(r.varying(there).get(by, [None]), CDF_LINES)
    drawn = _cdf_panels(there, by, order)
    text = ("The share of packets at or below a latency, in nines: every step up is ten times "
            "rarer. All repeats together."
            + SOME * left_out)
    title = "Latency distribution" + (f", by {r.axis_name(by)}" if by else "")
    return [Figure("cdf", title, text, panels.draw(drawn, title), there)]


def _buckets(row):
    found = row["figures"].get("latency_buckets")
    if not isinstance(found, list):
        return []
    return [(b[0], b[1]) for b in found if isinstance(b, list) and len(b) == 2
            and (r.number_of(b[0]) or 0) > 0 and (r.number_of(b[1]) or 0) > 0]


def _cdf_panels(points, by, order):
    curves = []
    for axes, chosen in f.facets(points, {by}):
        lines = []
        for value in order:
            for p in f.where(chosen, {by: value}) if by else chosen:
                merged = stats.merge_buckets(_buckets(row) for row in p.used)
                lines.append((value, merged))
        curves.append((axes, lines))
    all_buckets = [b for _, lines in curves for _, merged in lines for b in merged]
    nines = max(2, min(5, int(math.log10(max(sum(c for _, c in merged) for _, lines in curves
                                              for _, merged in lines) or 1))))
    y = scales.Nines(nines)
    last = max(stats.bucket_percentile(merged, 1 - 10.0 ** -nines) for _, lines in curves
               for _, merged in lines)
    x = scales.Log(min(u for u, _ in all_buckets), last, label=scales.micros, pad=0.01)
    drawn = []
    for axes, lines in curves:
        series = []
        for value, merged in lines:
            style, _ = f.style(by, order, value) if by else ("c0", "circle")
            series.append(panels.Series(r.axis_words(by, value) if by else "", style,
                                        _curve(merged, x, y), markers=False))
        drawn.append(panels.Lines(f.heading(axes), x, y, "latency", "packets", series))
    return drawn


def _curve(buckets, x, y):
    """The cumulated shares, thinned to what the eye can tell apart; it ends at the axis' top."""
    total = sum(count for _, count in buckets)
    below, kept = 0, []
    last = (-1.0, -1.0)
    for upper, count in buckets:
        below += count
        share = min(below / total, 1 - 1e-12)
        now = (x.at(upper), y.at(share))
        if max(abs(a - b) for a, b in zip(now, last)) > 0.006 or below == total:
            kept.append(panels.Dot(upper, share))
            last = now
        if now[1] >= 1:
            break
    return kept


def heat(key, title, text, points, metric, x="batch", y="aging", least=True):
    """A map of `metric` over two axes. The best cell (the least, or the most) has a frame; those
    whose MADs reach the best one's have a thin frame."""
    there = [p for p in points if p.value(metric.take)]
    vary = r.varying(there)
    if x not in vary or y not in vary:
        return []
    parts = []
    there, left_out = f.thinned(there, {x, y}, FIGURES_MAX * f.PANELS_MAX)
    for axes, part in f.split(there, {x, y}):
        medians = [p.value(metric.take).median for p in part]
        low, high = _span(medians, metric)
        drawn = [panels.Heat(f.heading(more), _band(x, part), _band(y, part), x, r.axis_name(y),
                             _cells(chosen, metric, x, y, low, high, least))
                 for more, chosen in f.facets(part, {x, y})]
        parts.append((axes, drawn, 2, part))
    return _figures(key, title, text, parts, left_out)


def _band(axis, points):
    return scales.Band([str(v) for v in r.varying(points)[axis]],
                       lambda text: r.axis_value(axis, text))


def _cells(points, metric, x, y, low, high, least):
    values = {p: v for p in points if (v := p.value(metric.take))}
    best = (min if least else max)(values.values(), key=lambda v: v.median)
    cells = {}
    for p, v in values.items():
        level = (math.log(v.median / low) / math.log(high / low) if metric.log and low > 0 else
                 (v.median - low) / (high - low))
        frame = "best" if v is best else "near" * (v.low <= best.high and best.low <= v.high)
        text, spread, unit = metric.label.pair(v.median, v.mad)
        cells[str(p.axes[x]), str(p.axes[y])] = panels.Cell(
            level, f"{text} {unit}".strip(), f"± {spread}", f.tip(p, metric, v, (x, y)), frame,
            bool(p.flags))
    return cells


def _span(medians, metric):
    """The values of the palest and the strongest colour. Not the least and the greatest: a map of
    nothing but noise shall look even."""
    low, high = min(medians), max(medians)
    if metric.log and low > 0:
        widen = max(1.0, 5 * low / high) ** 0.5
        return low / widen, high * widen
    return 0, metric.top or high or 1


def spoken(points, x, by, metric, lead=""):
    """What the lines say, in words: the ends of each line (of the outer ones, if there are many) in
    the first panel, after `lead`; nothing where there are no lines."""
    parts = []
    order = r.varying(points).get(by, [None])
    by = by if order != [None] else None
    for axes, part in itertools.islice(f.facets(points, {x, by}), 1):
        for value in f.thin(order, 2) if len(order) > 3 else order:
            line = [(p, p.value(metric.take)) for p in (f.where(part, {by: value}) if by else part)]
            line = [(p, v) for p, v in line if v]
            if len(line) < 2:
                continue
            (first, a), (last, b) = line[0], line[-1]
            name = ", ".join(n for n in (f.heading(axes), by and r.axis_words(by, value)) if n)
            parts.append((f"{name}: " if name else "") + f"{_said(metric, a)} at "
                         f"{r.axis_words(x, first.axes.get(x))}, {_said(metric, b)} at "
                         f"{r.axis_words(x, last.axes.get(x))}")
    return f"{lead}{'; '.join(parts)}." if parts else ""


def _said(metric, value):
    unit = f" {metric.title}" if metric.label is scales.plain else ""
    return metric.label.measured(value.median) + unit
