"""The figures of a sweep: those that its rows have data for, whatever varies in it."""
import facets as f
import paper as printed
import rows as r
import scales
from facets import Metric
from figures import (CPU, LATENCY, MEMORY, MPPS, GBPS, WAKES, by_metric, cdf, heat, nf_cpu,
                     percentiles, spoken)

LEAST = "Frame: the lowest of the map. Thin frame: not told apart from it by their MADs."


def drawn(points, command=""):
    """Every figure that these points have data for. `command`: what measured them."""
    paper = printed.marks(command)
    vary = r.varying(points)
    mapped = {"batch", "aging"} if {"batch", "aging"} <= set(vary) else set()
    numeric = {a: v for a, v in vary.items() if a not in mapped}
    x = f.pick({a: v for a, v in numeric.items() if a != "rate"}, f.X_AXES)
    result = []
    if x or not mapped and f.beside(points, x, f.NAMED):
        result += _throughput(points, x, paper)
    over = x if x == "nfs" else "rate" if len(numeric.get("rate", ())) >= 4 else x
    if over:
        result += percentiles(points, over)
    if not mapped:
        result += _compared(points, over, paper)
    result += cdf(points)
    if not mapped or over:
        result += _costs(points, over, paper)
    return result + (_maps(points) if mapped else [])


def _throughput(points, x, paper=()):
    """Packets and bits a second, side by side; a line for each packet size, if several."""
    there = [p for p in points if p.saturated]
    if not there and "rate" in r.varying(points):
        return []
    there = there or points
    by = f.beside(there, x, ("size", *f.NAMED, *f.X_AXES))
    return by_metric("throughput", f"Throughput, by {r.axis_name(x or by)}",
                     lambda part: "Packets sent (left), and the bits of their frames without FCS "
                     "(right). " + spoken(part, x, by, MPPS), there, (MPPS, GBPS), x, by, paper)


def _compared(points, x, paper):
    """Latency of named alternatives in one panel."""
    by = f.beside(points, x, f.NAMED)
    if not by:
        return []
    first = LATENCY["mean" if paper else "p50"]
    return by_metric("latency-compared", f"Latency by {r.axis_name(by)}",
                     lambda part: "The same load through each. "
                     + spoken(part, x, by, LATENCY["p99"], "99th percentile: "),
                     points, (first, LATENCY["p99"]), x, by, paper)


def _costs(points, x, paper):
    """CPU, wakes, memory."""
    by = f.beside(points, x, (*f.NAMED, "rate", "size", *f.X_AXES))
    if not x and not by:
        return []
    along = r.axis_name(x or by)
    result = by_metric("cpu", f"CPU use, by {along}",
                       "The vSwitch core polls and is never idle: the share it spent on packets. "
                       "NF cores: the share in use by anybody, mean of the cores.",
                       points, CPU, x, by, paper)
    result += by_metric("wakes", f"Wake-ups, by {along}",
                        "Wake-ups of NF processes, and the packets that each found waiting.",
                        points, WAKES, x, by)
    if x == "nfs":
        rates = [p.axes.get("rate") for p in points]  # the one with the most points will do
        full = f.where(points, {"rate": max(rates, key=rates.count)})
        result += by_metric("memory", "Memory of an NF",
                            "What the host's available memory lost since before the first NF, "
                            "divided by the NFs.", full, (MEMORY,), x,
                            f.beside(full, x, (*f.NAMED, "size")))
    return result


def _maps(points):
    """Batch x ageing: latency and cost below saturation, throughput at it."""
    full = [p for p in points if p.saturated]
    below = [p for p in points if not p.saturated] or points
    p99 = Metric("latency_us.p99", "", scales.micros.of(2), True)
    cpu = Metric(nf_cpu, "", scales.percent.of(2), top=1)
    wakes = Metric("wakes.per_s", "", scales.count.of(2), True)
    return (heat("map-p99", "99th percentile latency, by batch and ageing",
                 LEAST, below, p99)
            + heat("map-mpps", "Throughput at saturation in Mpps, by batch and ageing",
                   LEAST.replace("lowest", "highest"), full, MPPS, least=False)
            + heat("map-cpu", "NF cores in use, by batch and ageing",
                   LEAST, below, cpu)
            + heat("map-wakes", "Wake-ups a second, by batch and ageing",
                   LEAST, below, wakes))
