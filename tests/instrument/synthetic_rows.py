"""Rows as a sweep writes them, from a simple queueing model with noise: the shapes of real rows
(a plateau, a knee, long tails, a stolen window, a refused and a failed point) in a second, the same
for one seed."""
import itertools
import math
import random
import statistics

HOST = {"cpu": "AMD EPYC (synthetic)", "cpus": 2, "memory_gib": 24, "kernel": "6.18.0",
        "distribution": "Debian 12", "huge_pages": 300}
VERSIONS = {"mayfly": "0.1.0", "dpdk": "22.11.5", "abi": 1}
COST_US = {"baton": 0.9, "futex": 2.0, "semaphore": 2.3, "poll": 8.0}


def preset(name, seed=1):
    """The rows of one preset, in the random order of a sweep."""
    rng = random.Random(seed)
    grid = {
        "density": {"nfs": [10, 30, 100, 300, 1000, 2000, 4000], "size": [64, 700, 1514],
                    "rate": ["20%", "80%", "max"], "dispatch": ["baton"]},
        "tiny-nf": {"nfs": [4, 10, 40, 100, 400, 2000], "size": [64, 700, 1514],
                    "dispatch": ["poll", "semaphore", "baton"], "rate": ["max"]},
        "wake": {"batch": [1, 4, 8, 32, 64, "adaptive"],
                 "aging": ["20us", "100us", "500us", "2ms", "off"],
                 "dispatch": ["baton", "futex", "semaphore"], "nfs": [400],
                 "rate": ["50%", "max"]},
        "sending-rate": {"nfs": [1], "chain": [1, 2, 3], "dispatch": ["baton"],
                         "rate": [100, 1000, 10000, 100000, 1000000, "max"], "size": [64]},
        "packet-size": {"size": [64, 128, 256, 512, 1024, 1514], "chain": [1, 2, 3],
                        "rate": ["max"], "dispatch": ["baton"], "nfs": [1]},
        "names": {"dispatch": ["baton", "futex", "semaphore"], "nfs": [100],
                  "rate": ["50%", "max"]},
        "one": {"nfs": [100], "rate": ["max"], "dispatch": ["baton"], "size": [64]},
    }[name]
    rows = []
    for values in itertools.product(*grid.values()):
        point = {"size": 64, "chain": 2, "batch": 32, "aging": "100us", "order": "round_robin",
                 "arrival": "constant", "trust": "shared"} | dict(zip(grid, values))
        for repeat in range(5):
            rows.append(row(name, point, repeat, rng))
    rows += _unmeasured(name, rows[0])
    rng.shuffle(rows)
    return rows


def row(name, point, repeat, rng):
    figures = model(point, rng)
    flags = []
    if rng.random() < 0.04:
        flags = ["steal"]
        figures["latency_us"] = {k: v * 6 for k, v in figures["latency_us"].items()}
    if point["dispatch"] == "poll" and point["nfs"] > 300:
        flags.append("spread")
    return {"schema": 1, "point": point, "repeat": repeat,
            "kind": "saturation" if point["rate"] == "max" else "measured", "flags": flags,
            "figures": figures, "config": {"wake": {"batch": point["batch"]}}, "host": HOST,
            "versions": VERSIONS, "seed": 1, "alternative": "mayfly",
            "command": f"mayfly sweep --preset {name} --out results",
            "started": f"2026-11-2{1 + repeat % 2}T06:{rng.randrange(60):02}:00Z"}


def _unmeasured(name, like):
    if name != "tiny-nf":
        return []
    common = {k: v for k, v in like.items() if k != "figures"}
    return [common | {"kind": "refused", "flags": [], "reason": "4,000 polling NFs: more than "
                      "this host bears", "point": like["point"] | {"nfs": 4000}},
            common | {"kind": "failed", "flags": [], "figures": {"error": "not ready within 90 s"},
                      "point": like["point"] | {"nfs": 2000, "size": 9000}}]


