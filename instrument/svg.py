"""The little SVG that the figures need: shapes, text, markers, and labels that keep apart.

Why not gnuplot: its SVG names colours that are fixed when it is drawn, so a figure cannot follow
the reader's light or dark theme (docs/design.md has the figures). Here every element carries a
class, and the page's style sheet, with variables for each theme, decides what it looks like:

    g   grid line        a   axis and its ticks      t   tick label       u   unit or axis title
    h   panel heading    n   direct label            l   line             e   error bar
    d   marker           c0..c6   colours of names   o0..o6   colours of an order, low to high
"""
import html
import math

SIZE = {"t": 10.5, "u": 10.5, "h": 12, "n": 11, "v": 11, "s": 9}


def text_width(text, size):
    """An upper estimate for common sans-serif fonts: enough to keep labels apart."""
    units = 0.0
    for c in str(text):
        if c in " .,:;'|!iljI()[]-":
            units += 0.36
        elif c in "ftr/":
            units += 0.42
        elif c in "mwMW%":
            units += 0.92
        else:
            units += 0.68 if c.isupper() else 0.6
    return units * size


def wide(kind):
    """text_width for text of class `kind`."""
    return lambda text: text_width(text, SIZE[kind])


def short(value):
    """A coordinate: one decimal, none where it is a whole number."""
    return f"{value:.1f}".removesuffix(".0")


def escaped(text):
    return html.escape(str(text), quote=True)


class Canvas:
    """Elements of one <svg>, in drawing order."""

    def __init__(self, width, height, label):
        self.width, self.height, self.label = width, height, label
        self._parts = []

    def add(self, element):
        self._parts.append(element)

    def line(self, kind, x1, y1, x2, y2):
        self.add(f'<path class="{kind}" d="M{short(x1)} {short(y1)}L{short(x2)} {short(y2)}"/>')

    def path(self, kind, points, step=False):
        """A line through `points` [(x, y) or None]; None interrupts it. `step`: at right angles."""
        d, pen, last = [], "M", None
        for p in points:
            if p is None:
                pen = "M"
                continue
            if step and pen == "L":
                d.append(f"L{short(p[0])} {short(last[1])}")
            d.append(f"{pen}{short(p[0])} {short(p[1])}")
            pen, last = "L", p
        if any(part.startswith("L") for part in d):
            self.add(f'<path class="{kind}" d="{"".join(d)}"/>')

    def text(self, kind, x, y, text, anchor="start", title=None):
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        tip = f"<title>{escaped(title)}</title>" if title else ""
        self.add(f'<text class="{kind}" x="{short(x)}" y="{short(y)}"{where}>{tip}{escaped(text)}'
                 "</text>")

    def rect(self, kind, x, y, width, height, tip=""):
        inside = f"<title>{escaped(tip)}</title>" if tip else ""
        self.add(f'<rect class="{kind}" x="{short(x)}" y="{short(y)}" width="{short(width)}" '
                 f'height="{short(height)}">{inside}</rect>')

    def marker(self, style, shape, x, y, flagged=False, tip=""):
        """One point; hollow when flagged. The reader may hover anywhere near it for `tip`."""
        kind = f"d {style}" + (" f" if flagged else "") + (" x" * (shape in ("cross", "times")))
        inside = f"<title>{escaped(tip)}</title>" if tip else ""
        near = f'<circle class="hit" cx="{short(x)}" cy="{short(y)}" r="8"/>' if tip else ""
        self.add(f'<g>{inside}{near}<path class="{kind}" d="{outline(shape, x, y)}"/></g>')

    def svg(self):
        return (f'<svg viewBox="0 0 {short(self.width)} {short(self.height)}" role="img" '
                f'aria-label="{escaped(self.label)}" xmlns="http://www.w3.org/2000/svg">\n'
                + "\n".join(self._parts) + "\n</svg>")


SHAPES = ("circle", "square", "triangle", "diamond", "down", "pentagon", "cross")
_CORNERS = {"square": (4, 45, 3.9), "triangle": (3, -90, 4.4), "diamond": (4, 0, 4.3),
            "down": (3, 90, 4.4), "pentagon": (5, -90, 4.0), "star": (5, -90, 7.5)}


def outline(shape, x, y, r=3.2):
    """The path of a marker around (x, y)."""
    if shape in ("cross", "times"):
        k = 3.6 if shape == "times" else 0
        m = 0 if shape == "times" else 4.4
        return (f"M{short(x - k - m)} {short(y - k)}L{short(x + k + m)} {short(y + k)}"
                f"M{short(x - k)} {short(y + k + m)}L{short(x + k)} {short(y - k - m)}")
    if shape not in _CORNERS:
        return (f"M{short(x - r)} {short(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z")
    corners, turn, radius = _CORNERS[shape]
    points = []
    inner = shape == "star"
    for i in range(corners * (2 if inner else 1)):
        angle = math.radians(turn + i * 360 / (corners * (2 if inner else 1)))
        at = radius * (0.45 if inner and i % 2 else 1)
        points.append(f"{short(x + at * math.cos(angle))} {short(y + at * math.sin(angle))}")
    return "M" + "L".join(points) + "z"


def spread(wanted, gap, low, high):
    """Positions near `wanted`, at least `gap` apart, within low..high as far as they fit: blocks
    that touch are merged and moved to their mean (pool adjacent violators)."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks = []  # [sum of (wanted - offset), count], offset = place in the block * gap
    for i in order:
        blocks.append([wanted[i], 1])
        while len(blocks) > 1:
            (sum_a, n_a), (sum_b, n_b) = blocks[-2], blocks[-1]
            if sum_a / n_a + n_a * gap <= sum_b / n_b:
                break
            blocks[-2:] = [[sum_a + sum_b - n_b * n_a * gap, n_a + n_b]]
    placed, at = [], -math.inf
    for total, n in blocks:
        start = min(max(total / n, low), max(low, high - (n - 1) * gap))
        start = max(start, at)
        placed += [start + k * gap for k in range(n)]
        at = placed[-1] + gap
    overflow = placed[-1] - high if placed else 0
    if overflow > 0:  # the last blocks were pushed out: push back from below
        limit = high
        for k in reversed(range(len(placed))):
            placed[k] = min(placed[k], limit)
            limit = placed[k] - gap
    result = [0.0] * len(wanted)
    for k, i in enumerate(order):
        result[i] = placed[k]
    return result


def beside(x, y, width, box, taken, points, height=9):
    """(x, y, anchor, rectangle) of a label beside the point (x, y): of its eight places the one
    within `box` that overlaps the fewest labels already `taken`, then the fewest points."""
    best = None
    for order, (dx, dy) in enumerate(((7, -5), (-7, -5), (7, 11), (-7, 11), (9, 3), (-9, 3),
                                      (7, -16), (-7, -16))):
        left = x + dx if dx > 0 else x + dx - width
        rect = (left, y + dy - height, left + width, y + dy + 2)
        outside = rect[0] < box[0] - 2 or rect[2] > box[0] + box[2] + 4 or rect[1] < box[1] - 12 \
            or rect[3] > box[1] + box[3]
        labels = sum(rect[0] < t[2] and t[0] < rect[2] and rect[1] < t[3] and t[1] < rect[3]
                     for t in taken)
        dots = sum(rect[0] - 3 < px < rect[2] + 3 and rect[1] - 3 < py < rect[3] + 3
                   for px, py in points)
        cost = (outside, labels, dots, order)
        if best is None or cost < best[0]:
            best = (cost, (x + dx, y + dy, "start" if dx > 0 else "end", rect))
    return best[1]
