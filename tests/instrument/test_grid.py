#!/usr/bin/env python3
"""Grids: what may be written, what comes out, and what is refused before anything runs."""
import copy
import pathlib
import tempfile
import unittest

import paths  # noqa: F401
import grid
import measure
import presets
import rowfile
import sweep

HOST = {
    "version": "0.1.0", "dpdk": "22.11", "kernel": "6.1", "root": True,
    "cores": {"online": [0, 1, 2], "usable": [0, 1, 2]},
    "processes": {"room": 5064, "limit": "kernel.pid_max 8192", "remedy": "sysctl -w ..."},
    "instances_max": 262144, "descriptors_max": 1024,
    "memory": {"available_bytes": 16 << 30, "total_bytes": 24 << 30},
    "huge_pages": {"page_bytes": 2 << 20, "total": 0, "free": 0},
    "dispatches": ["poll", "semaphore", "eventfd", "futex", "uring", "baton"],
    "dispatch_default": "futex",
}
MOST = 5000


def read(*arguments, host=HOST):
    return sweep.read_grid(sweep.parser().parse_args(arguments), host)


class Reading(unittest.TestCase):
    def test_all_combinations_once(self):
        plan = read("--nfs", "8,64", "--rate", "80%,max,1.5Mpps", "--batch", "8,adaptive,8")
        self.assertEqual(len(plan.points), 2 * 3 * 2)
        self.assertEqual({p["rate"] for p in plan.points}, {"80%", "max", 1_500_000})
        self.assertEqual({p["batch"] for p in plan.points}, {8, "adaptive"})
        self.assertEqual({p["dispatch"] for p in plan.points}, {"futex"})
        self.assertEqual(list(plan.points[0]), list(grid.AXES))

    def test_the_most_is_whole_chains(self):
        plan = read("--nfs", "most", "--chain", "1,3")
        self.assertEqual([p["nfs"] for p in plan.points], [MOST, MOST - MOST % 3])

    def test_memory_bounds_the_most_too(self):
        host = copy.deepcopy(HOST)
        host["memory"]["available_bytes"] = 1 << 30
        count, why = grid.most_nfs(host)
        self.assertEqual(count, ((1 << 30) - grid.BASE_BYTES) // grid.INSTANCE_BYTES)
        self.assertIn("memory", why)

    def test_settings(self):
        plan = read("--nfs", "8", "--window", "500ms", "--loss", "0.5%", "--repeat", "3")
        self.assertEqual((plan.settings.window, plan.settings.loss, plan.settings.repeat),
                         (0.5, 0.005, 3))

    def test_what_a_row_says_to_run_again_reads_back(self):
        plan = read("--nfs", "12", "--chain", "3", "--rate", "12.5kpps", "--active", "25%",
                    "--cost", "700", "--arrival", "1ms/9ms", "--order", "zipf:1.2", "--window", "3s",
                    "--loss", "0.05%", "--dispatch", "semaphore", "--aging", "off")
        line = measure.command(plan.points[0], plan.settings)
        again = read(*line.split()[2:])
        self.assertEqual(again.points, plan.points)
        self.assertEqual(again.settings, plan.settings)

    def test_presets_fit_the_host(self):
        for name in presets.PRESETS:
            plan = read("--preset", name)
            self.assertTrue(plan.points)
            self.assertLessEqual(max(p["nfs"] for p in plan.points), MOST)
        density = {p["nfs"] for p in read("--preset", "density").points}
        self.assertEqual(density, {10, 30, 100, 300, 1000, 3000, MOST})
        dispatches = {name: {p["dispatch"] for p in read("--preset", name).points}
                      for name in ("density", "tiny-nf", "wake")}
        self.assertEqual(dispatches["density"], {"futex", "baton"})
        self.assertEqual(dispatches["tiny-nf"], {"poll", "semaphore", "futex", "baton"})
        self.assertEqual(dispatches["wake"], set(HOST["dispatches"]) - {"poll"})

    def test_axes_replace_those_of_a_preset(self):
        plan = read("--preset", "density", "--nfs", "20", "--size", "64")
        self.assertEqual({p["nfs"] for p in plan.points}, {20})


class Configurations(unittest.TestCase):
    def config(self, *arguments):
        plan = read(*arguments)
        return plan.config(plan.points[0], "1kpps", 7)

    def test_one_tenant_is_one_chain(self):
        config, files = self.config("--nfs", "12", "--chain", "3")
        self.assertEqual(config["chains"]["path"]["nfs"], ["nf0", "nf1", "nf2"])
        self.assertEqual(config["ports"][0]["gen"]["flows"], 4)
        self.assertEqual(config["nfs"]["nf2"]["pool"], {"idle": 4, "max": 4})
        self.assertEqual(config["cores"], {"vswitch": 0, "nfs": [1]})
        self.assertEqual(files, {})

    def test_the_silent_ones_are_bound_too(self):
        config, _ = self.config("--nfs", "100", "--active", "10%")
        self.assertEqual([p["gen"]["flows"] for p in config["ports"]], [10, 100])

    def test_sources(self):
        config, _ = self.config("--arrival", "1ms/9ms", "--order", "zipf:1.2", "--size", "web")
        gen = config["ports"][0]["gen"]
        self.assertEqual((gen["arrival"], gen["order"], gen["zipf"], gen["size"], gen["seed"]),
                         ({"on": "1ms", "off": "9ms"}, "zipf", 1.2, "web", 7))

    def test_nfs(self):
        config, files = self.config("--nf", "firewall", "--cores", "2")
        self.assertEqual(len(files["ten.rules"].splitlines()), 10)
        self.assertEqual(config["cores"]["nfs"], [1, 2])
        config, files = self.config("--nf", "l3fwd")
        self.assertEqual(len(files["ten.routes"].splitlines()), 10)
        config, _ = self.config("--cost", "700")
        self.assertEqual(config["nfs"]["nf0"]["image"], "spin")
        self.assertEqual(config["nfs"]["nf0"]["args"], {"cycles": 700})


class Refusals(unittest.TestCase):
    """(arguments, what the one line says: where, and what would be possible)."""

    ROWS = [
        (["--nfs", "5001"], ["--nfs", "5001", "use up to 5000", "kernel.pid_max 8192"]),
        (["--nfs", "0"], ["--nfs", '"0"', "from 1"]),
        (["--nfs", "8,64", "--chain", "3"], ["--nfs", "8", "6 or 9"]),
        (["--nfs", "2", "--chain", "3"], ["--nfs", "2", "3"]),
        (["--chain", "17"], ["--chain", "17", "1 to 16"]),
        (["--colour", "red"], ["--colour", "no such option", "--nfs"]),
        (["--rate", "80"], ["--rate", "80", "no unit", "100kpps"]),
        (["--rate", "5Gbps"], ["--rate", "Gbps", "100kpps"]),
        (["--rate", "0%"], ["--rate", "0%", "above 0%"]),
        (["--rate", ""], ["--rate", "write for example"]),
        (["--size", "59"], ["--size", "59", "60 to 1514"]),
        (["--size", "huge"], ["--size", "huge", "imix"]),
        (["--active", "0%"], ["--active", "0%", "100%"]),
        (["--nfs", "4", "--active", "1%"], ["--active", "at least 25%"]),
        (["--dispatch", "telepathy"], ["--dispatch", "telepathy", "semaphore"]),
        (["--cores", "3"], ["--cores", "3", "up to 2"]),
        (["--batch", "112"], ["--batch", "112", "up to 111"]),
        (["--batch", "adaptive", "--aging", "off"], ["--aging", "adaptive"]),
        (["--aging", "100"], ["--aging", "100", "no unit"]),
        (["--arrival", "bursts"], ["--arrival", "bursts", "1ms/9ms"]),
        (["--arrival", "1ms/9"], ["--arrival", "9", "no unit"]),
        (["--order", "zipf:0"], ["--order", "zipf:0", "0.01"]),
        (["--cost", "-5"], ["--cost"]),
        (["--cost", "100", "--nf", "firewall"], ["--cost", "firewall"]),
        (["--nf", "spin"], ["--nf", "--cost"]),
        (["--nfs", "8", "--ring", "100"], ["--ring 100", "64, 128"]),
        (["--nfs", "8", "--repeat", "0"], ["--repeat", "1 to 1000"]),
        (["--nfs", "8", "--window", "2"], ["--window", "no unit"]),
        (["--preset", "everything"], ["--preset everything", "density"]),
        ([], ["nothing to sweep", "--preset"]),
    ]

    def test_each_in_one_line_with_what_would_be_possible(self):
        for arguments, words in self.ROWS:
            with self.assertRaises(grid.GridError, msg=arguments) as caught:
                read(*arguments)
            text = str(caught.exception)
            self.assertEqual(len(text.splitlines()), 1, text)
            for word in words:
                self.assertIn(word, text, arguments)

    def test_one_usable_core(self):
        host = {**HOST, "cores": {"online": [0], "usable": [0]}}
        with self.assertRaisesRegex(grid.GridError, "two are the least"):
            read("--nfs", "8", host=host)


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = str(pathlib.Path(self.folder.name) / "my.yaml")

    def read(self, text, *more):
        pathlib.Path(self.path).write_text(text, encoding="utf-8")
        return read(self.path, *more)

    def test_a_union_of_boxes(self):
        plan = self.read("repeat: 3\nwindow: 1s\ngrid:\n"
                         "  - { nfs: [8, 64], rate: [80%, max] }\n"
                         "  - nfs: 8\n    rate: max\n    arrival: [poisson, {on: 1ms, off: 9ms}]\n")
        self.assertEqual(plan.settings.repeat, 3)
        self.assertEqual(len(plan.points), 4 + 2)
        self.assertIn("1ms/9ms", {p["arrival"] for p in plan.points})

    def test_the_command_line_wins(self):
        plan = self.read("repeat: 3\ngrid: { nfs: [8, 64] }\n", "--nfs", "16", "--repeat", "2")
        self.assertEqual(([p["nfs"] for p in plan.points], plan.settings.repeat), ([16], 2))

    def test_complaints_have_their_line(self):
        rows = [
            ("grid:\n  nfs: [8]\n  colour: red\n", ":3: ", "colour"),
            ("grid:\n  nfs: [8]\n  rate: 80\n", ":3: rate: ", "no unit"),
            ("grid:\n  nfs: 8\n  nfs: 9\n", ":3: ", "twice"),
            ("repeat: many\ngrid: { nfs: 8 }\n", ":1: repeat: ", "many"),
            ("grid: { nfs: 8 }\nrepeats: 4\n", ":2: ", "repeats"),
            ("grid:\n  - { nfs: 8, arrival: { on: 1ms } }\n", ":2: ", "off"),
            ("grid: [8, 64]\n", ":1: ", "map"),
            ("grid:\n  nfs: [8\n", "my.yaml:", "expected"),
            ("", "my.yaml", "map"),
            ("repeat: 3\n", "my.yaml", "no grid"),
            ("grid: { nfs: 99999 }\n", ":1: nfs: ", "use up to 5000"),
        ]
        for text, where, word in rows:
            with self.assertRaises(grid.GridError, msg=text) as caught:
                self.read(text)
            message = str(caught.exception)
            self.assertIn(where, message)
            self.assertIn(word, message)
            self.assertEqual(len(message.splitlines()), 1)


class Order(unittest.TestCase):
    def sweep(self, seed="1", *more):
        return sweep.Sweep(read("--nfs", "2,4,8,16", "--size", "64,700", "--rate", "20%,80%,max",
                                "--repeat", "5", "--seed", seed, *more))

    def test_every_window_once(self):
        made = self.sweep()
        windows = [(rowfile.key_of(p), u.repeat) for u in made.windows for p in u.points()]
        self.assertEqual(len(windows), 8 * 3 * 5)
        self.assertEqual(len(set(windows)), len(windows))
        self.assertEqual(len(made.searches), 8 * 3)

    def test_repeats_are_interleaved(self):
        """Every setting has had its k-th turn before any has its next."""
        self.assertEqual([u.repeat for u in self.sweep().windows], [k for k in range(5)
                                                                     for _ in range(8)])

    def test_the_order_is_random_and_the_seed_s(self):
        def order(made):
            return [(rowfile.key_of(u.setting), u.rates) for u in made.windows]
        self.assertEqual(order(self.sweep("1")), order(self.sweep("1")))
        self.assertNotEqual(order(self.sweep("1")), order(self.sweep("2")))
        first, second = order(self.sweep())[:8], order(self.sweep())[8:16]
        self.assertNotEqual(first, second)

    def test_absolute_rates_need_no_search(self):
        made = sweep.Sweep(read("--nfs", "8", "--rate", "max,100kpps"))
        self.assertEqual(made.searches, [])
        made = sweep.Sweep(read("--nfs", "8", "--rate", "saturation"))
        self.assertEqual((len(made.searches), made.windows), (3, []))


if __name__ == "__main__":
    unittest.main()
