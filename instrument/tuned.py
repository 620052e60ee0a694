"""What a tuning leaves behind: the table and figure of its Pareto front, the recommended `wake:`
section, and a page with all of it."""
import html
import math
import pathlib

import facets
import figures
import goal as goals
import page
import panels
import scales
import search

FILES = ("wake.yaml", "front.svg", "tune.html")


def numbers(candidate, goal):
    """The two numbers that are weighed against each other, both better when lower (None: it was not
    measured): p99 and CPU, or the rate (negative) and the CPU for each packet."""
    if goal.kind == goals.THROUGHPUT:
        bracket = candidate.bracket
        if not bracket.low:
            return None
        return -bracket.low, bracket.window.cpu / (bracket.window.mpps * 1e6 or 1) * 1e6
    windows = candidate.counted()
    if not windows or any(w.cut for w in windows):
        return None
    return goal.value(windows, "p99"), goal.value(windows, "cpu")


def lossless(candidate, goal):
    return goal.kind == goals.THROUGHPUT or goal.value(candidate.counted(), "lost") <= goal.loss


def pareto(candidates, goal):
    """The candidates that no other beats in both numbers; of those within the bound of loss, if any
    is."""
    known = [c for c in candidates if numbers(c, goal)]
    within = [c for c in known if lossless(c, goal)]
    return search.front(within or known, lambda c: numbers(c, goal))


def heads(goal):
    if goal.kind == goals.THROUGHPUT:
        return "highest rate", "CPU us/packet"
    return "p99", "CPU cores"


def texts(pair, goal):
    if goal.kind == goals.THROUGHPUT:
        return scales.rate.measured(-pair[0]), f"{pair[1]:.3g}"
    return scales.micros.measured(pair[0]), f"{pair[1]:.2f}"


def rows_of(candidates, goal, best, start):
    """[(dispatch, batch, ageing, first, second, windows, note)] of the front; the start last."""
    front = pareto(candidates, goal)
    rows = []
    for c in front + [c for c in candidates if c.wake == start and c not in front]:
        notes = ["recommended"] * (c.wake == best) + ["start"] * (c.wake == start)
        pair = numbers(c, goal)
        rows.append((c.wake.way, str(c.wake.batch), c.wake.aging_text,
                     *(texts(pair, goal) if pair else ("-", "-")), str(len(c.windows)),
                     ", ".join(notes)))
    return rows


def table(candidates, goal, best, start):
    lines = [("dispatch", "batch", "ageing", *heads(goal), "windows", "")]
    lines += rows_of(candidates, goal, best, start)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip()
                     for line in lines)


# The figure ---------------------------------------------------------------------------------------


def figure(candidates, goal, best, start):
    """A Figure: all settings tried, the front as a line, the start and the recommended named."""
    known = [(c, numbers(c, goal)) for c in candidates if numbers(c, goal)]
    if not known:
        return None
    front = pareto(candidates, goal)
    throughput = goal.kind == goals.THROUGHPUT
    place = (lambda p: (-p[0], p[1])) if throughput else (lambda p: (p[1], p[0]))
    series = [panels.Series("front", "mute", [_dot(place(numbers(c, goal))) for c in sorted(
        front, key=lambda c: place(numbers(c, goal)))], markers=False, step=not throughput)]
    for name in sorted({c.wake.dispatch for c, _ in known}):
        at = facets.COLOURS.get(name, 6)
        dots = [_dot(place(p), flagged=c not in front, tip=_tip(c, p, goal),
                     name=_name(c.wake, best, start)) for c, p in known if c.wake.dispatch == name]
        series.append(panels.Series(name, f"c{at}", dots, svg_shape(at), line=False))
    xs, ys = zip(*(place(p) for _, p in known))
    levels = [] if throughput else [(goal.p99, f"p99 {scales.micros(goal.p99)}")]
    ys += tuple(y for y, _ in levels)
    if throughput:
        x = scales.Linear(0, max(xs), scales.rate)
        y = scales.Linear(0, max(ys), scales.plain)
        titles = "highest rate within the bounds", "CPU, µs for each packet"
    else:
        x = scales.Linear(min(xs), max(xs), scales.plain)
        y = scales.Log(min(ys), max(ys), scales.micros)
        titles = "CPU in use, cores", "p99 latency"
    panel = panels.Lines("", x, y, *titles, series, levels=levels)
    drawn = panels.draw([panel], "Settings tried, and their Pareto front", columns=1, height=300)
    text = ("Every wake setting that was tried, the median of its windows. Filled: on the Pareto "
            "front, no other is better in both. Hollow: beaten by one. Goal: "
            f"{goal.describe()}.")
    return figures.Figure("front", "Settings and their Pareto front", text, drawn, [])


def svg_shape(at):
    return panels.SHAPES[at % len(panels.SHAPES)]


def _dot(at, **more):
    return panels.Dot(at[0], at[1], **more)


def _name(wake, best, start):
    return "recommended" if wake == best else "start" if wake == start else ""


def _tip(candidate, pair, goal):
    first, second = texts(pair, goal)
    names = heads(goal)
    return (f"{candidate.wake}: {names[0]} {first}, {names[1]} {second}, "
            f"{len(candidate.windows)} windows")


def standalone(drawn):
    """The figure as an .svg file of its own: with the style sheet of the page in it, so that it
    follows light and dark there as well."""
    style = page.STYLE.read_text(encoding="utf-8")
    background = "\nsvg { background: var(--page); font-family: sans-serif; }\n"
    at = drawn.index(">") + 1
    style = html.escape(style + background, quote=False)
    return f"{drawn[:at]}<style>{style}</style>{drawn[at:]}\n"


# Files --------------------------------------------------------------------------------------------


def write(folder, told, candidates, goal, best, start):
    """wake.yaml, front.svg and tune.html. `told`: lines that say what was done and found."""
    folder = pathlib.Path(folder)
    comment = "".join(f"# {line}\n" for line in told)
    (folder / "wake.yaml").write_text(f"{comment}{best.section()}\n", encoding="utf-8")
    drawn = figure(candidates, goal, best, start)
    parts = []
    if drawn is not None:
        (folder / "front.svg").write_text(standalone(drawn.svg), encoding="utf-8")
        parts.append(f'<figure id="front">\n{drawn.svg}\n<figcaption><b>{page.escape(drawn.title)}.'
                     f"</b> {page.escape(drawn.text)}</figcaption>\n</figure>")
    head = "".join(f"<th>{page.escape(h)}</th>"
                   for h in ("dispatch", "batch", "ageing", *heads(goal), "windows", ""))
    body = "".join("<tr>" + "".join(f"<td>{page.escape(cell)}</td>" for cell in row) + "</tr>\n"
                   for row in rows_of(candidates, goal, best, start))
    parts.append(f"<h2>The front</h2>\n<table>\n<tr>{head}</tr>\n{body}</table>")
    parts.append("<h2>Recommended</h2>\n<pre><code>" + page.escape(best.section())
                 + "</code></pre>\n" + "".join(f"<p>{page.escape(line)}</p>\n" for line in told))
    (folder / "tune.html").write_text(
        page.page("Mayfly tune", page.escape(goal.describe()), parts), encoding="utf-8")


def ratio(before, after):
    """"2.3 times lower", for the reader."""
    if not before or not after or math.isclose(before, after, rel_tol=0.01):
        return "the same"
    if after < before:
        return f"{before / after:.2g} times lower"
    return f"{after / before:.2g} times higher"
