"""What a setting is judged by: a goal, and the scores that it gives to measured settings.

    p99         the lowest p99 latency at the given load; its bound says whether the goal is met
    least-cpu   the least CPU time at the given load, p99 within its bound
    throughput  the highest rate, p99 within its bound

All with at most the given share of packets lost. Lost is what waking can be blamed for: packets
that were dropped, or due at the source and not taken in; not those that an NF or a rule was asked
to drop. A setting's value is the median over its windows; those that the machine disturbed count only
where there are no others. Lower scores are better: settings within all bounds by their value, then
the others by how far they are outside."""
import dataclasses

import measure
import saturation
import stats

P99, LEAST_CPU, THROUGHPUT = "p99", "least-cpu", "throughput"
POLICY_DROPS = ("nf_drop", "no_rule", "no_tenant")
GROW, SHRINK = 1.25, 0.6
CLOSE = 1.04  # a bracket whose ends are so near is as good as known
FLOOR_PPS = 100.0


def cpu_of(figures):
    """CPU time spent on packets and on NFs, in cores."""
    return figures["cpu"]["vswitch"] + sum(figures["cpu"]["nf_cores"])


def lost_of(figures, pps, jitter=0.0):
    """The share of the packets due that was lost. `pps`: what was offered; None: unknown."""
    dropped = sum(n for why, n in figures["packets"]["drops"].items() if why not in POLICY_DROPS)
    taken = figures["load"]["offered"] if pps is not None else figures["packets"]["rx"]
    due = taken if pps is None else pps * figures["seconds"]
    missing = max(0.0, due * (1 - jitter) - taken - 64) if pps is not None else 0.0
    return (dropped + missing) / max(due, 1)


@dataclasses.dataclass
class Window:
    """What one window said, as far as goals look at it."""
    p99: float  # microseconds
    cpu: float  # cores
    lost: float
    mpps: float
    disturbed: bool = False
    cut: str = ""  # why it was ended before its time

    @classmethod
    def of(cls, figures, pps, jitter=0.0, cut=""):
        return cls(figures["latency_us"]["p99"], cpu_of(figures), lost_of(figures, pps, jitter),
                   figures["mpps"], bool(measure.disturbances(figures)), cut)


class Bracket:
    """The highest rate that a setting bears within the bounds: between the highest that passed and
    the lowest that failed."""

    def __init__(self):
        self.low, self.high, self.window = 0.0, None, None

    def next(self, start):
        """The rate to try now; None when the ends are close."""
        if self.high is None:
            return self.low * GROW if self.low else start
        if not self.low:
            return self.high * SHRINK if self.high > FLOOR_PPS else None
        return (self.low * self.high) ** 0.5 if self.high > self.low * CLOSE else None

    def tell(self, pps, window, passed):
        if passed:
            self.low, self.window = max(self.low, pps), window
            if self.high is not None and self.high <= self.low:
                self.high = None  # an earlier failure was bad luck
        else:
            self.high = pps if self.high is None else min(self.high, pps)
            if self.low >= self.high:
                self.low, self.window = 0.0, None


@dataclasses.dataclass
class Goal:
    kind: str
    p99: float  # bound, microseconds
    loss: float = 0.001
    rate: float = None  # packets a second; None: as the load has it

    def passes(self, window):
        return window.p99 <= self.p99 and window.lost <= self.loss and not window.cut

    def score(self, candidate):
        if self.kind == THROUGHPUT:
            bracket = candidate.bracket
            if bracket.low:
                return (0, -bracket.low, bracket.window.p99)
            return (1, -(bracket.high or 0), 0)
        windows = candidate.counted()
        if not windows:
            return (2, 0, 0)
        p99, lost = self.value(windows, "p99"), self.value(windows, "lost")
        outside = max(0.0, lost / self.loss - 1) if self.loss else (1e6 * lost)
        if any(w.cut for w in windows):
            return (1, 1e9, p99)
        if self.kind == LEAST_CPU:
            outside += max(0.0, p99 / self.p99 - 1)
        if outside:
            return (1, outside, p99)
        if self.kind == LEAST_CPU:
            return (0, self.value(windows, "cpu"), p99)
        return (0, p99, self.value(windows, "cpu"))

    @staticmethod
    def value(windows, name):
        return stats.median([getattr(window, name) for window in windows])

    def met(self, score):
        return score[0] == 0 and (self.kind != P99 or score[1] <= self.p99)

    def describe(self):
        bound = f"p99 at most {self.p99:g} us, loss at most {self.loss * 100:g} %"
        return {P99: f"the lowest p99 ({bound})", LEAST_CPU: f"the least CPU ({bound})",
                THROUGHPUT: f"the highest rate ({bound})"}[self.kind]

    def trial(self, figures, pps, jitter):
        """A Trial of the search for saturation, which fails also by its latency."""
        trial = saturation.judge(figures, pps, jitter, bool(measure.disturbances(figures)))
        if pps != "max":
            window = Window.of(figures, pps, jitter)
            trial.lost = 1.0 if window.p99 > self.p99 else window.lost
        return trial
