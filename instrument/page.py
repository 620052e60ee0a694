"""The report's page: one self-contained HTML file, no script, nothing fetched. Every text that came
from a row is escaped."""
import html
import json
import pathlib
import re

import facets
import paper as printed
import rows as r
import scales
from figures import GBPS, MPPS, loss, nf_cpu

STYLE = pathlib.Path(__file__).resolve().parent / "style.css"
OPEN_ROWS_MAX = 400  # a longer table is folded
COMMANDS_MAX = 3

# (heading, path or function, how it is written: a Unit with its spread, a function without)
COLUMNS = (
    ("live", "nfs.returned", lambda v: scales.number(v, 7)),
    ("Mpps", MPPS.take, MPPS.label),
    ("Gb/s", GBPS.take, GBPS.label.measured),
    ("p50", "latency_us.p50", scales.micros),
    ("p99", "latency_us.p99", scales.micros),
    ("p99.9", "latency_us.p999", scales.micros.measured),
    ("loss", loss, lambda v: scales.percent.of(2)(v)),
    ("pkt/wake", "wakes.packets_per_wake", scales.plain.measured),
    ("NF CPU", nf_cpu, lambda v: scales.percent.of(2)(v)),
)
SHORT = {"size": "size", "rate": "rate", "active": "active", "cost": "cost", "downstream": "rings"}


def escape(text):
    return html.escape(str(text), quote=True)


def page(title, sub, parts):
    """A whole document of `parts`, each a piece of HTML."""
    style = re.sub(r"/\*.*?\*/\s*", "", STYLE.read_text(encoding="utf-8"), flags=re.S)
    return ("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
            f"<header>\n<h1>{escape(title)}</h1>\n<p class=\"sub\">{sub}</p>\n</header>\n"
            + "\n".join(p for p in parts if p) + "\n</body>\n</html>\n")


def glance(items):
    """The few numbers to see first: [(value, what it is)]."""
    cells = "".join(f"<div><b>{escape(v)}</b><span>{escape(what)}</span></div>"
                    for v, what in items)
    return f"<div class=\"glance\">{cells}</div>" if items else ""


def figure(number, drawn, remake):
    """A figure with its caption, its parameters, and the commands that `remake` it."""
    axes = r.constant(drawn.points)
    lines = []
    if axes:
        lines.append("Parameters: " + escape(facets.heading(axes)) + "; " + repeats(drawn.points))
    lines.append("Remake: " + ", then ".join(map(code, remake)))
    if any(p.flags for p in drawn.points):
        lines.append("Hollow marks: flagged "
                     f"({escape(', '.join(sorted({f for p in drawn.points for f in p.flags})))}).")
    return (f"<figure id=\"{escape(drawn.key)}\">\n<div class=\"scroll\">{drawn.svg}</div>\n"
            f"<figcaption><b>Figure {number}. "
            f"{escape(drawn.title)}.</b> {escape(drawn.text)}"
            + "".join(f"<p class=\"meta\">{line}</p>" for line in lines)
            + "</figcaption>\n</figure>")


def code(command):
    """A command whose words are not broken at their hyphens."""
    words = (f"<span>{escape(w)}</span>" if len(w) < 30 else escape(w) for w in command.split(" "))
    return f"<code>{' '.join(words)}</code>"


def repeats(points):
    """How many windows stand behind each point."""
    counts = sorted({len(p.used) for p in points})
    text = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"median of {text} window{'s' if counts[-1] != 1 else ''}, bars: MAD"


def commands(rows):
    """The distinct commands that measured these rows, the first few."""
    found = list(dict.fromkeys(str(row["command"]) for row in rows if row.get("command")))
    more = [f"... and {len(found) - COMMANDS_MAX} more"] if len(found) > COMMANDS_MAX else []
    return found[:COMMANDS_MAX] + more


def table(points):
    """Every point with its medians and MADs; flagged ones carry a dagger."""
    vary = list(r.varying(points))
    columns = [c for c in COLUMNS if any(p.value(c[1]) for p in points)]
    head = "".join(f"<th{' class=w' if a in facets.NAMED else ''}>"
                   f"{escape(SHORT.get(a) or r.axis_name(a))}</th>"
                   for a in vary)
    head += "<th>n</th>" + "".join(f"<th>{escape(c[0])}</th>" for c in columns)
    body, last = [], None
    for p in points:
        group = str(p.axes.get(vary[0])) if vary else None
        mark = " class=\"new\"" if last is not None and group != last else ""
        last = group
        body.append(f"<tr{mark}>{_row(p, vary, columns)}</tr>")
    caption = ("Table 1. Every point: median ± MAD. n: windows used / measured (disturbed ones are "
               "not used). live: processes that returned a packet.")
    if any(p.flags for p in points):
        caption += " † flagged: " + ", ".join(sorted({f for p in points for f in p.flags})) + "."
    text = (f"<div class=\"scroll\"><table>\n<caption>{escape(caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body)
            + "\n</tbody>\n</table></div>")
    if len(points) > OPEN_ROWS_MAX:
        text = f"<details><summary>{len(points)} points</summary>\n{text}\n</details>"
    return f"<h2 id=\"table\">All points</h2>\n{text}"


