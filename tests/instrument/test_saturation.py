#!/usr/bin/env python3
"""The search for saturation, on sinks of known capacity."""
import random
import unittest

import paths  # noqa: F401
import saturation


class Sink:
    """Bears `capacity`; above it the excess is lost. Overload costs it `collapse` of what it bears
    for each doubling. Its clock moves by the length of each trial."""

    def __init__(self, capacity, collapse=0.0, noise=None):
        self.capacity, self.collapse, self.noise = capacity, collapse, noise
        self.now = 0.0
        self.trials = 0

    def __call__(self, pps):
        self.now += 1.0
        self.trials += 1
        offered = 50 * self.capacity if pps == "max" else pps
        overload = max(0.0, offered / self.capacity - 1)
        through = min(offered, self.capacity * max(0.02, 1 - self.collapse * overload))
        noise = self.noise(offered) if self.noise else {}
        lost = noise.get("lost", 1 - through / offered)
        return saturation.Trial(through if pps == "max" else pps, lost, noise.get("growth", 0.0),
                                noise.get("disturbed", False), {"through": through})

    def search(self, bound=0.001, seconds=1000):
        return saturation.Search(self, self, bound, seconds, clock=lambda: self.now).run()


class KnownCapacity(unittest.TestCase):
    def test_within_the_resolution(self):
        for capacity in (150, 9_999, 1_000_000, 14_880_952):
            for collapse in (0, 0.01, 0.5, 5):
                sink = Sink(capacity, collapse)
                found = sink.search()
                self.assertTrue(found.complete)
                self.assertLessEqual(found.pps, capacity * 1.00101)
                self.assertGreater(found.pps, capacity * (1 - 2 * saturation.RESOLUTION), collapse)
                self.assertLess(sink.trials, 25)

    def test_the_bound_on_loss_counts(self):
        strict, loose = Sink(1_000_000).search(0.0), Sink(1_000_000).search(0.10)
        self.assertLessEqual(strict.pps, 1_000_000)
        self.assertGreater(loose.pps, 1_050_000)
        self.assertLessEqual(loose.pps, 1_000_000 / 0.9 + 1)

    def test_a_start_far_too_low_is_left_behind(self):
        """Overload makes this one deliver 2 % of its capacity: the first guess is far too low."""
        found = Sink(1_000_000, collapse=5).search()
        self.assertGreater(found.pps, 950_000)

    def test_a_sink_that_bears_nothing(self):
        sink = Sink(1_000_000, noise=lambda _: {"lost": 0.5})
        found = sink.search()
        self.assertEqual(found.pps, 0)
        self.assertIsNone(found.trial)
        self.assertTrue(found.complete)

    def test_every_trial_is_told(self):
        sink = Sink(1_000_000)
        found = sink.search()
        self.assertEqual(len(found.trials), sink.trials - 1)  # all but the look at "max"
        self.assertEqual(found.trials[-1], (found.pps, found.trial.lost, True, False))


class Bounds(unittest.TestCase):
    def test_the_time_bound_ends_it_and_is_told(self):
        sink = Sink(1_000_000, collapse=0.5)
        found = sink.search(seconds=4)
        self.assertFalse(found.complete)
        self.assertLessEqual(found.seconds, 4 + 2)  # a trial that began is finished, and confirmed
        self.assertLessEqual(found.pps, 1_001_001)

    def test_trials_are_bounded(self):
        choose = random.Random(1)
        sink = Sink(1_000_000, noise=lambda _: {"lost": choose.choice([0.0, 0.5]),
                                                "disturbed": True})
        sink.search(seconds=1e9)
        self.assertLessEqual(sink.trials, saturation.TRIALS_MAX + 2)


class Noise(unittest.TestCase):
    def test_a_disturbed_failure_is_tried_again(self):
        """Every third window is stolen from; what it lost then is not the sink's doing."""
        turn = iter(range(10 ** 6))
        sink = Sink(1_000_000, noise=lambda _: {"lost": 0.3, "disturbed": True}
                    if next(turn) % 3 == 1 else {})
        found = sink.search()
        self.assertGreater(found.pps, 950_000)

    def test_a_growing_queue_is_no_saturation(self):
        """Nothing is lost yet, but above 400 kpps the buffers fill."""
        sink = Sink(1_000_000, noise=lambda pps: {"lost": 0.0, "growth": 0.1 if pps > 400_000 else 0})
        found = sink.search()
        self.assertLessEqual(found.pps, 400_000)
        self.assertGreater(found.pps, 380_000)

    def test_a_lucky_maximum_is_not_confirmed(self):
        """Short windows pass where long ones fail: the result is what the long ones bear."""
        short, long = Sink(1_000_000), Sink(700_000)
        found = saturation.Search(short, long, 0.001, 1000, clock=lambda: short.now).run()
        self.assertLessEqual(found.pps, 700_701)
        self.assertGreater(found.pps, 450_000)


class Judging(unittest.TestCase):
    """What a window's figures say about a rate."""

    def figures(self, **change):
        figures = {"seconds": 2.0, "mpps": 0.5, "load": {"offered": 1_000_000},
                   "packets": {"drops": {}, "held": 100, "held_before": 120}}
        return {**figures, **change}

    def judge(self, figures, pps=500_000, **more):
        return saturation.judge(figures, pps, **more)

    def test_nothing_lost(self):
        trial = self.judge(self.figures())
        self.assertEqual((trial.lost, trial.growth, trial.pps), (0, 0, 500_000))

    def test_drops_of_every_reason_count(self):
        trial = self.judge(self.figures(packets={"drops": {"nf_ring_full": 700, "tx_full": 300},
                                                 "held": 0, "held_before": 0}))
        self.assertAlmostEqual(trial.lost, 0.001)

    def test_what_was_due_and_never_taken_in_is_lost(self):
        """The source falls behind: no drop is counted, and still 10 % never came."""
        trial = self.judge(self.figures(load={"offered": 900_000}))
        self.assertAlmostEqual(trial.lost, 0.1, delta=0.001)

    def test_an_irregular_source_may_miss_its_mean(self):
        short = self.figures(load={"offered": 995_000})
        self.assertGreater(self.judge(short).lost, 0.004)
        self.assertEqual(self.judge(short, jitter=0.006).lost, 0)

    def test_growth(self):
        trial = self.judge(self.figures(packets={"drops": {}, "held": 30_100, "held_before": 100}))
        self.assertAlmostEqual(trial.growth, 0.03)
        self.assertFalse(trial.passes(0.001))
        self.assertTrue(trial.doubtful(0.001))

    def test_overload_is_judged_by_what_came_through(self):
        self.assertEqual(self.judge(self.figures(), pps="max").pps, 500_000)


if __name__ == "__main__":
    unittest.main()
