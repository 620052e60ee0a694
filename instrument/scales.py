"""Scales of the figures: where a value lies along an axis (0 to 1), and which ticks the axis has.

A scale has `at(value)`, `ticks` ([(value, label)]) and `minor` ([value]: short ticks without a
label). Numbers are written as the rest of the project writes them: three significant digits,
thousands separated by commas, units that fit (850 ns, 12 µs, 3.4 ms, 1.2 s)."""
import math


def _places(value, digits):
    """Decimals that show `digits` significant digits of `value`."""
    return digits - 1 - math.floor(math.log10(abs(value))) if value else 0


def number(value, digits=3):
    """`value` with `digits` significant digits at most: 0.0123, 4.9, 12, 1,830, 24,300."""
    if value is None or not math.isfinite(value):
        return "-"
    text = _fixed(value, _places(value, digits))
    return text.rstrip("0").rstrip(".") if "." in text else text


def _fixed(value, places):
    return f"{round(value, places):,.{max(0, places)}f}"


class Unit:
    """Writes values of one kind: `steps` are [(factor, unit)], the largest first."""

    def __init__(self, steps, digits=3):
        self.steps, self.digits = steps, digits

    def _step(self, value):
        # 999.9 rounds to 1,000: the next unit says it better.
        return next((s for s in self.steps if abs(value) >= s[0] * 0.9995), self.steps[-1])

    def __call__(self, value):
        """As an axis writes it: no zeros at the end (1.5 ms, 300)."""
        if value is None or not math.isfinite(value):
            return "-"
        factor, unit = self._step(value) if value else next(
            (s for s in self.steps if s[0] == 1), self.steps[-1])
        return _with(number(value / factor, self.digits), unit)

    def pair(self, value, spread=0):
        """(value, its spread, unit) as measured values are written: both to the same decimal
        place, zeros kept (4.90, 0.05, Mpps)."""
        factor, unit = self._step(value)
        places = min(_places(value / factor, self.digits), 4)
        return (_fixed(value / factor, places), _fixed(spread / factor, places) if spread else "",
                unit)

    def measured(self, value):
        text, _, unit = self.pair(value)
        return _with(text, unit)

    def of(self, digits):
        """The same with another number of significant digits."""
        return Unit(self.steps, digits)


def _with(text, unit):
    return f"{text} {unit}" if unit else text


plain = Unit([(1, "")])
micros = Unit([(1e6, "s"), (1e3, "ms"), (1, "µs"), (1e-3, "ns")])
rate = Unit([(1e6, "Mpps"), (1e3, "kpps"), (1, "pps")])
percent = Unit([(0.01, "%")])
count = Unit([(1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")])


class Linear:
    """From `low` to at least `high`, ticks at round numbers (or at `values`, when given)."""

    def __init__(self, low, high, label=plain, values=None, ticks=5):
        if high <= low:
            high = low + (abs(low) or 1)
        step = _round_step((high - low) / ticks)
        self.low = math.floor(low / step + 1e-9) * step
        self.high = math.ceil(high / step - 1e-9) * step
        steps = round((self.high - self.low) / step)
        self.minor = []
        self.regular = not values
        self.ticks = [(v, label(v)) for v in (self.low + i * step for i in range(steps + 1))]
        if values:
            span = high - low
            self.low, self.high = low - 0.03 * span, high + 0.03 * span
            self.ticks = [(v, label(v)) for v in values]

    def at(self, value):
        return (value - self.low) / (self.high - self.low)


def _round_step(step):
    power = 10 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if step <= m * power * 1.0001)


class Log:
    """Logarithmic from `low` to `high`, both above 0; ticks at `values`, else at decades, or at 1,
    2 and 5 where there are fewer than two decades."""

    def __init__(self, low, high, label=plain, values=None, pad=0.04):
        if high <= low:
            low, high = low / 2, high * 2
        margin = pad * math.log10(high / low)
        self.low, self.high = math.log10(low) - margin, math.log10(high) + margin
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        inside = [(m, m * 10.0 ** d) for d in decades for m in range(1, 10)
                  if self.low <= math.log10(m * 10.0 ** d) <= self.high]
        self.regular = self.high - self.low >= 1.9 and not values
        wanted = (1,) if self.high - self.low >= 1.9 else (1, 2, 5)
        if self.high - self.low < 0.5:
            wanted = range(1, 10)
        self.ticks = [(v, label(v)) for m, v in inside if m in wanted]
        self.minor = [v for m, v in inside if m not in wanted]
        if values:
            self.ticks, self.minor = [(v, label(v)) for v in values], []

    def at(self, value):
        return (math.log10(max(value, 1e-12)) - self.low) / (self.high - self.low)


class Nines:
    """Shares near 1: 0, 90 %, 99 %, 99.9 % are equally far apart, so that a tail is as visible as
    the middle. `nines`: how many of them."""

    def __init__(self, nines):
        self.nines = max(1, nines)
        shares = [0, 0.5] + [1 - 10.0 ** -n for n in range(1, self.nines + 1)]
        self.ticks = [(s, f"{100 * s:.{max(0, n - 3)}f} %") for n, s in enumerate(shares)]
        self.minor = []

    def at(self, share):
        return min(-math.log10(max(1 - share, 1e-12)) / self.nines, 1.0)


class Band:
    """Names side by side, each in the middle of its own band."""

    def __init__(self, names, label=str):
        self.names = list(names)
        self.ticks = [(n, label(n)) for n in self.names]
        self.minor = []

    def at(self, name):
        return (self.names.index(name) + 0.5) / len(self.names)

    @property
    def width(self):
        return 1 / len(self.names)


def fitting(scale, length, width_of, gap=8):
    """The ticks of `scale` whose labels fit side by side along `length` pixels. Regular ticks keep
    every second, third, ... of them; measured values keep those that are clear of the one before,
    and the last."""
    ticks = [t for t in scale.ticks if -1e-9 <= scale.at(t[0]) <= 1 + 1e-9]
    if getattr(scale, "regular", False):
        return next((ticks[::k] for k in range(1, len(ticks) + 1)
                     if _apart(scale, ticks[::k], length, width_of, gap)), ticks[:1])
    kept = []
    for tick in ticks:
        if _apart(scale, kept[-1:] + [tick], length, width_of, gap):
            kept.append(tick)
    while ticks and kept[-1] != ticks[-1]:
        if len(kept) > 1 and not _apart(scale, [kept[-1], ticks[-1]], length, width_of, gap):
            kept.pop()
        else:
            kept.append(ticks[-1])
    return kept


def _apart(scale, ticks, length, width_of, gap):
    """Do the labels of these ticks keep `gap` between them?"""
    return all(scale.at(b[0]) * length - scale.at(a[0]) * length
               >= (width_of(a[1]) + width_of(b[1])) / 2 + gap for a, b in zip(ticks, ticks[1:]))