def model(point, rng):
    """Figures of one window."""
    nfs, chain = point["nfs"], point["chain"]
    size = point["size"] if isinstance(point["size"], int) else 350
    batch = point["batch"] if isinstance(point["batch"], int) else 12
    aging = {"off": 20000, "20us": 20, "100us": 100, "500us": 500, "2ms": 2000}[point["aging"]]
    switch = COST_US[point["dispatch"]] * (1 + (nfs / 300) ** 0.8)
    per_packet = 0.14 + chain * (0.02 + switch / (batch + 4)) + size * 0.00004
    capacity = 1 / per_packet / (1 + (nfs / 900 if point["dispatch"] == "poll" else 0))
    noise = math.exp(rng.gauss(0, 0.015))
    rate = str(point["rate"])
    share = 1.0 if rate == "max" else (float(rate[:-1]) / 100 if rate.endswith("%") else
                                       float(rate) / 1e6 / capacity)
    mpps = capacity * min(share, 1) * noise
    wait = min(aging, batch * nfs / max(mpps, 1e-6)) * 0.5 + switch
    queue = switch * nfs * 0.3 * share / max(0.04, 1.04 - min(share, 1))
    p50 = (3 + wait + queue) * math.exp(rng.gauss(0, 0.05))
    sigma = 0.35 + 0.25 * min(share, 1) + (0.5 if point["dispatch"] != "baton" else 0)
    buckets = lognormal_buckets(p50, sigma, 2000000)
    latency = percentiles(buckets)
    packets = int(mpps * 2e6)
    lost = int(packets * (0.0008 if share >= 1 else 0))
    per_wake = 1 + (batch - 1) * min(1, share + 0.1)
    return {
        "seconds": 2.0, "mpps": mpps, "gbps": mpps * size * 8 / 1000,
        "packets": {"rx": packets + lost, "originated": 0, "tx": packets, "held": 0,
                    "drops": {"nf_ring_full": lost} if lost else {}},
        "latency_us": latency, "latency_buckets": buckets,
        "nfs": {"live": nfs * chain, "returned": nfs * chain},
        "wakes": {"total": int(packets * chain / per_wake), "packets_per_wake": per_wake,
                  "per_s": mpps * 1e6 * chain / per_wake, "late": 0},
        "cpu": {"vswitch": min(1, 0.1 + 0.85 * share),
                "nf_cores": [min(1.0, 0.05 + 0.9 * share * noise)]},
        "memory": {"per_nf_kib": 96 + 40 / nfs + rng.gauss(0, 1)},
        "load": {"offered": mpps * 1e6, "late": 0},
        "disturbed": {"steal_ms": 0, "vswitch_wait_ms": 0},
    }


def lognormal_buckets(p50, sigma, count):
    """[[upper_us, count]...] of a log-normal body with a heavier tail, 3 significant digits."""
    above = [1 - i / 40 for i in range(1, 20)] + [0.5 * 10 ** (-i / 16) for i in range(100)]
    counts, before = {}, 0
    for share in above:
        z = statistics.NormalDist().inv_cdf(1 - share)
        value = p50 * math.exp(sigma * z + (0.25 * (z - 2) ** 2 if z > 2 else 0))
        seen = round((1 - share) * count)
        upper = round(value, 2 - math.floor(math.log10(value)))
        counts[upper] = counts.get(upper, 0) + seen - before
        before = seen
    return [[v, n] for v, n in sorted(counts.items()) if n]


def percentiles(buckets):
    total, seen, out = sum(n for _, n in buckets), 0, {}
    for q, key in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p999")):
        seen = 0
        for upper, n in buckets:
            seen += n
            if seen >= q * total:
                out[key] = upper
                break
    mean = sum(v * n for v, n in buckets) / total
    return {"count": total, "mean": mean, **out, "max": buckets[-1][0]}
