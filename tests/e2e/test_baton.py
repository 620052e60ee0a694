#!/usr/bin/env python3
"""The baton between real processes that are killed, stopped, continued and put to sleep wherever
they are. MAYFLY_SEED=N repeats the random choices of a run. `tools/soak --load baton` is the same
for longer."""
import baton_stress
import mayfly
import scenario

SECONDS = 18


class Baton(scenario.Scenario):
    def test_killed_stopped_and_put_to_sleep_anywhere(self):
        seed = baton_stress.seed_of_today()
        print(f"MAYFLY_SEED={seed}", flush=True)
        run = self.start(baton_stress.config(seed))
        stress = baton_stress.Stress(run, seed)
        self.eventually(stress.all_bound, 20, "all NFs are bound")
        stress.for_seconds(SECONDS)
        self.eventually(stress.all_bound, 10, "all NFs are bound again")
        before = stress.packets_of()
        self.eventually(lambda: stress.all_flow(before), 10, "every flow flows")
        report = stress.stop()
        print(stress.summary(report))
        self.drops(report, *baton_stress.LOST)
        self.assertGreater(stress.counts["killed"], 50)
        self.assertGreater(report["baton"][0]["revocations"], 10)
        # One that is not given its core for a second, between raising its flag and looking at its
        # ring again, cannot be told from one that sleeps on packets.
        if mayfly.stretch() == 1:
            self.assertEqual(report["wakes"]["late"], 0, report["wakes"])


if __name__ == "__main__":
    scenario.main()
