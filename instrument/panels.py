"""Panels: the parts of a figure that have axes. A Plot lays them out in columns and draws them.

    Lines    numeric or named x, numeric y: lines, markers, error bars, direct labels
    Heat     a map of cells over two named axes
    Rows     one row for each name, a marker on a common x axis, its value beside it

What is drawn comes as plain numbers; nothing here knows what they mean."""
import dataclasses

import scales
import svg

WIDTH = 680
PLOT_MIN = 115  # a narrower plot gets a row of its own
SHAPES = svg.SHAPES


@dataclasses.dataclass
class Dot:
    """A point with its error bar. `flagged` draws it hollow; `tip` is what hovering tells."""
    x: object
    y: float
    low: float = None
    high: float = None
    flagged: bool = False
    tip: str = ""
    name: str = ""        # beside the point, where there is room


@dataclasses.dataclass
class Series:
    name: str
    style: str            # c0..c6, o0..o6, or ink
    dots: list
    shape: str = "circle"
    line: bool = True
    markers: bool = True
    step: bool = False

    @property
    def keyed(self):
        """Named by a key beside the panel: a line's end would not tell which it is."""
        return not self.line or not self.markers


@dataclasses.dataclass
class Mark:
    """A single value from elsewhere (a paper's, say), with its own label."""
    x: object
    y: float
    label: str


@dataclasses.dataclass
class Lines:
    heading: str
    x: object
    y: object
    x_title: str
    y_title: str
    series: list
    marks: list = dataclasses.field(default_factory=list)
    levels: list = dataclasses.field(default_factory=list)  # [(y, name)]: lines across

    def left(self):
        return max([svg.wide("t")(label) for _, label in self.y.ticks] + [20]) + 9

    def right_margin(self):
        names = [s.name for s in self.series if s.name]
        swatch = any(s.keyed for s in self.series) * 14
        return max([svg.wide("n")(n) + 14 + swatch for n in names], default=10)

    def draw(self, canvas, x, y, width, height):
        self._box = (x, y, width, height)
        self._axes(canvas)
        for level, name in self.levels:
            canvas.line("level", x, self._py(level), x + width, self._py(level))
            canvas.text("s halo", x + width, self._py(level) - 4, name, "end")
        for s in self.series:
            self._series(canvas, s)
        for m in self.marks:
            canvas.marker("ink", "times", self._px(m.x), self._py(m.y), tip=m.label)
        self._labels(canvas)
        self._names(canvas)

    def _px(self, value):
        return self._box[0] + self.x.at(value) * self._box[2]

    def _py(self, value):
        return self._box[1] + (1 - self.y.at(value)) * self._box[3]

    def _axes(self, canvas):
        x, y, width, height = self._box
        bottom = y + height
        for value, label in scales.fitting(self.y, height, lambda _: 11, 2):
            at = self._py(value)
            canvas.line("g", x, at, x + width, at)
            canvas.text("t", x - 6, at + 3.6, label, "end")
        canvas.line("a", x, bottom, x + width, bottom)
        for value in self.x.minor if len(self.x.minor) * 5 < width else ():
            if 0 <= self.x.at(value) <= 1:
                canvas.line("a", self._px(value), bottom, self._px(value), bottom + 2.5)
        for value, _ in self.x.ticks:
            if 0 <= self.x.at(value) <= 1:
                canvas.line("a", self._px(value), bottom, self._px(value), bottom + 2.5)
        for value, label in scales.fitting(self.x, width, svg.wide("t")):
            canvas.line("a", self._px(value), bottom, self._px(value), bottom + 4.5)
            canvas.text("t", self._px(value), bottom + 15, label, "middle")
        canvas.text("u", x + width / 2, bottom + 30, self.x_title, "middle")
        canvas.text("u", x - self.left() + 2, y - 9, self.y_title)

    def _series(self, canvas, s):
        drawn = [d for d in s.dots if d.y is not None]
        for d in drawn:
            if d.low is not None and d.high is not None and d.high > d.low:
                at, top, end = self._px(d.x), self._py(d.high), self._py(max(d.low, 1e-12))
                end = min(end, self._box[1] + self._box[3])
                top = max(top, self._box[1])
                canvas.path(f"e {s.style}", [(at - 2.5, top), (at + 2.5, top), None, (at, top),
                                             (at, end), None, (at - 2.5, end), (at + 2.5, end)])
        if s.line:
            canvas.path(f"l {s.style}",
                        [None if d.y is None else (self._px(d.x), self._py(d.y))
                         for d in s.dots], s.step)
        if s.markers:
            for d in drawn:
                canvas.marker(s.style, s.shape, self._px(d.x), self._py(d.y), d.flagged, d.tip)

    def _labels(self, canvas):
        """Names beside single points, where they cover the fewest others."""
        points = [(self._px(d.x), self._py(d.y)) for s in self.series if s.markers
                  for d in s.dots if d.y is not None]
        named = [(m.x, m.y, m.label, "s") for m in self.marks]
        named += [(d.x, d.y, d.name, f"s {s.style} tone") for s in self.series for d in s.dots
                  if d.name and d.y is not None]
        taken = []
        for x, y, text, kind in named:
            x, y, anchor, box = svg.beside(self._px(x), self._py(y), svg.wide("s")(text),
                                           self._box, taken, points)
            taken.append(box)
            canvas.text(f"{kind} halo", x, y, text, anchor)

    def _names(self, canvas):
        """Each line's name at its end; where two would meet, they move apart."""
        x, y, width, height = self._box
        key = [s for s in self.series if s.name and s.keyed]
        for i, s in enumerate(key):
            at, start = y + 2 + 14 * i, x + width + 9
            if s.line:
                canvas.line(f"l {s.style}", start, at, start + 10, at)
            if s.markers:
                canvas.marker(s.style, s.shape, start + 5, at)
            canvas.text(f"n {s.style}", start + 14, at + 3.8, s.name)
        ends = [(s, next(d for d in reversed(s.dots) if d.y is not None)) for s in self.series
                if s.name and not s.keyed and any(d.y is not None for d in s.dots)]
        wanted = [self._py(d.y) for _, d in ends]
        for (s, d), want, at in zip(ends, wanted, svg.spread(wanted, 12.5, y + 2, y + height - 2)):
            start = x + width + 9
            end = self._px(d.x)
            if abs(at - want) > 3 or start - end > 20:
                canvas.line(f"lead {s.style}", min(end + 6, start - 2), want, start - 2, at)
            canvas.text(f"n {s.style}", start, at + 3.8, s.name)


