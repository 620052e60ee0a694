#!/usr/bin/env python3
"""Statistics on inputs whose answers are known, or computed the long way."""
import random
import unittest

import paths  # noqa: F401
import stats


def nearest_rank_by_definition(values, per_mille):
    """The smallest value such that at least `per_mille` of all values do not exceed it."""
    for candidate in sorted(values):
        if 1000 * sum(v <= candidate for v in values) >= per_mille * len(values):
            return candidate
    raise AssertionError


class Percentiles(unittest.TestCase):
    def test_against_the_definition(self):
        choose = random.Random(1)
        for _ in range(200):
            values = [choose.randrange(50) for _ in range(choose.randint(1, 60))]
            for per_mille in (0, 1, 250, 333, 500, 900, 990, 999, 1000):
                expected = nearest_rank_by_definition(values, max(per_mille, 1))
                self.assertEqual(stats.percentile(values, per_mille / 1000), expected,
                                 (values, per_mille))

    def test_textbook(self):
        values = [15, 20, 35, 40, 50]
        self.assertEqual([stats.percentile(values, q) for q in (0.05, 0.3, 0.4, 0.5, 1)],
                         [15, 20, 20, 35, 50])
        self.assertEqual(stats.percentile(list(range(1, 101)), 0.99), 99)

    def test_no_values_is_an_error(self):
        with self.assertRaises(ValueError):
            stats.percentile([], 0.5)
        with self.assertRaises(ValueError):
            stats.median([])

    def test_a_histogram_of_exact_buckets_answers_as_a_sort(self):
        choose = random.Random(2)
        for _ in range(100):
            values = [choose.randint(1, 40) for _ in range(choose.randint(1, 300))]
            buckets = sorted([v, values.count(v)] for v in set(values))
            for q in (0.01, 0.5, 0.9, 0.99, 0.999, 1):
                self.assertEqual(stats.bucket_percentile(buckets, q), stats.percentile(values, q))

    def test_an_empty_histogram(self):
        self.assertEqual(stats.bucket_percentile([], 0.5), 0)
        self.assertEqual(stats.share_above([], 10), 0)


class Coarsening(unittest.TestCase):
    def setUp(self):
        choose = random.Random(3)
        values = sorted(choose.lognormvariate(5, 2) for _ in range(20000))
        self.buckets = [[v, 1] for v in values]
        self.coarse = stats.coarsen(self.buckets)

    def test_no_packet_is_lost(self):
        self.assertEqual(sum(c for _, c in self.coarse), 20000)
        self.assertLess(len(self.coarse), 2000)

    def test_percentiles_move_up_by_a_percent_at_most(self):
        for q in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1):
            exact = stats.bucket_percentile(self.buckets, q)
            coarse = stats.bucket_percentile(self.coarse, q)
            self.assertGreaterEqual(coarse, exact)
            self.assertLessEqual(coarse, exact * 1.0101)

    def test_merging(self):
        self.assertEqual(stats.merge_buckets([[[1, 2], [5, 1]], [[2, 4], [5, 3]]]),
                         [[1, 2], [2, 4], [5, 4]])


class Spread(unittest.TestCase):
    def test_median(self):
        self.assertEqual(stats.median([3, 1, 2]), 2)
        self.assertEqual(stats.median([4, 1, 2, 3]), 2.5)

    def test_mad(self):
        self.assertEqual(stats.mad([1, 1, 2, 2, 4, 6, 9]), 1)  # the usual example
        self.assertEqual(stats.mad([5]), 0)
        self.assertEqual(stats.mad([10, 10, 10, 1000]), 0)  # one outlier moves nothing

    def test_wide(self):
        self.assertFalse(stats.wide([1.0, 1.05, 0.95, 1.02, 50]))
        self.assertTrue(stats.wide([1.0, 1.5, 0.5, 1.3, 0.8]))
        self.assertFalse(stats.wide([1, 100]), "two repeats say nothing about spread")
        self.assertFalse(stats.wide([0, 0, 0]))
        self.assertTrue(stats.wide([1.0, 1.1, 0.9], limit=0.05))

    def test_what_a_point_is_judged_by(self):
        self.assertEqual(stats.main_figure("max"), "mpps")
        self.assertEqual(stats.main_figure("saturation"), "mpps")
        self.assertEqual(stats.main_figure("80%"), "latency_us.p50")
        self.assertEqual(stats.main_figure(1000), "latency_us.p50")


if __name__ == "__main__":
    unittest.main()
