"""The search for a good setting: successive halving over a space-filling start, then local
refinement.

    1. The setting that is in use now, and `points` others spread evenly over the space.
    2. Successive halving (Jamieson and Talwalkar, AISTATS 2016): each is measured once; the better
       third twice more; the better third of those four times more. Most of the time goes to
       settings that may win, and the winner's value rests on seven windows, not on one lucky one.
    3. Refinement: settings one step away from the best (twice or half the batch, the ageing; other
       dispatches) are measured beside it, `REFINE` times each. One that is better by more than
       `MARGIN`, and still is when both were measured again, becomes the centre; otherwise the step
       becomes its square root, until it is below `STEP_MIN`, or the time is up.

Within a rung settings are measured in random order, run by run: another dispatch, or another
`wake.baton`, is another run. Nothing is decided by a single comparison with what was measured long ago: whoever is
compared is measured in the same rung. What the search finds is a suspicion: a best of many noisy
values is lucky. Its proof are fresh runs, interleaved with the old setting, which follow."""
import dataclasses
import math
import random
import time

import goal as goals

RUNGS = (1, 2, 4)  # windows in each
KEPT = 3  # one in three goes on
KEPT_MIN = 3
REFINE = 2
STEP, STEP_MIN = 2.0, 1.15
MARGIN = 0.03
ROUNDS_MAX = 8


@dataclasses.dataclass
class Candidate:
    wake: object
    windows: list = dataclasses.field(default_factory=list)
    bracket: goals.Bracket = dataclasses.field(default_factory=goals.Bracket)

    def counted(self):
        return [w for w in self.windows if not w.disturbed] or self.windows


def nominal_windows(points):
    """How many windows the search takes, at most about."""
    halving, left = 0, points + 1
    for windows in RUNGS:
        halving += left * windows
        left = max(KEPT_MIN, math.ceil(left / KEPT))
    return halving, 4 * 7 * REFINE


def points_for(budget, window_seconds, start_seconds, runs):
    """How many points of the start fit the budget (seconds)."""
    starts = start_seconds * runs * len(RUNGS)
    points = 81
    while points > 8 and sum(nominal_windows(points)) * window_seconds + starts > budget:
        points -= 1
    return points


class Search:
    """`measure(candidate)` measures once more and keeps what it saw in the candidate.
    `score(candidate)`: lower is better."""

    def __init__(self, space, start, measure, score, seed, seconds=None, clock=time.monotonic):
        self.space, self.start = space, start
        self._measure, self._score = measure, score
        self._random = random.Random(seed)
        self._seed = seed
        self._clock = clock
        self._deadline = None if seconds is None else clock() + seconds
        self.candidates = {}

    def run(self, points):
        """The best Candidate."""
        wakes = [self.start] + [w for w in self.space.sample(points, self._seed)
                                if w != self.start]
        left = [self._candidate(w) for w in wakes]
        for windows in RUNGS:
            self._rung(left, windows)
            left = sorted(left, key=self._score)[:max(KEPT_MIN, math.ceil(len(left) / KEPT))]
        return self._refine(left[0])

    def ranked(self):
        return sorted((c for c in self.candidates.values() if c.windows), key=self._score)

    def _candidate(self, wake):
        return self.candidates.setdefault(wake, Candidate(wake))

    def _rung(self, candidates, windows):
        groups = {}
        for candidate in candidates:
            groups.setdefault(candidate.wake.run_key, []).append(candidate)
        order = sorted(groups, key=str)
        self._random.shuffle(order)
        for key in order:
            for _ in range(windows):
                group = groups[key]
                self._random.shuffle(group)
                for candidate in group:
                    self._measure(candidate)

    def _refine(self, centre):
        step = STEP
        for _ in range(ROUNDS_MAX):
            if step < STEP_MIN or self._late():
                break
            near = [self._candidate(w) for w in self.space.near(centre.wake, step)]
            fresh = [c for c in near if len(c.windows) < REFINE + RUNGS[0]]
            if fresh:
                self._rung(fresh + [centre], REFINE)
            best = min(near, key=self._score, default=centre)
            if self._better(best, centre):
                self._rung([best, centre], REFINE)  # was it luck?
            if self._better(best, centre):
                centre = best
            else:
                step = math.sqrt(step)
        return centre

    def _better(self, one, other):
        a, b = self._score(one), self._score(other)
        if a[0] != b[0]:
            return a[0] < b[0]
        return b[1] - a[1] > MARGIN * abs(b[1])

    def _late(self):
        return self._deadline is not None and self._clock() >= self._deadline


def front(items, key):
    """Those that no other beats in every number of `key(item)` (lower is better), by the first."""
    found, least = [], math.inf
    for item in sorted(items, key=lambda i: key(i)):
        if key(item)[1] < least:
            found.append(item)
            least = key(item)[1]
    return found
