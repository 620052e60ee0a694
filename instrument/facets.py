"""Which points make which panel, which line, and on which scales.

One axis goes along x, one becomes the lines of a panel, and the others make panels side by side
("small multiples"), all on the same scales so that they can be compared; more than nine panels make
more figures."""
import dataclasses
import itertools

import panels
import rows as r
import scales
import svg

PANELS_MAX = 9
LINES_MAX = 7
X_AXES = ("nfs", "size", "rate", "chain", "cost", "active", "cores", "batch", "aging")
X_TITLES = {"nfs": "NFs", "size": "packet size, bytes", "rate": "offered rate",
            "chain": "NFs in the chain", "cost": "NF cost", "active": "active share of the NFs",
            "cores": "NF cores", "batch": "batch", "aging": "ageing"}
NAMED = ("alternative", "nf", "dispatch", "downstream", "trust", "arrival", "order")
# The same dispatch has the same colour and marker everywhere.
COLOURS = {"baton": 0, "mayfly": 0, "futex": 1, "semaphore": 2, "poll": 3, "eventfd": 4, "uring": 5}


@dataclasses.dataclass
class Metric:
    take: object          # a path in `figures`, or a function of them
    title: str
    label: object         # a scales.Unit
    log: bool = False
    top: float = None     # the scale reaches at least that far
    name: str = ""        # the panel's heading


def thin(values, most):
    """At most `most` of `values`, evenly spaced, first and last among them."""
    if len(values) <= most:
        return list(values)
    if most == 1:
        return [values[0]]
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def pick(vary, wanted, least=2):
    """The first axis of `wanted` with three values or more, else with two."""
    for enough in (3, least):
        for axis in wanted:
            if len(vary.get(axis, ())) >= enough:
                return axis
    return None


def beside(points, x, wanted):
    """The first of the axes `wanted` that varies beside `x`."""
    vary = r.varying(points)
    return next((a for a in wanted if a in vary and a != x), None)


def where(points, axes):
    """Those of `points` that have the values of `axes`."""
    return [p for p in points if all(str(p.axes.get(a)) == str(v) for a, v in axes.items())]


def columns(points, along):
    """Columns in which the panels of facets() stand best: one for each value of the last axis."""
    others = [v for a, v in r.varying(points).items() if a not in along]
    return 3 if others and len(others[-1]) in (3, 6) else 2


def heading(axes):
    words = (r.axis_words(a, v) for a, v in axes.items() if v is not None)
    return ", ".join(w for w in words if w)


def facets(points, along):
    """({axis: value}, points) of each panel: every combination of the axes that vary, but those
    of `along`."""
    others = {a: v for a, v in r.varying(points).items() if a not in along}
    for values in itertools.product(*others.values()):
        axes = dict(zip(others, values))
        if chosen := where(points, axes):
            yield axes, chosen


def thinned(points, along, most):
    """(points, whether some were left out): so few values of the axes but `along`, evenly spaced,
    that they make at most `most` panels. Combinations that were not measured make none."""
    chosen = points
    while True:
        vary = {a: list(v) for a, v in r.varying(chosen).items() if a not in along}
        if len({tuple(str(p.axes.get(a)) for a in vary) for p in chosen}) <= most:
            return chosen, len(chosen) < len(points)
        longest = max(vary, key=lambda a: len(vary[a]))
        kept = set(map(str, thin(vary[longest], len(vary[longest]) - 1)))
        chosen = [p for p in chosen if str(p.axes.get(longest)) in kept]


def split(points, along, most=PANELS_MAX):
    """({axis: value}, points) of each figure, none with more panels than `most`."""
    others = {a: v for a, v in r.varying(points).items() if a not in along}
    if len(list(facets(points, along))) <= most:
        yield {}, points
        return

    def largest(axis):
        return max(len(list(facets(where(points, {axis: v}), along))) for v in others[axis])
    enough = [a for a in others if largest(a) <= most] or list(others)
    axis = min(enough, key=lambda a: len(others[a]))
    for value in others[axis]:
        for axes, part in split(where(points, {axis: value}), along, most):
            yield {axis: value, **axes}, part


# Scales

