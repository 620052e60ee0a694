#!/usr/bin/env python3
"""rows.jsonl across kills, and what counts as measured."""
import pathlib
import tempfile
import unittest

import paths  # noqa: F401
import rowfile
import sweep
import stats
import test_grid

POINT = {"nfs": 8, "rate": "max"}


def row(point=None, repeat=0, kind="measured", flags=(), mpps=1.0):
    return {"point": point or POINT, "repeat": repeat, "kind": kind, "flags": list(flags),
            "figures": {"mpps": mpps, "latency_us": {"p50": 10 * mpps}}}


class Rows(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "rows.jsonl"

    def file(self, *rows):
        file = rowfile.RowFile(self.path)
        file.__enter__()
        self.addCleanup(lambda: file.__exit__())
        for r in rows:
            file.append(r)
        return file


class OnDisk(Rows):
    def test_each_row_is_there_at_once(self):
        file = self.file()
        for n in range(3):
            file.append(row(repeat=n))
            self.assertEqual(self.path.read_bytes().count(b"\n"), n + 1)

    def test_a_torn_row_is_cut_off_and_the_rest_kept(self):
        with rowfile.RowFile(self.path) as file:
            file.append(row(repeat=0))
            file.append(row(repeat=1))
        whole = self.path.read_bytes()
        for cut in range(1, len(whole) // 2):
            self.path.write_bytes(whole[:-cut])
            with rowfile.RowFile(self.path) as file:
                self.assertEqual([r["repeat"] for r in file.rows], [0])
                file.append(row(repeat=1))
            self.assertEqual(self.path.read_bytes(), whole)

    def test_one_writer(self):
        self.file()
        with self.assertRaises(rowfile.Busy):
            rowfile.RowFile(self.path).__enter__()

    def test_a_flag_that_comes_later(self):
        file = self.file(row(repeat=0), row(repeat=1))
        file.flag(file.rows[1:], "accounts")
        file.append(row(repeat=2))
        self.assertEqual(file.values(POINT, "mpps"), [1.0, 1.0])
        with self.assertRaises(rowfile.Busy):
            rowfile.RowFile(self.path).__enter__()
        file.__exit__()
        with rowfile.RowFile(self.path) as again:
            self.assertEqual([r["flags"] for r in again.rows], [[], ["accounts"], []])


class WhatCounts(Rows):
    def test_an_undisturbed_row_settles_its_repeat_alone(self):
        file = self.file(row(repeat=0))
        self.assertTrue(file.settled(POINT, 0, retries=2))
        self.assertFalse(file.settled(POINT, 1, retries=2))
        self.assertFalse(file.settled({**POINT, "nfs": 9}, 0, retries=2))

    def test_a_disturbed_row_does_not_until_retries_run_out(self):
        file = self.file()
        for n in range(3):
            self.assertFalse(file.settled(POINT, 0, retries=2), n)
            file.append(row(flags=["steal"]))
        self.assertTrue(file.settled(POINT, 0, retries=2))

    def test_a_reason_settles(self):
        self.assertTrue(self.file(row(kind="failed")).settled(POINT, 0, retries=2))

    def test_a_repeat_for_spread_is_no_disturbance(self):
        file = self.file(row(flags=["spread"]))
        self.assertTrue(file.settled(POINT, 0, retries=2))
        self.assertEqual(file.values(POINT, "latency_us.p50"), [10.0])

    def test_disturbed_and_failed_rows_are_no_values(self):
        file = self.file(row(mpps=1), row(mpps=9, flags=["vswitch_wait"]), row(kind="failed"))
        self.assertEqual(file.values(POINT, "mpps"), [1])


class Disagreement(Rows):
    """Points whose repeats disagree are measured again, once."""

    def again(self, figures):
        made = sweep.Sweep(test_grid.read("--nfs", "2,4", "--rate", "max,10kpps"))
        file = self.file(*(row(point, k, mpps=value) for point in made.grid.points
                           for k, value in enumerate(figures(point))))
        return made.again(made.windows, file)

    def test_agreement_needs_nothing(self):
        self.assertEqual(self.again(lambda _: [1, 1.01, 0.99, 1, 1.02]), [])

    def test_one_wide_point_is_repeated_alone(self):
        wide = {"nfs": 4, "rate": 10_000}
        units = self.again(lambda p: [1, 2, 3, 1.5, 2.5] if wide.items() <= p.items()
                           else [1, 1, 1, 1, 1])
        self.assertEqual([(u.setting["nfs"], u.rates, u.repeat, u.flags) for u in units],
                         [(4, [10_000], 5 + k, ("spread",)) for k in range(5)])

    def test_an_outlier_is_not_spread(self):
        self.assertEqual(self.again(lambda _: [1, 1, 1, 1, 50]), [])
        self.assertFalse(stats.wide([1, 1, 1, 1, 50]))


if __name__ == "__main__":
    unittest.main()