def _row(point, vary, columns):
    cells = []
    for axis in vary:
        kind = " class=\"w\"" if axis in facets.NAMED else ""
        text = r.axis_value(axis, point.axes.get(axis)).removesuffix(" load")
        cells.append(f"<td{kind}>{escape(text)}</td>")
    used, all_rows = len(point.used), len(point.rows)
    flags = (f" <span class=\"flag\" title=\"{escape(', '.join(point.flags))}\">†</span>"
             if point.flags else "")
    cells.append(f"<td>{used if used == all_rows else f'{used}/{all_rows}'}{flags}</td>")
    for _, take, label in columns:
        value = point.value(take)
        if value is None:
            cells.append("<td>-</td>")
            continue
        if not isinstance(label, scales.Unit):
            cells.append(f"<td>{escape(label(value.median))}</td>")
            continue
        text, spread, unit = label.pair(value.median, value.mad)
        spread = f"<small> ± {escape(spread)}</small>" if value.mad else ""
        cells.append(f"<td>{escape(text)}{spread}{escape(f' {unit}' if unit else '')}</td>")
    return "".join(cells)


def missing(found, points):
    """What was refused or failed, and why; named by what varies among all."""
    if not found:
        return ""
    vary = r.varying([*points, *(r.Point(axes, []) for axes, _, _ in found)])
    found = sorted(found, key=lambda one: [r.sort_key(a, one[0].get(a)) for a in vary])
    items = "".join(
        f"<li>{escape(facets.heading({a: axes[a] for a in vary if a in axes}) or 'the point')}: "
        f"{escape(kind)}{escape(f': {reason}') if reason else ''}</li>"
        for axes, kind, reason in found)
    return (f"<h2 id=\"missing\">What could not be measured</h2>\n<ul class=\"notes\">{items}</ul>")


def paper(marks):
    """The printed values that the figures show, with their source."""
    if not marks:
        return ""
    source, host, note, values = printed.table()
    lines = "".join(f"<tr><td class=\"w\">{escape(a)}</td><td>{n:,}</td><td>{escape(s)}</td>"
                    f"<td class=\"w\">{escape(w)}</td><td>{escape(t)}</td></tr>"
                    for a, n, s, w, t in values)
    return ("<h2 id=\"paper\">The paper's printed values</h2>\n"
            f"<p class=\"meta\">{escape(source)}. "
            f"Host: {escape(host)}. {escape(note)}.</p>\n<table>\n<thead><tr>"
            "<th class=\"w\">architecture</th><th>NFs</th><th>size</th><th class=\"w\">what</th>"
            f"<th>printed</th></tr></thead>\n<tbody>{lines}</tbody>\n</table>")


METHOD = (
    "A row is one window of a run of the shipped executable; the time before it is discarded. "
    "Latency is open loop: a packet's clock starts when it was due, not when it was sent, so a "
    "system that falls behind is charged for it. Points are measured in random order, their "
    "repeats interleaved. Each figure is the median of a point's repeats with the median absolute "
    "deviation (MAD). A window during which the host took the processor away (steal time, or the "
    "vSwitch waiting in a run queue) is flagged and measured again; a point whose repeats disagree "
    "is flagged. “Live NFs” are distinct processes that each returned a packet within "
    "the window. Full load offers all that the source can; saturation is the highest rate with no "
    "more loss than the bound.")


def method(rows):
    search = next((row["search"] for row in rows if isinstance(row.get("search"), dict)), {})
    loss_bound, seconds = (r.number_of(search.get(k)) for k in ("loss_bound", "seconds_bound"))
    bound = ""
    if loss_bound is not None and seconds is not None:
        bound = (f" Here: {scales.percent(loss_bound)} of the packets, each search within "
                 f"{scales.plain(seconds)} s.")
    return f"<h2 id=\"method\">How it was measured</h2>\n<p>{METHOD}{bound}</p>"


def flat(tree, prefix=""):
    """[(dotted key, value)] of a nested dict."""
    if not isinstance(tree, dict):
        text = tree if isinstance(tree, str) else json.dumps(tree)
        return [(prefix, text)]
    return [pair for key, value in tree.items()
            for pair in flat(value, f"{prefix}.{key}" if prefix else str(key))]


def environment(rows):
    """Hosts, versions, seeds, and one whole configuration."""
    parts = ["<h2 id=\"host\">Host and versions</h2>"]
    distinct = {}
    for row in rows:
        both = {"host": row.get("host") or {}, "versions": row.get("versions") or {}}
        distinct.setdefault(json.dumps(both, sort_keys=True), [both, 0])[1] += 1
    for both, count in distinct.values():
        if len(distinct) > 1:
            parts.append(f"<p>{count} rows:</p>")
        pairs = flat(both["host"]) + flat(both["versions"])
        parts.append("<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>"
                                      for k, v in pairs) + "</dl>")
    seeds = sorted({str(row["seed"]) for row in rows if row.get("seed") is not None})
    if seeds:
        shown = ", ".join(seeds[:12]) + (", ..." if len(seeds) > 12 else "")
        parts.append(f"<p class=\"meta\">Seeds: {escape(shown)}</p>")
    config = next((row["config"] for row in rows if row.get("config")), None)
    if config:
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        parts.append("<details><summary>Configuration of the first row (rows.jsonl has each row's)"
                     f"</summary><pre>{escape(text)}</pre></details>")
    return "\n".join(parts)


def notes(lines):
    """Rows that were left out."""
    if not lines:
        return ""
    return ("<h2 id=\"notes\">Rows left out</h2>\n<ul class=\"notes\">"
            + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>")
