"""The statistics of measurements: what is said about repeated values, and about latencies.

A figure is the median of its repeats with the MAD (median absolute deviation from the median), not
mean and standard deviation: one disturbed repeat moves neither. A percentile is the nearest rank:
the smallest recorded value that at least the given share of all values does not exceed, so it is
always a latency that some packet had."""
import math

WIDE = 0.10  # MAD / median above which a figure's spread is wide
WIDE_REPEATS_MIN = 3  # fewer repeats say nothing about spread


def median(values):
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, no median")
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def mad(values):
    """The median absolute deviation from the median (not scaled to a standard deviation)."""
    centre = median(values)
    return median([abs(value - centre) for value in values])


def wide(values, limit=WIDE):
    """Is the spread of these repeats too wide for one figure?"""
    if len(values) < WIDE_REPEATS_MIN:
        return False
    centre, spread = median(values), mad(values)
    return spread > limit * abs(centre)


def percentile(values, q):
    """Nearest rank, 0 <= q <= 1, of exact values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, no percentile")
    return ordered[max(1, math.ceil(q * len(ordered) - 1e-9)) - 1]


def bucket_percentile(buckets, q):
    """The same from a histogram, [[upper, count], ...] in rising order: the upper end of the bucket
    in which that rank lies. 0 of an empty histogram."""
    total = sum(count for _, count in buckets)
    rank = max(1, math.ceil(q * total - 1e-9))
    seen = 0
    for upper, count in buckets:
        seen += count
        if seen >= rank:
            return upper
    return 0


def merge_buckets(histograms):
    """One histogram of several, upper ends kept."""
    counts = {}
    for buckets in histograms:
        for upper, count in buckets:
            counts[upper] = counts.get(upper, 0) + count
    return sorted([upper, count] for upper, count in counts.items())


def coarsen(buckets, precision=0.01):
    """The same histogram with buckets at least `precision` of their value wide: small enough to be
    kept with every row, fine enough to draw. No count is lost, and no upper end is invented: a
    value is still at or below the end it stands under."""
    steps = math.log1p(precision)
    merged = []
    last = None
    for upper, count in buckets:
        step = math.floor(math.log(upper) / steps) if upper > 0 else None
        if merged and step == last:
            merged[-1] = [upper, merged[-1][1] + count]
        else:
            merged.append([upper, count])
        last = step
    return merged


def share_above(buckets, value):
    """The share of all values in buckets that end above `value`."""
    total = sum(count for _, count in buckets)
    return sum(count for upper, count in buckets if upper > value) / total if total else 0.0


def summary(values):
    """{median, mad, n, wide} of one figure's repeats."""
    return {"median": median(values), "mad": mad(values), "n": len(values), "wide": wide(values)}


def main_figure(rate):
    """What the spread of a point is judged by: at the limit its throughput, below it its latency."""
    return "mpps" if rate in ("max", "saturation") else "latency_us.p50"