@dataclasses.dataclass
class Cell:
    level: float          # 0..1: the colour
    text: str
    more: str = ""        # a second, smaller line
    tip: str = ""
    best: str = ""        # "best", "near" (no worse than the spread tells), or neither
    flagged: bool = False


@dataclasses.dataclass
class Heat:
    heading: str
    x: scales.Band
    y: scales.Band
    x_title: str
    y_title: str
    cells: dict           # (x name, y name) -> Cell
    LEVELS = 12

    def left(self):
        return max(svg.wide("t")(label) for _, label in self.y.ticks) + 9

    def right_margin(self):
        return 6

    def draw(self, canvas, x, y, width, height):
        w, h = width * self.x.width, height * self.y.width
        for name, label in self.y.ticks:
            canvas.text("t", x - 6, y + (1 - self.y.at(name)) * height + 3.6, label, "end")
        for name, label in self.x.ticks:
            canvas.text("t", x + self.x.at(name) * width, y + height + 14, label, "middle")
        canvas.text("u", x + width / 2, y + height + 29, self.x_title, "middle")
        canvas.text("u", x - self.left() + 2, y - 9, self.y_title)
        for (name_x, name_y), cell in self.cells.items():
            left = x + self.x.at(name_x) * width - w / 2
            top = y + (1 - self.y.at(name_y)) * height - h / 2
            self._cell(canvas, cell, left, top, w, h)

    def _cell(self, canvas, cell, x, y, width, height):
        level = min(self.LEVELS - 1, max(0, round(cell.level * (self.LEVELS - 1))))
        best = f" {cell.best}" if cell.best else ""
        inset = {"best": 1.6, "near": 1.2}.get(cell.best, 0.75)
        canvas.rect(f"q{level}{best}", x + inset, y + inset, width - 2 * inset,
                    height - 2 * inset, cell.tip)
        text = cell.text + ("†" if cell.flagged else "")
        middle = y + height / 2
        if cell.more and svg.wide("s")(cell.more) < width - 4 and height > 30:
            canvas.text(f"v i{level}", x + width / 2, middle - 1.5, text, "middle")
            canvas.text(f"s i{level}", x + width / 2, middle + 10.5, cell.more, "middle")
        else:
            canvas.text(f"v i{level}", x + width / 2, middle + 3.8, text, "middle")


