#!/usr/bin/env python3
"""`mayfly report`: from rows to rows.csv and report.html. The rows are synthetic
(synthetic_rows.py), or damaged on purpose. test_report_page.py opens the pages in a browser."""
import contextlib
import csv
import io
import json
import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
import paths  # noqa: F401,E402
import comparisons  # noqa: E402
import figures  # noqa: E402
import report  # noqa: E402
import rows as r  # noqa: E402
import scales  # noqa: E402
import svg  # noqa: E402
import sweep_figures  # noqa: E402
import synthetic_rows  # noqa: E402


def run(*arguments):
    """(exit code, what it wrote to stderr)"""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        return report.main([str(a) for a in arguments]), said.getvalue()


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n") and text.startswith("mayfly: report: ")


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="mayfly-report-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def write(self, rows, tail=""):
        text = "".join(json.dumps(row) + "\n" for row in rows) + tail
        (self.folder / "rows.jsonl").write_text(text, encoding="utf-8")

    def html(self):
        return (self.folder / "report.html").read_text(encoding="utf-8")


class Report(Folder):
    def test_every_preset_makes_its_figures(self):
        wanted = {
            "density": {"throughput", "latency", "cdf", "cpu", "wakes", "memory"},
            "tiny-nf": {"throughput", "latency", "latency-compared", "cdf", "cpu", "wakes"},
            "wake": {"cdf", "map-p99", "map-mpps", "map-cpu", "map-wakes"},
            "sending-rate": {"throughput", "latency", "cdf", "cpu"},
            "packet-size": {"throughput", "latency", "cdf", "cpu"},
            "one": {"cdf"},
            "names": {"throughput", "latency-compared", "cdf", "cpu", "wakes"},
        }
        for name, keys in wanted.items():
            with self.subTest(name):
                self.write(synthetic_rows.preset(name))
                self.assertEqual(run(self.folder), (0, ""))
                found = set(re.findall(r'<figure id="([a-z0-9-]+)">', self.html()))
                self.assertLessEqual(keys, found)
                self.assertIn(f"Mayfly sweep: {name}", self.html())

    def test_figures_are_well_formed_and_inside_their_box(self):
        for name in ("density", "tiny-nf", "wake", "sending-rate"):
            points = r.points_of(synthetic_rows.preset(name))
            for figure in sweep_figures.drawn(points, f"--preset {name}"):
                with self.subTest(f"{name} {figure.key}"):
                    root = xml.etree.ElementTree.fromstring(figure.svg)
                    width, height = map(float, root.get("viewBox").split()[2:])
                    shapes = [e for e in root.iter() if "class" in e.attrib]
                    self.assertGreater(len(shapes), 20)
                    for e in shapes:
                        if "x" in e.attrib:
                            self.assertTrue(-1 <= float(e.get("x")) <= width + 1, e.attrib)
                            self.assertTrue(-1 <= float(e.get("y")) <= height + 1, e.attrib)

    def test_a_large_grid_has_a_report_of_bounded_size(self):
        rows = []
        for seed, nfs in enumerate((10, 100, 1000)):
            rows += [row | {"point": row["point"] | {"nfs": nfs}}
                     for row in synthetic_rows.preset("wake", seed)]
        drawn = sweep_figures.drawn(r.points_of(rows))
        self.assertLess(len(drawn), 40)
        self.assertTrue(any(f.text.endswith("Some combinations only; the table has all.")
                            for f in drawn))

    def test_settings_that_do_not_make_a_grid(self):
        """Each dispatch at settings of its own: combinations that are not there draw nothing."""
        rows = synthetic_rows.preset("wake")
        chosen = {("baton", 1, "100us"), ("baton", 32, "20us"), ("futex", 1, "100us"),
                  ("futex", 8, "500us"), ("semaphore", 4, "2ms")}
        some = [row for row in rows if tuple(row["point"][a] for a in ("dispatch", "batch", "aging"))
                in chosen]
        for count in range(1, len(chosen) + 1):
            names = sorted(chosen)[:count]
            part = [row for row in some if tuple(
                row["point"][a] for a in ("dispatch", "batch", "aging")) in names]
            self.assertTrue(sweep_figures.drawn(r.points_of(part)), names)

    def test_a_figure_shows_every_point_it_has(self):
        points = r.points_of(synthetic_rows.preset("density"))
        drawn = sweep_figures.drawn(points)[0]
        full = [p for p in points if p.saturated]
        self.assertEqual(drawn.svg.count('<path class="d '), 2 * len(full))

    def test_every_figure_says_its_parameters_and_command(self):
        self.write(synthetic_rows.preset("density"))
        run(self.folder)
        html = self.html()
        captions = re.findall(r"<figcaption>.*?</figcaption>", html, re.S)
        self.assertEqual(len(captions), html.count("<figure "))
        for text in captions:
            self.assertIn("Parameters: mayfly, ", text)
            self.assertIn("mayfly sweep --preset density", re.sub("<[^>]*>", "", text))
            self.assertIn(f"mayfly report {self.folder}", re.sub("<[^>]*>", "", text))

    def test_nothing_is_fetched_and_nothing_runs(self):
        self.write(synthetic_rows.preset("tiny-nf"))
        run(self.folder)
        html = self.html().replace("http://www.w3.org/2000/svg", "")
        self.assertNotRegex(html, r"https?://|<script|<link|@import|url\(")

    def test_what_rows_say_is_escaped(self):
        rows = synthetic_rows.preset("one")
        for row in rows:
            row["host"] = {"cpu": "<img src=x onerror=alert(1)>"}
            row["point"]["dispatch"] = "<b>&\"'"
            row["command"] = "mayfly sweep --x '<script>'"
        self.write(rows)
        run(self.folder)
        self.assertNotRegex(self.html(), r"<img|<script|<b>&\"")

    def test_flagged_points_are_marked(self):
        self.write(synthetic_rows.preset("tiny-nf"))
        run(self.folder)
        self.assertIn("Hollow marks: flagged (spread)", self.html())
        self.assertRegex(self.html(), r'class="d c3 f"')
        self.assertIn("† flagged: spread", self.html())
        self.assertIn("6 of 54", self.html())

    def test_refused_and_failed_points_are_told(self):
        self.write(synthetic_rows.preset("tiny-nf"))
        run(self.folder)
        self.assertIn("refused: 4,000 polling NFs: more than this host bears", self.html())
        self.assertIn("failed: not ready within 90 s", self.html())

    def test_the_papers_figures_stand_beside_those_of_its_preset_alone(self):
        self.write(synthetic_rows.preset("tiny-nf"))
        run(self.folder)
        for text in ("paper A: 24.44 ms", "paper B: 4.83 ms", "paper B: 160 ms", "Cerrato",
                     "paper B: just over 8 Gb/s, 700 B"):
            self.assertIn(text, self.html())
        self.write(synthetic_rows.preset("density"))
        run(self.folder)
        self.assertNotIn("paper", self.html())

    def test_csv_has_every_row(self):
        rows = synthetic_rows.preset("tiny-nf")
        self.write(rows)
        run(self.folder)
        with open(self.folder / "rows.csv", encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        self.assertEqual(len(lines), len(rows))
        for line, row in zip(lines, rows):
            self.assertEqual(line["point.nfs"], str(row["point"]["nfs"]))
            if row["kind"] == "saturation":
                self.assertEqual(float(line["figures.latency_us.p99"]),
                                 row["figures"]["latency_us"]["p99"])

    def test_it_is_the_same_every_time(self):
        self.write(synthetic_rows.preset("wake"))
        run(self.folder)
        first = self.html()
        run(self.folder)
        self.assertEqual(self.html(), first)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["report.html", "rows.csv", "rows.jsonl"])


