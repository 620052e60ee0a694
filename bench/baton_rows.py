"""The rows of the baton's table: which points each needs, and what it must reach.

A point has the axes of a sweep (instrument/grid.py), so `mayfly report` draws the folder, too. A
rate in % is a share of the point's own throughput under overload (`max`) in the same repeat."""
import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import grid  # noqa: E402

DISPATCHES = ("baton", "uring", "futex", "eventfd", "semaphore", "poll")
WAKE = (32, "100us")  # where nothing else is said: what the paper's architecture B is measured with
SMALL = (8, "100us")
ONE = (1, "100us")
BATCHES, AGINGS = (1, 8, 32), ("20us", "100us", "500us")
# More spinning processes make every other process of the machine wait for whole rounds of time
# slices (docs/results/whole_path.md).
POLL_MOST = 64
LATENCY_PPS, HIGH_PPS, ALONE_PPS = 100_000, 4_000_000, (100_000, 1_000_000)

# Mpps, 64-byte packets, one NF a packet. The bare prototype: the hand-over alone, without ports,
# flow table, checks and accounting. OpenNetVM 21.10 on DPDK 22.11, rings in RTS mode (the better of
# its two variants), NFs sharing a core, on the same kind of machine.
PROTOTYPE = {8: 13.3, 126: 15.2, 400: 13.7}
OPENNETVM = {1: 21.1, 8: 15.3, 32: 7.9, 64: 7.6, 126: 4.5, 400: 1.3}


def point(nfs, dispatch, wake, rate, chain=1):
    axes = {name: axis.parse(axis.default) for name, axis in grid.AXES.items()}
    return {**axes, "nfs": nfs, "chain": chain, "dispatch": dispatch, "batch": wake[0],
            "aging": wake[1], "rate": rate}


