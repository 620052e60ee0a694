"""`mayfly report DIR`: rows.csv and report.html, made again from DIR/rows.jsonl."""
import argparse
import csv
import io
import json
import os
import pathlib
import re
import shlex
import sys

import comparison
import figures
import page
import paper
import rows as r
import scales
import sweep_figures

NOTES_SHOWN = 5


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="mayfly report", description="Makes rows.csv and report.html from the rows that "
        "`mayfly sweep` or `mayfly compare` wrote.")
    parser.add_argument("folder", metavar="DIR", help="the folder with rows.jsonl")
    parser.add_argument("--title", help="the report's title; default: what was run")
    args = parser.parse_args(arguments)
    try:
        written = make(pathlib.Path(args.folder), args.title)
    except (r.RowsError, OSError) as error:
        print(f"mayfly: report: {error}", file=sys.stderr)
        return 2
    print(written)
    return 0


def make(folder, title=None):
    """Makes both files; one line that says what was made. RowsError where there is nothing to
    report."""
    folder = pathlib.Path(folder)
    rows, notes = r.read(folder / "rows.jsonl")
    for note in notes[:NOTES_SHOWN]:
        print(f"mayfly: report: {note}", file=sys.stderr)
    if len(notes) > NOTES_SHOWN:
        print(f"mayfly: report: {len(notes) - NOTES_SHOWN} more rows left out; report.html names "
              "them", file=sys.stderr)
    replace(folder / "rows.csv", csv_of(rows))
    points = r.points_of(rows)
    compared = comparison.is_comparison(rows)
    drawn = (comparison.drawn(points, rows) if compared
             else sweep_figures.drawn(points, command_of(folder, rows)))
    replace(folder / "report.html", html_of(folder, rows, points, drawn, notes, title))
    return (f"{folder / 'report.html'}: {len(drawn)} figures of {len(points)} points, "
            f"{len(rows)} rows; {folder / 'rows.csv'}")


def replace(path, text):
    """Writes `path` whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def html_of(folder, rows, points, drawn, notes, title):
    measured = command_of(folder, rows)
    remake = [*([measured] if measured else page.commands(rows)),
              f"mayfly report {shlex.quote(str(folder))}"]
    parts = [page.glance(headline(points))]
    parts += [page.figure(i, figure, remake) for i, figure in enumerate(drawn, 1)]
    parts += [page.missing(r.missing_of(rows), points), page.paper(paper.marks(measured)),
              page.method(rows), page.environment(rows), page.notes(notes),
              page.table(points) if points else ""]
    return page.page(title or title_of(measured, folder), sub_of(rows, points), parts)


def command_of(folder, rows):
    """The command that measured everything: the plan's, or the one that all rows name; "" where
    each has its own."""
    try:
        command = json.loads((folder / "plan.json").read_text(encoding="utf-8")).get("command")
    except (OSError, ValueError, AttributeError):
        command = None
    named = {str(row["command"]) for row in rows if row.get("command")}
    return str(command) if command else named.pop() if len(named) == 1 else ""


def title_of(command, folder):
    """What was run: the preset, or the command, or the folder."""
    preset = re.search(r"--preset[= ](\S+)", command)
    if preset:
        return f"Mayfly sweep: {preset[1]}"
    verb = re.search(r"\bmayfly\s+(sweep|compare|tune)\b", command)
    return f"Mayfly {verb[1]}: {folder.resolve().name}" if verb else folder.resolve().name


def sub_of(rows, points):
    days = sorted({str(row["started"])[:10] for row in rows if row.get("started")})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else ""
    cpu = next((str(v) for row in rows for k, v in page.flat(row.get("host") or {})
                if k.split(".")[-1] in ("cpu", "model", "cpu_model")), "")
    pieces = [when, cpu, f"{len(points)} points", f"{len(rows)} rows"]
    return page.escape(" · ".join(p for p in pieces if p))


def headline(points):
    """[(value, what it is)]: the most NFs, the most packets, what the most NFs cost."""
    items = []
    live = [(p.value("nfs.returned"), p) for p in points if p.value("nfs.returned")]
    if live:
        most = max(live, key=lambda pair: pair[0].median)[0]
        items.append((scales.plain.of(6)(most.median), "live NF processes at once"))
    fast = [(p.value("mpps"), p) for p in points if p.value("mpps")]
    if fast:
        value, p = max(fast, key=lambda pair: pair[0].median)
        items.append((f"{scales.plain.measured(value.median)} Mpps" + "†" * bool(p.flags),
                      "highest throughput: " + _where(p, points)))
    quick = [(p.value("latency_us.p99"), p) for p in points
             if p.value("latency_us.p99") and not p.saturated]
    if quick:
        value, p = min(quick, key=lambda pair: pair[0].median)
        items.append((scales.micros.measured(value.median) + "†" * bool(p.flags),
                      "lowest p99: " + _where(p, points)))
    flagged = sum(bool(p.flags) for p in points)
    if flagged:
        items.append((f"{flagged} of {len(points)}", "points flagged (†)"))
    return items


def _where(point, points):
    vary = r.varying(points)
    return ", ".join(r.axis_words(a, point.axes[a]) for a in vary if a in point.axes) or "the point"


# rows.csv

FIRST = ("started", "kind", "alternative", "repeat", "seed", "flags")


def csv_of(rows):
    """One line a row: axes as point.X, figures as figures.X; without buckets, configuration and
    host, which rows.jsonl has."""
    lines = [_csv_row(row) for row in rows]
    keys = {k for line in lines for k in line}
    columns = [k for k in FIRST if k in keys]
    columns += sorted(k for k in keys if k.startswith("point."))
    columns += sorted(k for k in keys if k.startswith("figures."))
    columns += [k for k in ("command",) if k in keys]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _csv_row(row):
    line = {k: row[k] for k in ("started", "kind", "alternative", "repeat", "seed", "command")
            if row.get(k) is not None}
    line["flags"] = " ".join(row["flags"])
    line |= {f"point.{k}": v for k, v in page.flat(row["point"])}
    figures_kept = {k: v for k, v in row["figures"].items() if k != "latency_buckets"}
    line |= {f"figures.{k}": v for k, v in page.flat(figures_kept)} if figures_kept else {}
    return {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in line.items()}
