"""The space of wake settings: which there are within given bounds, spread evenly or near one.

A setting is a dispatch, a batch (a number of packets, or adaptive) and an ageing time; with the
baton also how long an idle core polls and whether NFs are eager. Batch and ageing count by their
ratio: from 1 to 2 packets is as far as from 32 to 64, so both axes are logarithmic, and values are
rounded to what a person would write. Another dispatch, idle time or eagerness needs another run,
so there are few values of those (`IDLES_US`)."""
import dataclasses
import math
import random

ADAPTIVE = "adaptive"
ADAPTIVE_SHARE = 0.2  # of the samples, where it is allowed
BATON = "baton"
IDLE_DEFAULT_US = 200  # wake.baton, as the configuration has it
EAGER_DEFAULT = True
IDLES_US = (0, 50, IDLE_DEFAULT_US, 1000)


@dataclasses.dataclass(frozen=True)
class Wake:
    dispatch: str
    batch: object  # packets, or ADAPTIVE
    aging: object  # microseconds, or None: off
    idle: object = None  # wake.baton.idle, microseconds; None: it is not this setting's to say
    eager: object = None  # wake.baton.eager; None: the same

    @property
    def run_key(self):
        """What two settings share that one run can have in turn."""
        return self.dispatch, self.idle, self.eager

    @property
    def baton(self):
        """What it says of `wake.baton`."""
        says = {} if self.idle is None else {"idle": f"{self.idle}us"}
        return says if self.eager is None else {**says, "eager": self.eager}

    @property
    def way(self):
        """The dispatch with all that is its own."""
        idle = "" if self.idle is None else f", idle {self.idle}us"
        eager = "" if self.eager is None else ", eager" if self.eager else ", not eager"
        return f"{self.dispatch}{idle}{eager}"

    @property
    def aging_text(self):
        return "off" if self.aging is None else f"{self.aging}us"

    def __str__(self):
        return f"{self.way}, batch {self.batch}, ageing {self.aging_text}"

    def section(self):
        """As the configuration writes it."""
        baton = ", ".join(f"{key}: {str(value).lower()}" for key, value in self.baton.items())
        return (f"wake: {{ dispatch: {self.dispatch}, batch: {self.batch}, "
                f"aging: {self.aging_text}{f', baton: {{ {baton} }}' if baton else ''} }}")


@dataclasses.dataclass(frozen=True)
class Space:
    dispatches: tuple
    batch: tuple  # least, most; both may be equal
    aging: tuple  # microseconds
    adaptive: bool = True
    idles: tuple = ()  # of the baton, microseconds in rising order; none: not varied
    eager: tuple = ()  # of the baton; none: not varied

    def runs(self):
        """How many runs it takes to try all that one run cannot have in turn."""
        return sum(len(self.idles or (None,)) * len(self.eager or (None,)) if d == BATON else 1
                   for d in self.dispatches)

    def contains(self, wake):
        return (wake.dispatch in self.dispatches and wake.aging is not None
                and self.aging[0] <= wake.aging <= self.aging[1]
                and (wake.dispatch != BATON or (wake.idle in (self.idles or (None,))
                                                and wake.eager in (self.eager or (None,))))
                and (self.adaptive if wake.batch == ADAPTIVE
                     else self.batch[0] <= wake.batch <= self.batch[1]))

    def at(self, dispatch, batch, aging, idle=None, eager=None):
        """The setting nearest to these numbers."""
        if batch != ADAPTIVE:
            batch = min(max(round(batch), self.batch[0]), self.batch[1])
        aging = min(max(_plain(aging), self.aging[0]), self.aging[1])
        return Wake(dispatch, batch, aging, *self._of_baton(dispatch, idle, eager))

    def _of_baton(self, dispatch, idle, eager):
        """(idle, eager) within the space; its defaults where nothing is said."""
        if dispatch != BATON:
            return None, None
        idle = IDLE_DEFAULT_US if idle is None else idle
        eager = EAGER_DEFAULT if eager is None else eager
        return (min(self.idles, key=lambda i: abs(i - idle), default=None),
                eager if eager in self.eager else next(iter(self.eager), None))

    def sample(self, count, seed):
        """Up to `count` different settings that fill the space: a Halton sequence, moved by an
        offset of the seed (Cranley and Patterson), so that any number of first points is spread
        evenly."""
        bases = (2, 3, 5, 7, 11)
        offset = [random.Random(f"{seed}/{axis}").random() for axis in range(len(bases))]
        found = []
        for i in range(1, 40 * count + 1):
            u, v, w, x, y = ((_radical_inverse(i, base) + o) % 1
                             for base, o in zip(bases, offset))
            batch = ADAPTIVE
            if not self.adaptive or u >= ADAPTIVE_SHARE:
                u = u if not self.adaptive else (u - ADAPTIVE_SHARE) / (1 - ADAPTIVE_SHARE)
                batch = _between(self.batch, u)
            wake = self.at(self.dispatches[int(w * len(self.dispatches))], batch,
                           _between(self.aging, v), _one_of(self.idles, x), _one_of(self.eager, y))
            if wake not in found:
                found.append(wake)
            if len(found) == count:
                break
        return found

    def near(self, wake, step):
        """Settings one `step` (a factor) away along each axis; with a step of 2 or more, also the
        other dispatches, adaptive against fixed, and what else is the baton's."""
        batch, aging = wake.batch, wake.aging or self.aging[1]
        own = wake.idle, wake.eager
        moves = [(wake.dispatch, batch, aging * step, *own),
                 (wake.dispatch, batch, aging / step, *own)]
        if batch == ADAPTIVE:
            if step >= 2:
                middle = math.sqrt(self.batch[0] * self.batch[1])
                moves.append((wake.dispatch, middle, aging, *own))
        else:
            more = max(batch + 1, batch * step)
            less = max(1, min(batch - 1, batch / step))
            moves += [(wake.dispatch, b, aging, *own) for b in (more, less)]
            if step >= 2 and self.adaptive:
                moves.append((wake.dispatch, ADAPTIVE, aging, *own))
        if step >= 2:
            moves += [(d, batch, aging) for d in self.dispatches if d != wake.dispatch]
            moves += [(wake.dispatch, batch, aging, *baton) for baton in self._baton_near(wake)]
        found = []
        for move in moves:
            other = self.at(*move)
            if other != wake and other not in found and self.contains(other):
                found.append(other)
        return found

    def _baton_near(self, wake):
        """(idle, eager) one step away."""
        if wake.dispatch != BATON:
            return []
        below = [i for i in self.idles if wake.idle is not None and i < wake.idle][-1:]
        above = [i for i in self.idles if wake.idle is not None and i > wake.idle][:1]
        return ([(idle, wake.eager) for idle in below + above]
                + [(wake.idle, eager) for eager in self.eager if eager != wake.eager])


def idles_between(low, high):
    """The idle times that are tried within these bounds, microseconds."""
    return tuple(sorted({low, high, *(i for i in IDLES_US if low < i < high)}))


def _one_of(values, u):
    return values[int(u * len(values))] if values else None


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
