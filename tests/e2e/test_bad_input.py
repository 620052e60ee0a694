#!/usr/bin/env python3
"""Bad input through the real `mayfly run`: one line with file, line, value and remedy, exit 2,
nothing started, nothing left."""
import os
import re
import subprocess

import mayfly
import scenario

GOOD = """cores: { vswitch: 0, nfs: [1] }
memory: { packets: 2048 }
ports:
  - { name: load, gen: { flows: 4, size: 64, rate: 1kpps } }
nfs:
  count: { image: counter, pool: { idle: 4, max: 16 } }
chains:
  pass: { nfs: [count] }
flows:
  - { match: { port: load }, instance_per: src_ip, chain: pass, out: load }
wake: { batch: 8, aging: 200us }
"""
ROWS = [  # what, edit of GOOD (from, to), line (None: any), a word of the message
    ("unknown key", ("memory:", "memroy:"), 2, "memroy"),
    ("unknown key inside", ("packets:", "packtes:"), 2, "packtes"),
    ("duplicate key", ("wake: {", "memory: {}\nwake: {"), 11, "memory"),
    ("missing unit of a rate", ("rate: 1kpps", "rate: 1000"), 4, "1000"),
    ("missing unit of a duration", ("aging: 200us", "aging: 200"), 11, "200"),
    ("wrong type", ("packets: 2048", "packets: many"), 2, "many"),
    ("out of bounds", ("packets: 2048", "packets: 3"), 2, "3"),
    ("an image that is not there", ("image: counter", "image: no_such_nf"), 6, "no_such_nf"),
    ("an image that is not an NF", ("image: counter", "image: ./config.yaml"), 6, "config.yaml"),
    ("two ports with one name", ("nfs:\n", "  - { name: load, gen: {} }\nnfs:\n"), 5, "load"),
    ("a chain that is not there", ("chain: pass", "chain: past"), 10, "past"),
    ("an NF that is not there", ("nfs: [count]", "nfs: [cuont]"), 8, "cuont"),
    ("a port that is not there", ("out: load", "out: wan"), 10, "wan"),
    ("an unknown NF argument", ("image: counter,", "image: counter, args: { fast: 1 },"), 6,
     "fast"),
    ("a missing NF argument", ("image: counter,", "image: rate_limit,"), 6, "mbps"),
    ("an unknown dispatch", ("wake: {", "wake: { dispatch: magic,"), 11, "magic"),
    ("not YAML", ("ports:", "ports: ["), None, "config.yaml"),
    ("no ports", ("ports:\n  - { name: load, gen: { flows: 4, size: 64, rate: 1kpps } }\n", ""),
     None, "ports"),
    ("a CPU that is not there", ("vswitch: 0", "vswitch: 4095"), 1, "4095"),
    ("a chain of 17", ("nfs: [count]", "nfs: [" + ", ".join(["count"] * 17) + "]"), 8, "16"),
    ("idle above max", ("idle: 4", "idle: 40"), 6, "40"),
    ("a YAML bomb", ("wake: {", "a: &a [x,x,x,x,x,x,x,x,x]\n"
                     + "".join(f"{c}: &{c} [" + ",".join([f"*{p}"] * 9) + "]\n"
                               for p, c in zip("abcdefgh", "bcdefghi")) + "wake: {"), None, ""),
]
DEVICE_ROWS = [  # a device that cannot open, a word of the message
    ("net_af_packet0,iface=no-such-if", "no-such-if"),
    ("net_no_such_driver0", "net_no_such_driver0"),
    ("0000:ff:1f.7", "0000:ff:1f.7"),
]


class BadInput(scenario.Scenario):
    def refused(self, config, wrap=(), seconds=30):
        """The one line that it prints."""
        run = self.prepare(config, wrap=wrap)
        run.start(wait=False)
        status = run.process.wait(seconds)
        output = run.output()
        self.assertEqual(status, 2, output)
        lines = [line for line in output.splitlines() if line and not line.startswith("note: ")]
        self.assertEqual(len(lines), 1, output)
        self.assertFalse(run.report_path.exists())
        self.assertEqual(run.leftovers(0.5), [])
        return lines[0]

    def test_rows(self):
        for what, (old, new), line, word in ROWS:
            with self.subTest(what):
                self.assertIn(old, GOOD)
                message = self.refused(GOOD.replace(old, new, 1))
                self.assertIn(word, message)
                where = re.search(r"config\.yaml:(\d+): ", message)
                self.assertTrue(where, message)
                if line is not None:
                    self.assertEqual(int(where[1]), line, message)

    def test_a_port_that_cannot_open(self):
        for device, word in DEVICE_ROWS:
            with self.subTest(device):
                message = self.refused(GOOD.replace("gen: { flows: 4, size: 64, rate: 1kpps }",
                                                    f'dev: "{device}"'))
                self.assertIn(word, message)

    def test_no_configuration(self):
        done = subprocess.run([mayfly.MAYFLY, "run", "/no/such/file.yaml"], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.assertIn("/no/such/file.yaml", done.stdout)

    def test_not_root(self):
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        config = GOOD.replace("gen: { flows: 4, size: 64, rate: 1kpps }",
                              'dev: "net_af_packet0,iface=lo"')
        run = self.prepare(config, wrap=nobody)
        run.report_path = run.folder / "none"
        os.chmod(run.folder, 0o777)
        run.start(wait=False)
        self.assertEqual(run.process.wait(20), 2, run.output())
        self.assertIn("root", run.output())

    def test_too_few_descriptors_or_processes(self):
        big = GOOD.replace("idle: 4, max: 16", "idle: 4000, max: 4000")
        message = self.refused(big.replace("wake: {", "wake: { dispatch: eventfd,"),
                               wrap=("prlimit", "--nofile=64:64"))
        self.assertRegex(message, r"64|descriptor|ulimit")

    def test_two_runs_of_one_name(self):
        first = self.start(GOOD)
        second = self.prepare(GOOD, name=first.name)
        second.start(wait=False)
        self.assertEqual(second.process.wait(20), 2, second.output())
        self.assertIn(str(first.process.pid), second.output())
        second.process = None  # its leftovers are those of the first
        first.stop()

    def test_the_good_one_is_good(self):
        run = self.start(GOOD)
        self.drops(run.stop())


if __name__ == "__main__":
    scenario.main()