class BadInput(Folder):
    def test_a_row_that_a_kill_cut_off(self):
        rows = synthetic_rows.preset("one")
        self.write(rows, json.dumps(rows[0])[:200])
        code, said = run(self.folder)
        self.assertEqual(code, 0)
        self.assertTrue(one_line(said), said)
        self.assertIn("rows.jsonl:6: cut off; left out", said)
        self.assertIn("rows.jsonl:6: cut off; left out", self.html())

    def test_rows_of_other_shapes_are_left_out_and_named(self):
        good = synthetic_rows.preset("one")
        bad = ["nonsense", "[1, 2]", '{"schema": 7}', '{"schema": 1, "kind": "odd"}',
               '{"schema": 1, "kind": "measured"}',
               '{"schema": 1, "kind": "measured", "point": {}}',
               "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "[" * 100000]
        self.write(good, "\n".join(bad) + "\n")
        code, said = run(self.folder)
        self.assertEqual(code, 0)
        self.assertIn("rows.jsonl:8: schema 7, this version reads 1; left out", said)
        self.assertEqual(self.html().count("; left out</li>"), len(bad))

    def test_figures_of_other_types_are_no_figures(self):
        rows = synthetic_rows.preset("density")[:40]
        junk = [None, "fast", [], {}, True, 1e400]
        for i, row in enumerate(rows):
            row["figures"] |= {"mpps": junk[i % 6], "latency_us": junk[i % 6], "cpu": junk[i % 6],
                               "latency_buckets": junk[i % 6], "wakes": {"per_s": -1},
                               "nfs": junk[(i + 1) % 6], "packets": {"rx": 1, "drops": junk[i % 6]}}
            row["flags"] = junk[i % 6]
        self.write(rows)
        self.assertEqual(run(self.folder), (0, ""))

    def test_points_of_odd_values(self):
        rows = synthetic_rows.preset("one")
        for i, row in enumerate(rows):
            row["point"] = {"nfs": [1, "many", None, -5, 0][i],
                            "rate": ["", "9..9", "%", 0, "x%"][i], "size": {}, "aging": "5 fortnights", "new axis": i}
        self.write(rows)
        self.assertEqual(run(self.folder), (0, ""))

    def test_nothing_to_report_is_one_line(self):
        for name, text, wanted in (
                ("nothing there", None, "rows.jsonl: No such file or directory; a folder that"),
                ("empty", "", "no row to report (rows.jsonl is empty)"),
                ("all unknown", '{"schema": 2}\n', "no row to report (rows.jsonl:1: schema 2,")):
            with self.subTest(name):
                if text is not None:
                    (self.folder / "rows.jsonl").write_text(text, encoding="utf-8")
                code, said = run(self.folder)
                self.assertEqual(code, 2)
                self.assertTrue(one_line(said), said)
                self.assertIn(wanted, said)
                self.assertFalse((self.folder / "report.html").exists())

    def test_a_sweep_in_which_nothing_could_be_measured(self):
        rows = [row for row in synthetic_rows.preset("tiny-nf") if row["kind"] in
                ("refused", "failed")]
        self.write(rows)
        self.assertEqual(run(self.folder), (0, ""))
        self.assertIn("What could not be measured", self.html())


class Points(unittest.TestCase):
    def row(self, mpps, flags=(), **point):
        return {"schema": 1, "kind": "measured", "point": point, "flags": list(flags),
                "figures": {"mpps": mpps}}

    def test_median_and_mad(self):
        point, = r.points_of([self.row(v, nfs=1) for v in (1, 2, 3, 4, 100)])
        value = point.value("mpps")
        self.assertEqual((value.median, value.mad), (3, 1))

    def test_disturbed_windows_count_only_where_there_are_no_others(self):
        point, = r.points_of([self.row(1, nfs=1), self.row(9, ["steal"], nfs=1)])
        self.assertEqual((point.value("mpps").median, point.flags), (1, []))
        point, = r.points_of([self.row(9, ["steal"], nfs=1)])
        self.assertEqual((point.value("mpps").median, point.flags), (9, ["steal"]))

    def test_repeats_that_disagreed_count_and_flag_the_point(self):
        point, = r.points_of([self.row(1, nfs=1), self.row(3, ["spread"], nfs=1)])
        self.assertEqual((point.value("mpps").median, point.flags), (2, ["spread"]))

    def test_axes_in_order(self):
        rows = [self.row(1, rate=v) for v in ("max", "80%", 1000, "saturation", "20%", 100)]
        self.assertEqual(r.varying(r.points_of(rows))["rate"],
                         [100, 1000, "20%", "80%", "max", "saturation"])

    def test_what_follows_from_the_chain_is_no_axis_of_its_own(self):
        rows = [self.row(1, chain=n, nfs=4 * n) for n in (1, 2, 3)]
        self.assertEqual(list(r.varying(r.points_of(rows))), ["chain"])


class Scales(unittest.TestCase):
    def test_numbers(self):
        for value, text in ((0, "0"), (0.01234, "0.0123"), (4.9, "4.9"), (12.34, "12.3"),
                            (1834, "1,830"), (24300, "24,300"), (999.9, "1,000")):
            self.assertEqual(scales.number(value), text)
        for value, text in ((0.85, "850 ns"), (999.96, "1 ms"), (1500, "1.5 ms"), (2.5e6, "2.5 s")):
            self.assertEqual(scales.micros(value), text)
        self.assertEqual(scales.micros.pair(4900, 51), ("4.90", "0.05", "ms"))
        self.assertEqual(scales.plain.measured(4.9), "4.90")

    def test_linear_begins_and_ends_at_ticks(self):
        scale = scales.Linear(0, 4.24)
        self.assertEqual([label for _, label in scale.ticks], ["0", "1", "2", "3", "4", "5"])
        self.assertEqual((scale.at(0), scale.at(5)), (0, 1))

    def test_nines(self):
        scale = scales.Nines(3)
        for share, at in ((0, 0), (0.9, 1 / 3), (0.99, 2 / 3), (0.999, 1), (1, 1)):
            self.assertAlmostEqual(scale.at(share), at)

    def test_labels_keep_apart(self):
        for wanted in ([5, 5, 5], [0, 1, 2, 50], [99, 98, 97], [50]):
            placed = svg.spread(wanted, 10, 0, 100)
            ordered = sorted(placed)
            self.assertTrue(all(b - a >= 10 - 1e-9 for a, b in zip(ordered, ordered[1:])), placed)
            self.assertTrue(0 <= ordered[0] and ordered[-1] <= 100, placed)
        self.assertEqual(svg.spread([20, 60], 10, 0, 100), [20, 60])


class Comparisons(unittest.TestCase):
    def test_ratios(self):
        points = [r.Point({"alternative": n, "rate": "max"}, [
            {"flags": [], "figures": {"mpps": v * k}} for k in (0.99, 1, 1.01)])
            for n, v in (("mayfly", 2.0), ("other", 0.5))]
        drawn, = comparisons.ratios("ratios", "Ratios", "", points, [
            comparisons.Measure("Throughput", figures.MPPS, {"rate": "max"}, True)],
            ["mayfly", "other", "third"], "mayfly", why={"third": "failed: no such device"})
        for text in ("×1<", "×0.25<", "0.500 ± 0.005 Mpps", "failed: no such device"):
            self.assertIn(text, drawn.svg)


if __name__ == "__main__":
    unittest.main()
