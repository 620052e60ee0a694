"""The highest rate that is borne: a search in the manner of RFC 2544, section 26.1.

    1. A trial at "max" shows what gets through under overload; the search begins there.
    2. A trial passes if it lost no more than the bound. While trials pass the rate grows by half;
       from the first that fails, the interval between the highest that passed and the lowest that
       failed is halved until it is `RESOLUTION` of its upper end.
    3. The rate found is confirmed by a longer window, whose figures are the result: a maximum over
       noisy trials is lucky, a fresh window is not. If it fails, the rate goes down by `BACK_OFF`
       (then twice as much, and so on) and is confirmed again.

What lost means. Packets are due at the source whether the dataplane has time or not, so lost =
dropped (under any reason) + due but never taken in. RFC 2544 ends each trial by waiting for what is
under way; a live dataplane goes on, and what is under way may be a queue that grows. So a trial
also fails if the packets inside grew by more than `GROWTH` of those due: an overload below that
takes longer than a trial to fill the buffers, and is within what the search can tell.

Bounds: `TRIALS_MAX` trials, and the given time (a trial that has begun is finished), of which the
last quarter is kept for confirming. A search that ran into one of them says so (`complete` is
false), and its rate is what had passed by then."""
import dataclasses
import time

RESOLUTION = 0.02
BACK_OFF = 0.05
GROWTH = 0.02
TRIALS_MAX = 40
REPEATS_MAX = 2  # of one trial that was disturbed, or failed by growth alone
FLOOR_PPS = 100.0  # below this nothing is searched for
GROW = 1.5
BRACKET_SHARE = 0.75  # of the time; the rest is for confirming


@dataclasses.dataclass
class Trial:
    """What one window at one rate showed."""
    pps: float  # offered; the throughput where it was "max"
    lost: float  # share of the packets due
    growth: float = 0.0  # of the packets inside, as a share of those due
    disturbed: bool = False
    figures: dict = None

    def passes(self, bound):
        return self.lost <= bound and self.growth <= GROWTH

    def doubtful(self, bound):
        """Failed, but perhaps not by the dataplane's fault."""
        return not self.passes(bound) and (self.disturbed or self.lost <= bound)


@dataclasses.dataclass
class Found:
    pps: float  # 0: not even the floor was borne
    trial: Trial  # the confirming one; None at 0
    trials: list  # [(pps, lost, passed, disturbed), ...] in order
    seconds: float
    complete: bool


def judge(figures, pps, jitter=0.0, disturbed=False):
    """The Trial that a window's figures make. `pps`: what was offered, or "max". `jitter`: share of
    the packets due by which an irregular source may miss the mean in a window."""
    packets = figures["packets"]
    dropped = sum(packets["drops"].values())
    taken = figures["load"]["offered"]
    due = taken if pps == "max" else pps * figures["seconds"]
    missing = 0 if pps == "max" else max(0.0, due * (1 - jitter) - taken - 64)
    grown = max(0, packets["held"] - packets["held_before"])
    rate = figures["mpps"] * 1e6 if pps == "max" else pps
    due = max(due, 1)
    return Trial(rate, (dropped + missing) / due, grown / due, disturbed, figures)


class Search:
    """`trial(pps)` and `confirm(pps)` measure a short and a long window and return a Trial."""

    def __init__(self, trial, confirm, bound, seconds, clock=time.monotonic):
        self._trial, self._confirm, self._bound = trial, confirm, bound
        self._clock = clock
        self._begin = clock()
        self._seconds = seconds
        self._trials = []

    def run(self):
        first = self._trial("max").pps
        low, complete = self._bracket(max(first, FLOOR_PPS))
        confirmed, back_off = None, BACK_OFF
        while low > 0 and confirmed is None:
            trial = self._try(self._confirm, low)
            if trial.passes(self._bound):
                confirmed = trial
            elif self._exhausted():
                complete = False
                break
            else:
                low *= 1 - min(back_off, 0.5)
                low = low if low >= FLOOR_PPS else 0.0
                back_off *= 2
        pps = low if confirmed else 0.0
        return Found(pps, confirmed, self._trials, self._clock() - self._begin, complete)

    def _bracket(self, rate):
        """(highest rate that passed, was the search complete)."""
        low, high = 0.0, None
        while not self._exhausted(BRACKET_SHARE):
            if self._try(self._trial, rate).passes(self._bound):
                low = rate
            else:
                high = rate
            if high is None:
                rate = low * GROW
            elif high - low <= RESOLUTION * high:
                return low, True
            elif high < FLOOR_PPS:
                return 0.0, True
            else:
                rate = (low + high) / 2
        return low, False

    def _try(self, measure, rate):
        for _ in range(1 + REPEATS_MAX):
            trial = measure(rate)
            passed = trial.passes(self._bound)
            self._trials.append((rate, trial.lost, passed, trial.disturbed))
            if not trial.doubtful(self._bound) or self._exhausted():
                break
        return trial

    def _exhausted(self, share=1.0):
        """Is this share of what the search may cost used up?"""
        return (len(self._trials) >= share * TRIALS_MAX
                or self._clock() - self._begin >= share * self._seconds)
