"""The space of wake settings: which there are within given bounds, spread evenly or near one.

A setting is a dispatch, a batch (a number of packets, or adaptive) and an ageing time. Batch and
ageing count by their ratio: from 1 to 2 packets is as far as from 32 to 64, so both axes are
logarithmic, and values are rounded to what a person would write."""
import dataclasses
import math
import random

ADAPTIVE = "adaptive"
ADAPTIVE_SHARE = 0.2  # of the samples, where it is allowed


@dataclasses.dataclass(frozen=True)
class Wake:
    dispatch: str
    batch: object  # packets, or ADAPTIVE
    aging: object  # microseconds, or None: off

    @property
    def aging_text(self):
        return "off" if self.aging is None else f"{self.aging}us"

    def __str__(self):
        return f"{self.dispatch}, batch {self.batch}, ageing {self.aging_text}"

    def section(self):
        """As the configuration writes it."""
        return (f"wake: {{ dispatch: {self.dispatch}, batch: {self.batch}, "
                f"aging: {self.aging_text} }}")


@dataclasses.dataclass(frozen=True)
class Space:
    dispatches: tuple
    batch: tuple  # least, most; both may be equal
    aging: tuple  # microseconds
    adaptive: bool = True

    def contains(self, wake):
        return (wake.dispatch in self.dispatches and wake.aging is not None
                and self.aging[0] <= wake.aging <= self.aging[1]
                and (self.adaptive if wake.batch == ADAPTIVE
                     else self.batch[0] <= wake.batch <= self.batch[1]))

    def at(self, dispatch, batch, aging):
        """The setting nearest to these numbers."""
        if batch != ADAPTIVE:
            batch = min(max(round(batch), self.batch[0]), self.batch[1])
        return Wake(dispatch, batch, min(max(_plain(aging), self.aging[0]), self.aging[1]))

    def sample(self, count, seed):
        """Up to `count` different settings that fill the space: a Halton sequence (bases 2, 3 and
        5), moved by an offset of the seed (Cranley and Patterson), so that any number of first
        points is spread evenly."""
        offset = [random.Random(f"{seed}/{axis}").random() for axis in range(3)]
        found = []
        for i in range(1, 40 * count + 1):
            u, v, w = ((_radical_inverse(i, base) + o) % 1
                       for base, o in zip((2, 3, 5), offset))
            batch = ADAPTIVE
            if not self.adaptive or u >= ADAPTIVE_SHARE:
                u = u if not self.adaptive else (u - ADAPTIVE_SHARE) / (1 - ADAPTIVE_SHARE)
                batch = _between(self.batch, u)
            wake = self.at(self.dispatches[int(w * len(self.dispatches))], batch,
                           _between(self.aging, v))
            if wake not in found:
                found.append(wake)
            if len(found) == count:
                break
        return found

    def near(self, wake, step):
        """Settings one `step` (a factor) away along each axis; with a step of 2 or more, also the
        other dispatches, and adaptive against fixed."""
        batch, aging = wake.batch, wake.aging or self.aging[1]
        moves = [(wake.dispatch, batch, aging * step), (wake.dispatch, batch, aging / step)]
        if batch == ADAPTIVE:
            if step >= 2:
                moves.append((wake.dispatch, math.sqrt(self.batch[0] * self.batch[1]), aging))
        else:
            more = max(batch + 1, batch * step)
            less = min(batch - 1, batch / step)
            moves += [(wake.dispatch, more, aging), (wake.dispatch, max(1, less), aging)]
            if step >= 2 and self.adaptive:
                moves.append((wake.dispatch, ADAPTIVE, aging))
        if step >= 2:
            moves += [(d, batch, aging) for d in self.dispatches if d != wake.dispatch]
        found = []
        for move in moves:
            other = self.at(*move)
            if other != wake and other not in found and self.contains(other):
                found.append(other)
        return found


def _plain(value):
    """Whole microseconds with two significant digits."""
    if value < 100:
        return max(1, round(value))
    unit = 10 ** (math.floor(math.log10(value)) - 1)
    return round(value / unit) * unit


def _between(bounds, u):
    low, high = (math.log(b) for b in bounds)
    return math.exp(low + (high - low) * u)


def _radical_inverse(i, base):
    value, digit = 0.0, 1.0 / base
    while i:
        i, rest = divmod(i, base)
        value += rest * digit
        digit /= base
    return value