def x_scale(axis, points, also=()):
    """(scale, value of a point): numbers on a line that reaches the numbers `also`, logarithmic
    where they span more than a factor of 20; anything else by name."""
    if axis is None:
        return scales.Band([""]), lambda p: ""
    values = r.varying(points).get(axis) or [points[0].axes.get(axis)]
    if axis == "rate" and any(r.numeric(v) and not str(v).endswith("%") for v in values):
        return _rate_scale(points)
    numbers = [r.numeric(v) for v in values]
    if None in numbers or len(numbers) < 2:
        by_text = {str(v): v for v in values}
        return (scales.Band(by_text, lambda t: r.axis_value(axis, by_text[t])),
                lambda p: str(p.axes[axis]) if axis in p.axes else None)
    label = {n: r.axis_value(axis, v) for n, v in zip(numbers, values)}
    if axis == "size":
        label = {n: scales.number(n, 4) for n in numbers}
    low, high = min([*numbers, *also]), max([*numbers, *also])
    kind = scales.Log if low > 0 and high / low > 20 else scales.Linear
    scale = kind(low, high, label=label.get, values=numbers)
    return scale, lambda p: r.numeric(p.axes.get(axis))


def _rate_scale(points):
    """Absolute rates along x; saturation, and shares of it, stand where they were found."""
    def at(p):
        rate = p.axes.get("rate")
        if r.numeric(rate) and not str(rate).endswith("%"):
            return r.numeric(rate)
        found = p.value("mpps")
        return found.median * 1e6 if found and found.median > 0 else None
    known = [v for v in map(at, points) if v]
    return scales.Log(min(known), max(known), label=scales.rate), at


def y_scale(metric, values):
    """One scale for all panels of `metric`."""
    lows = [v.low for v in values] or [0]
    highs = [v.high for v in values] or [1]
    above = [v for v in lows + [v.median for v in values] if v > 0]
    if metric.log and above:
        return scales.Log(min(above), max(highs), label=metric.label)
    return scales.Linear(0, metric.top or max(max(highs), 1e-9) * 1.04, label=metric.label)


# Lines

def titled(axes, name):
    """A panel's heading from what is fixed in it and what it shows."""
    fixed = heading(axes)
    if fixed and name:
        keep = name[:2] in ("NF", "vS")
        return f"{fixed}: {name if keep else name[0].lower() + name[1:]}"
    return fixed or name


def style(axis, values, value):
    """(colour class, marker) of one line: a ramp where values have an order, else a colour."""
    texts = [str(v) for v in values]
    index = texts.index(str(value))
    if axis in NAMED:
        known = {t: COLOURS.get(t.removeprefix("mayfly ")) for t in texts}
        free = [i for i in range(7) if i not in known.values()] or [6]
        new = [t for t in texts if known[t] is None]
        number = known[str(value)]
        if number is None:
            number = free[new.index(str(value)) % len(free)]
        return f"c{number}", svg.SHAPES[number]
    ramp = round(index * 6 / (len(texts) - 1)) if len(texts) > 1 else 3
    return f"o{ramp}", svg.SHAPES[index % len(svg.SHAPES)]


def written(metric, value):
    """A value with its spread and unit: 4.90 ± 0.05 Mpps."""
    text, spread, unit = metric.label.pair(value.median, value.mad)
    return f"{text}{f' ± {spread}' if spread else ''} {unit or metric.title}"


def tip(point, metric, value, vary):
    """What hovering over a point tells: its values of the axes `vary`, and the metric's."""
    flags = f"; flagged: {', '.join(point.flags)}" if point.flags else ""
    name = f"{metric.name}: " if metric.name else ""
    place = heading({a: point.axes[a] for a in vary if a in point.axes})
    return (f"{place}: {name}{written(metric, value)} "
            f"({len(value.values)} of {len(point.rows)} windows{flags})")


def dots(points, at, metric):
    """The points along x, with their error bars; those without the value interrupt the line."""
    result = []
    vary = r.varying(points)
    for p in points:
        x, value = at(p), p.value(metric.take)
        if x is None:
            continue
        if value is None or metric.log and value.median <= 0:
            result.append(panels.Dot(x, None))
        else:
            result.append(panels.Dot(x, value.median, value.low, value.high, bool(p.flags),
                                     tip(p, metric, value, vary)))
    if result and r.number_of(result[0].x) is not None:
        result.sort(key=lambda dot: dot.x)
    return result


def lines(points, by, order, at, metric):
    """One Series for each value of the axis `by`."""
    if by is None:
        return [panels.Series("", "c0", dots(points, at, metric))]
    result = []
    for value in thin(order, LINES_MAX):
        if chosen := where(points, {by: value}):
            colour, shape = style(by, order, value)
            result.append(panels.Series(r.axis_words(by, value), colour,
                                        dots(chosen, at, metric), shape))
    return result