@dataclasses.dataclass
class Scope:
    """What is asked for. `best`: (NFs, dispatch) -> (batch, ageing), once it was searched for."""
    dispatches: tuple = DISPATCHES
    most: int = 2000
    fixed_pps: int = 1_000_000
    best: dict = dataclasses.field(default_factory=dict)

    def of(self, nfs, among=DISPATCHES):
        return [d for d in self.dispatches
                if d in among and (d != "poll" or nfs <= POLL_MOST)]

    def up_to(self, *counts):
        """Those that are not too many; at least one number, and an even one (chains of two)."""
        return [n for n in counts if n <= self.most] or [max(2, min(self.most, counts[0]) // 2 * 2)]


@dataclasses.dataclass
class Goal:
    """`value` must be at most (or at least) `bound`; None: it could not be measured."""
    text: str
    value: float
    bound: float
    least: bool = False
    unit: str = ""

    @property
    def met(self):
        if self.value is None:
            return "not measured"
        return "met" if (self.value >= self.bound if self.least else
                         self.value <= self.bound) else "missed"


def ratio(a, b):
    return None if a is None or not b else a / b


class Row:
    name = title = ""
    searched = False  # are batch and ageing searched for?

    def __init__(self, scope):
        self.scope = scope

    def counts(self):
        """Numbers of NFs."""
        raise NotImplementedError

    def points(self):
        raise NotImplementedError

    def goals(self, results):
        """[Goal]. `results(point, figure)`: the median, or None."""
        return []

    def beside(self, point):
        """What stands beside this point's throughput."""
        return ""

    def others(self, nfs):
        return [d for d in self.scope.of(nfs) if d != "baton"]

    def extreme(self, results, of, figure, points):
        values = [v for v in (results(p, figure) for p in points) if v is not None]
        return of(values) if values else None


class Latency(Row):
    name, title = "p99", "Latency at 0.1 Mpps, round robin, one NF a packet"
    searched = True

    def counts(self):
        return self.scope.up_to(64, 512)

    def candidates(self, nfs, dispatch):
        wakes = [(b, a) for b in BATCHES for a in AGINGS] if dispatch != "poll" else [ONE]
        return [point(nfs, dispatch, w, LATENCY_PPS) for w in wakes]

    def wakes(self, nfs, dispatch):
        best = self.scope.best.get((nfs, dispatch), ONE)
        wakes = [ONE] if dispatch == "poll" else [ONE, best, *[WAKE] * (dispatch == "futex")]
        return list(dict.fromkeys(wakes))

    def points(self):
        return [point(n, d, w, LATENCY_PPS) for n in self.counts() for d in self.scope.of(n)
                for w in self.wakes(n, d)]

    def goals(self, results):
        found = []
        for n in self.counts():
            def best(d, n=n):
                return self.extreme(results, min, "latency_us.p99", [
                    point(n, d, w, LATENCY_PPS) for w in self.wakes(n, d)])
            ours = best("baton")
            futex = results(point(n, "futex", WAKE, LATENCY_PPS), "latency_us.p99")
            rest = [v for v in map(best, self.others(n)) if v is not None]
            found += [Goal(f"p99 of the baton / futex at batch 32, 100 us, {n} NFs",
                           ratio(ours, futex), 1 / 10),
                      Goal(f"p99 of the baton / best of any other dispatch, {n} NFs",
                           ratio(ours, min(rest, default=None)), 1 / 3)]
        return found


class Alone(Row):
    name, title = "alone", "One NF alone on the core"
    rates = (*ALONE_PPS, "max")

    def counts(self):
        return [1]

    def points(self):
        return [point(1, d, WAKE, r) for d in self.scope.of(1, ("baton", "poll", "futex"))
                for r in self.rates]

    def goals(self, results):
        def both(rate, figure):
            return ratio(*(results(point(1, d, WAKE, rate), figure) for d in ("baton", "poll")))
        found = [Goal(f"median latency of the baton / poll at {rate / 1e6:g} Mpps, one NF",
                      both(rate, "latency_us.p50"), 1.1) for rate in ALONE_PPS]
        return found + [Goal("throughput of the baton / poll, one NF", both("max", "mpps"), 0.9,
                             least=True)]


class Saturation(Row):
    name, title = "saturation", "Throughput under overload, 64 bytes, one NF a packet"

    def counts(self):
        return self.scope.up_to(8, 32, 126, 400)

    def points(self):
        return [point(n, d, WAKE, "max") for n in self.counts() for d in self.scope.of(n)]

    def beside(self, p):
        known = [f"{name} {table[p['nfs']]}" for name, table in
                 (("prototype", PROTOTYPE), ("OpenNetVM", OPENNETVM)) if p["nfs"] in table]
        return ", ".join(known) if p["dispatch"] == "baton" else ""

    def goals(self, results):
        found = []
        for n in self.counts():
            ours = results(point(n, "baton", WAKE, "max"), "mpps")
            if n >= 126:
                rest = self.extreme(results, max, "mpps", [point(n, d, WAKE, "max")
                                                           for d in self.others(n)])
                found.append(Goal(f"throughput of the baton / best other dispatch, {n} NFs",
                                  ratio(ours, rest), 1.8, least=True))
                if n in PROTOTYPE:
                    found.append(Goal(f"throughput of the baton, {n} NFs (2/3 of the prototype's)",
                                      ours, PROTOTYPE[n] * 2 / 3, True, "Mpps"))
            if n >= 32 and n in OPENNETVM:
                found.append(Goal(f"throughput of the baton, {n} NFs (OpenNetVM's better variant)",
                                  ours, OPENNETVM[n], True, "Mpps"))
        return found


class Chains(Row):
    name, title = "chains", "Throughput under overload, 64 bytes, two NFs a packet"

    def counts(self):
        return self.scope.up_to(2000)

    def points(self):
        return [point(n, d, WAKE, "max", 2) for n in self.counts() for d in self.scope.of(n)]

    def goals(self, results):
        n = self.counts()[-1]
        ours, *rest = (results(point(n, d, WAKE, "max", 2), "mpps")
                       for d in ("baton", *self.others(n)))
        rest = max((v for v in rest if v is not None), default=None)
        return [Goal(f"throughput of the baton / best other dispatch, {n} NFs, two a packet",
                     ratio(ours, rest), 1.0, least=True)]


class High(Row):
    name, title = "p99-high", "Latency at 4 Mpps, one NF a packet"

    def counts(self):
        return self.scope.up_to(126, 400)

    def points(self):
        return [point(n, d, w, HIGH_PPS) for n in self.counts() for d in self.scope.of(n)
                for w in (WAKE, SMALL)]

    def goals(self, results):
        found = []
        for n in self.counts():
            ours, futex = (self.extreme(results, min, "latency_us.p99", [
                point(n, d, w, HIGH_PPS) for w in (WAKE, SMALL)]) for d in ("baton", "futex"))
            found.append(Goal(f"p99 of the baton / futex at 4 Mpps, {n} NFs", ratio(ours, futex),
                              1 / 3))
        return found


class Half(Row):
    name, title = "half", "Latency at half of that throughput, two NFs a packet, 65,536 buffers"

    def counts(self):
        return self.scope.up_to(2000)

    def points(self):
        return [point(n, d, w, rate, 2) for n in self.counts() for d in self.scope.of(n)
                for w in (WAKE, SMALL) for rate in ("max", "50%")]

    def goals(self, results):
        n = self.counts()[-1]
        points = [point(n, "baton", w, "50%", 2) for w in (WAKE, SMALL)]
        lossless = [p for p in points if (results(p, "loss") or 0) <= 0.001]
        mean = self.extreme(results, min, "latency_us.mean", lossless)
        return [Goal(f"mean latency of the baton, {n} NFs, two a packet, loss at most 0.1 %",
                     ratio(mean, 1000), 25.0, unit="ms")]


class Cycles(Row):
    name, title = "cycles", "What a packet costs the vSwitch, one NF a packet"

    def counts(self):
        return self.scope.up_to(8, 2000)

    def rates(self):
        return self.scope.fixed_pps, "max"

    def points(self):
        return [point(n, d, WAKE, r) for n in self.counts() for d in self.scope.of(n)
                for r in self.rates()]

    def goals(self, results):
        few, *many = self.counts()
        if not many:
            return []
        return [Goal(f"vSwitch cycles a packet of the baton, {many[-1]} / {few} NFs, {_rate(rate)}",
                     ratio(*(results(point(n, "baton", WAKE, rate), "vswitch.cycles_per_packet")
                             for n in (many[-1], few))), 1.5) for rate in self.rates()]


def _rate(rate):
    return "overload" if rate == "max" else f"{rate / 1e6:g} Mpps"


ROWS = {row.name: row for row in (Latency, Alone, Saturation, Chains, High, Half, Cycles)}
