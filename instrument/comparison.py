"""What the rows of `mayfly compare` say: the table on the terminal, and the figures of the report.

Ratios are by the base, the first of Mayfly's dispatches: how many times the base's throughput an
alternative carries, how many times its latency, CPU time, memory and start-up time it has."""
import comparisons
import facets as f
import figures
import rows as r
import scales
from comparisons import Measure
from facets import Metric

SATURATION = "saturation"
X = "tenants"


def cpu_us_per_packet(figures_of):
    """CPU time of all cores that work on packets, by packet that arrived."""
    source, mpps = r.dig(figures_of, "cpu.vswitch"), r.dig(figures_of, "mpps")
    cores = r.dig(figures_of, "cpu.nf_cores")
    if not isinstance(cores, list) or not r.number_of(mpps) or r.number_of(source) is None:
        return None
    return (source + sum(c for c in cores if r.number_of(c) is not None)) / mpps


def is_comparison(rows):
    """Were these rows written by `mayfly compare`?"""
    return any(X in row["point"] for row in rows)


P50 = Metric("latency_us.p50", "latency", scales.micros, True, name="Median latency")
P99 = Metric("latency_us.p99", "latency", scales.micros, True, name="99th percentile latency")
MPPS = Metric("mpps", "Mpps", scales.plain, True, name="Packets")
CPU = Metric(cpu_us_per_packet, "CPU time", scales.micros, True, name="CPU time of a packet")
START = Metric("costs.start_ms_per_tenant", "ms", scales.plain, True, name="Start-up, by tenant")
MEMORY = Metric("costs.kib_per_tenant", "KiB", scales.plain, True, name="Memory, by tenant")


def ordered(points):
    return sorted(points, key=lambda p: p.axes.get(X, 0))


def at(points, **axes):
    """The point with these axes, or None."""
    return next(iter(f.where(points, axes)), None)


def alternatives(points):
    """Names in the order in which they were measured side by side."""
    order = {}
    for p in points:
        for row in p.rows:
            order.setdefault(p.axes["alternative"], row.get("order", len(order)))
    return sorted(order, key=lambda name: (order[name], name))


def base_of(points):
    """What ratios are by: the first of Mayfly's own dispatches, else the first there is."""
    names = alternatives(points)
    return next((n for n in names if n.startswith("mayfly ")), names[0] if names else None)


def ratio(point, base, metric):
    """value / base's, or None."""
    a, b = (p.value(metric.take) if p else None for p in (point, base))
    return a.median / b.median if a and b and b.median > 0 and a.median > 0 else None


# The table ----------------------------------------------------------------------------------------


def loads_of(points):
    return sorted({p.axes["rate"] for p in points if p.axes["rate"] != SATURATION}, key=r.numeric)


def table(points, rows):
    """Lines for the terminal: figures, and below each the ratio to the base."""
    loads, base_name = loads_of(points), base_of(points)
    columns = [("Mpps", MPPS, SATURATION)]
    columns += [(f"p50@{load}", P50, load) for load in loads]
    columns += [(f"p99@{load}", P99, load) for load in loads]
    middle = middle_load(points)
    columns += [(f"CPU@{middle}", CPU, middle), ("KiB/tenant", MEMORY, SATURATION),
                ("ms/tenant", START, SATURATION)]
    missing = {(axes.get("alternative"), axes.get(X)): why
               for axes, _, why in r.missing_of(rows)}
    names = alternatives(points)
    names += sorted({a for a, _ in missing} - set(names))
    lines = [" | ".join([f"{'alternative':<20}"] + [f"{name:>10}" for name, *_ in columns])]
    for tenants in sorted({p.axes[X] for p in points} | {n for _, n in missing}):
        lines.append(f"{tenants} tenants")
        for name in names:
            lines += _lines(points, missing, tenants, name, base_name, columns)
    lines.append(f"x: times {base_name}'s" if base_name else "")
    return [line for line in lines if line]


def _lines(points, missing, tenants, name, base_name, columns):
    why = missing.get((name, tenants))
    mine = f.where(points, {X: tenants, "alternative": name})
    base = f.where(points, {X: tenants, "alternative": base_name})
    lines = []
    if mine:
        values, ratios = [], []
        for _, metric, rate in columns:
            p = at(mine, rate=rate)
            value = p.value(metric.take) if p else None
            text = metric.label.measured(value.median) if value else "-"
            values.append(f"{text + ('*' if p and p.flags else ''):>10}")
            times = ratio(p, at(base, rate=rate), metric)
            ratios.append(f"{f'x {times:.3g}' if times else '':>10}")
        lines.append(" | ".join([f"  {name:<18}", *values]))
        if name != base_name:
            lines.append(" | ".join([" " * 20, *ratios]))
    if why:
        lines.append(f"  {name:<18} | could not: {why}")
    return lines


# Figures ------------------------------------------------------------------------------------------


def drawn(points, rows):
    """Every figure of a comparison."""
    points = ordered(points)
    full = [p for p in points if p.saturated]
    below = [p for p in points if not p.saturated]
    middle = f.where(below, {"rate": middle_load(points)})
    name = "alternative"
    result = figures.by_metric(
        "throughput", "Throughput at saturation, by tenants",
        lambda part: "The highest rate that was carried with no more loss than the bound. "
        + figures.spoken(part, X, name, MPPS), full, (MPPS,), X, name)
    result += figures.by_metric(
        "latency", "Latency at shares of each one's own saturation",
        lambda part: "From the moment a packet was due until it came back. "
        + figures.spoken(part, X, name, P99, "99th percentile: "), below, (P50, P99), X, name)
    result += figures.by_metric(
        "cpu", "CPU time of a packet",
        "All cores that work on packets, source included, by packets that came back. What polls "
        "uses its core whether packets come or not.", middle, (CPU,), X, name)
    result += figures.by_metric(
        "tenant", "What a tenant costs",
        "Until it forwards, and in memory (what the host's available memory lost), divided by the "
        "tenants. testpmd has no tenants.", full, (START, MEMORY), X, name)
    for tenants in sorted({p.axes[X] for p in points}):
        result += _ratios(f.where(points, {X: tenants}), tenants, rows)
    return result


def middle_load(points):
    loads = loads_of(points)
    return "50%" if "50%" in loads else (loads or [SATURATION])[-1]


def _ratios(points, tenants, rows):
    base = base_of(points)
    why = {axes.get("alternative"): f"could not: {text[:60]}"
           for axes, _, text in r.missing_of(rows) if axes.get(X) == tenants}
    names = alternatives(points)
    names += sorted(set(why) - set(names))
    measures = [Measure("Throughput at saturation", MPPS, {"rate": SATURATION}, True)]
    measures += [Measure(f"99th percentile latency at {load} load", P99, {"rate": load})
                 for load in loads_of(points)]
    middle = middle_load(points)
    measures += [Measure(f"CPU time of a packet at {middle} load", CPU, {"rate": middle}),
                 Measure("Memory, by tenant", MEMORY, {"rate": SATURATION}),
                 Measure("Start-up, by tenant", START, {"rate": SATURATION})]
    return comparisons.ratios(
        f"ratios-{tenants}", f"Alternatives relative to {base}, {tenants} tenants",
        f"Each value divided by that of {base}; latency at a share of each one's own saturation.",
        points, measures, names, base, why=why)