@dataclasses.dataclass
class Row:
    name: str
    value: float = None   # None: the note alone
    low: float = None
    high: float = None
    text: str = ""        # beside the marker
    note: str = ""        # muted, after the text
    style: str = "c0"
    shape: str = "circle"
    flagged: bool = False


@dataclasses.dataclass
class Rows:
    heading: str
    x: object
    rows: list
    x_title: str = ""
    origin: float = None  # where stems begin and a line is drawn (1 for ratios)
    ROW = 21

    def left(self):
        return max(svg.wide("n")(r.name) for r in self.rows) + 12

    def right_margin(self):
        return max([svg.wide("n")(r.text) + svg.wide("s")(r.note) + 22 for r in self.rows
                    if r.value is not None], default=10)

    def draw(self, canvas, x, y, width, height):
        for value, label in scales.fitting(self.x, width, svg.wide("t")):
            at = x + self.x.at(value) * width
            canvas.line("g", at, y, at, y + height)
            canvas.text("t", at, y + height + 13, label, "middle")
        zero = x
        if self.origin is not None:
            zero = x + self.x.at(self.origin) * width
            canvas.line("a", zero, y, zero, y + height)
        canvas.text("u", x + width / 2, y + height + 28, self.x_title, "middle")
        step = height / len(self.rows)
        for i, row in enumerate(self.rows):
            self._row(canvas, row, x, width, zero, y + (i + 0.5) * step)

    def _row(self, canvas, row, x, width, zero, middle):
        canvas.text("n", x - 8, middle + 3.8, row.name, "end")
        if row.value is None:
            canvas.text("s halo", x + 6, middle + 3.4, row.note)
            return
        at = x + self.x.at(row.value) * width
        if self.origin is not None:
            canvas.line(f"stem {row.style}", zero, middle, at, middle)
        end = at
        if row.low is not None and row.high is not None and row.high > row.low:
            a, b = (x + self.x.at(v) * width for v in (row.low, row.high))
            canvas.path(f"e {row.style}", [(a, middle - 3), (a, middle + 3), None, (a, middle),
                                           (b, middle), None, (b, middle - 3), (b, middle + 3)])
            end = max(at, b)
        end = max(end, zero)
        canvas.marker(row.style, row.shape, at, middle, row.flagged, f"{row.name}: {row.text}")
        canvas.text(f"n {row.style}", end + 9, middle + 3.8, row.text)
        canvas.text("s halo", end + 14 + svg.wide("n")(row.text), middle + 3.4, row.note)


def draw(panels, label, columns=2, height=None, width=WIDTH):
    """The <svg> of `panels`, `columns` side by side, all of one size, their plots aligned."""
    gap, bottom = 22, 36
    top = 42 if any(getattr(p, "y_title", "") for p in panels) else 26
    columns = max(1, min(columns, len(panels)))
    margins = max(p.left() + p.right_margin() for p in panels)
    while columns > 1 and (width - (columns - 1) * gap) / columns - margins < PLOT_MIN:
        columns -= 1
    rowed = max((len(p.rows) * Rows.ROW for p in panels if isinstance(p, Rows)), default=0)
    plot_height = height or rowed or {1: 250, 2: 180}.get(columns, 150)
    rows = [panels[i:i + columns] for i in range(0, len(panels), columns)]
    canvas = svg.Canvas(width, len(rows) * (top + plot_height + bottom) + (len(rows) - 1) * 8,
                        label)
    cell = (width - (columns - 1) * gap) / columns
    for r, row in enumerate(rows):
        y = r * (top + plot_height + bottom + 8)
        for c, panel in enumerate(row):
            column = [p for i, p in enumerate(panels) if i % columns == c]
            left = max(p.left() for p in column)
            right = max(p.right_margin() for p in column)
            x = c * (cell + gap)
            if panel.heading:
                canvas.text("h", x, y + 13, panel.heading)
            panel.draw(canvas, x + left, y + top, cell - left - right, plot_height)
    return canvas.svg()
