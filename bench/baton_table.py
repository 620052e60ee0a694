"""What the rows on disk say: medians with the MAD, Markdown tables, and the goals."""
import baton_rows
import rows as r
import rowfile
import saturation
import stats

FIGURES = ("mpps", "latency_us.p50", "latency_us.p90", "latency_us.p99", "latency_us.p999",
           "latency_us.mean", "loss", "vswitch.cycles_per_packet", "wakes.per_s",
           "wakes.packets_per_wake", "wakes.late", "cpu.vswitch")


def loss_of(row):
    """The share of the packets due that was dropped, or never taken in."""
    return saturation.judge(row["figures"], row["rate_pps"] or "max").lost


class Results:
    """results(point, figure): the median over its windows, None if there is none."""

    def __init__(self, rows):
        self._rows = rows

    def windows(self, point):
        """(those that count, are they disturbed)."""
        rows = [row for row in self._rows.of(point) if row["kind"] == "measured"]
        quiet = [row for row in rows if not rowfile.DISTURBED & set(row["flags"])]
        return quiet or rows, bool(rows) and not quiet

    def values(self, point, figure):
        found = (loss_of(row) if figure == "loss" else r.dig(row["figures"], figure)
                 for row in self.windows(point)[0])
        return [v for v in found if v is not None]

    def __call__(self, point, figure):
        values = self.values(point, figure)
        return stats.median(values) if values else None

    def text(self, point, figure, scale=1.0, digits=0):
        values = [v * scale for v in self.values(point, figure)]
        if not values:
            return "-"
        spread = f" ± {stats.mad(values):,.{digits}f}" if len(values) > 1 else ""
        return f"{stats.median(values):,.{digits}f}{spread}"

    def why_not(self, point):
        failed = [row for row in self._rows.of(point) if row["kind"] != "measured"]
        return failed[-1]["reason"] if failed else "not measured"


HEADS = ("NFs", "offered", "dispatch", "batch, ageing", "Mpps", "p50 us", "p90 us", "p99 us",
         "p99.9 us", "mean us", "loss %", "vSwitch cycles a packet", "packets a wake", "beside")


def table(row, results):
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for p in row.points():
        head = [f"{p['nfs']:,}", _offered(p), p["dispatch"], f"{p['batch']}, {p['aging']}"]
        windows, disturbed = results.windows(p)
        if not windows:
            lines.append("| " + " | ".join([*head, results.why_not(p)]) + " |")
            continue
        head[2] += "*" * disturbed
        cells = [results.text(p, "mpps", digits=3)]
        cells += [results.text(p, f"latency_us.{q}", digits=1)
                  for q in ("p50", "p90", "p99", "p999", "mean")]
        cells += [results.text(p, "loss", 100, 2), results.text(p, "vswitch.cycles_per_packet"),
                  results.text(p, "wakes.packets_per_wake", digits=1), row.beside(p)]
        lines.append("| " + " | ".join([*head, *cells]) + " |")
    return lines


def _offered(p):
    rate = p["rate"]
    return {"max": "overload", "50%": "half"}.get(rate) or f"{rate / 1e6:g} Mpps"


def goals_table(rows, results):
    lines = ["| goal | reached | bound | |", "|---|---|---|---|"]
    for row in rows:
        for g in row.goals(results):
            value = "-" if g.value is None else f"{g.value:.3g} {g.unit}".rstrip()
            sign = "at least" if g.least else "at most"
            lines.append(f"| {g.text} | {value} | {sign} {g.bound:.3g} {g.unit}".rstrip()
                         + f" | {g.met} |")
    return lines


def markdown(rows, results, preamble):
    parts = [preamble]
    for row in rows:
        parts += [f"## {row.title} (`{row.name}`)", "\n".join(table(row, results))]
    parts += ["## Goals", "\n".join(goals_table(rows, results))]
    if any(results.windows(p)[1] for row in rows for p in row.points()):
        parts.append("*: no window of this point was undisturbed.")
    if any(baton_rows.POLL_MOST < n for row in rows for n in row.counts()):
        parts.append(f"`poll` is run up to {baton_rows.POLL_MOST} NFs: more spinning processes "
                     "make every other one wait for whole rounds of time slices.")
    return "\n\n".join(parts) + "\n"


def as_json(rows, results):
    def figures(p):
        return {name: stats.summary(values) for name in FIGURES
                if (values := results.values(p, name))}
    return {"rows": {row.name: [{"point": p, "figures": figures(p)} for p in row.points()]
                     for row in rows},
            "goals": [{"goal": g.text, "value": g.value, "bound": g.bound, "least": g.least,
                       "met": g.met} for row in rows for g in row.goals(results)]}
