#!/usr/bin/env python3
"""Every capture of a folder through a pass-all chain of two NFs: byte-identical, order per flow
kept, or counted under a documented reason. The folder is $MAYFLY_PCAPS; captures are not part of
the tree, so without it they are looked for beside it."""
import collections
import os
import pathlib
import time
import unittest

import capture
import scenario

BESIDE = pathlib.Path(__file__).resolve().parents[3] / "shared" / "pcaps"
FOLDER = pathlib.Path(os.environ.get("MAYFLY_PCAPS", BESIDE))
CAPTURES = sorted(p for p in FOLDER.glob("*") if p.suffix in (".pcap", ".pcapng"))

CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 8192, jumbo: 64 }}
ports:
  - {{ name: in, pcap: {{ in: "{source}" }} }}
  - {{ name: out, pcap: {{ out: "{sink}" }} }}
nfs:
  count: {{ image: counter, pool: {{ idle: 64, max: 512 }} }}
  sign:  {{ image: signature, pool: {{ idle: 64, max: 512 }} }}
chains:
  pass: {{ nfs: [count, sign] }}
flows:
  - {{ match: {{ port: in }}, instance_per: {by}, chain: pass, out: out }}
wake: {{ batch: 8, aging: 200us }}
"""


def by_flow(frames):
    flows = collections.defaultdict(list)
    for frame in frames:
        flows[capture.flow_of(frame)].append(frame)
    return flows


class Captures(scenario.Scenario):
    def pass_through(self, source, by, count):
        sink = os.path.join(self.folder("capture"), "out.pcap")
        run = self.prepare(CONFIG.format(source=source, sink=sink, by=by)).start(wait=False)
        report = run.wait(60)  # it ends by itself
        self.assertEqual(report["packets"]["rx"], count)
        run.cleanup()  # dozens of runs in one test: do not keep them all
        return report, [f.bytes for f in capture.read(sink).frames]

    def check(self, name, frames, report, came_out):
        self.assertEqual(report["packets"]["rx"], len(frames))
        self.assertEqual(report["packets"]["tx"], len(came_out))
        # Hundreds of new flows at once may outrun the forks on a busy machine: what waits for an
        # instance is bounded.
        self.drops(report, "backlog_full")
        lost = len(frames) - len(came_out)
        if lost:
            print(f"{name}: {lost} of {len(frames)} dropped as backlog_full")
        wanted, got = by_flow(frames), by_flow(came_out)
        for flow, in_order in wanted.items():
            if lost:
                rest = iter(in_order)  # what came out, in order, within what went in
                self.assertTrue(all(frame in rest for frame in got[flow]), f"flow {flow}")
            else:
                self.assertEqual(in_order, got[flow], f"flow {flow}")

    @unittest.skipUnless(CAPTURES, f"no captures in {FOLDER} (set MAYFLY_PCAPS)")
    def test_every_capture_of_the_folder(self):
        for path in CAPTURES:
            with self.subTest(path.name):
                frames = [f.bytes for f in capture.read(path).frames]
                report, came_out = self.pass_through(path, "five_tuple", len(frames))
                self.check(path.name, frames, report, came_out)

    def test_sizes_from_an_empty_frame_to_the_largest(self):
        """Made here, so that it runs without any folder. 65,407 bytes is the largest frame."""
        def frame(i, size, tags):
            header = 14 + 4 * len(tags) + 20 + 8
            payload = bytes((i + j) & 0xFF for j in range(size - header))
            return capture.udp_frame("10.0.0.1", f"10.0.1.{i}", 1000 + i, 2000, payload, tags)

        sizes = [60, 64, 1000, 1514, 1522, 2047, 2048, 2049, 9000, 37_506, 65_407]
        frames = [frame(i, size, tags) for i, size in enumerate(sizes)
                  for tags in ((), (100,), (100, 7))]
        self.assertEqual(max(map(len, frames)), 65_407)
        source = os.path.join(self.folder("capture"), "in.pcap")
        capture.write(source, frames + [frame(99, 65_408, ())])
        report, came_out = self.pass_through(source, "five_tuple", len(frames) + 1)
        self.assertEqual(report["packets"]["drops"], {"rx_oversize": 1})
        self.assertEqual(by_flow(frames), by_flow(came_out))

    def test_a_batch_that_never_fills_comes_out_at_the_end(self):
        frames = [capture.udp_frame("10.0.0.1", "10.0.0.2", 1, 2, bytes([i])) for i in range(21)]
        folder = self.folder("capture")
        source, sink = os.path.join(folder, "in.pcap"), os.path.join(folder, "out.pcap")
        capture.write(source, frames)
        config = CONFIG.format(source=source, sink=sink, by="rule").replace("200us", "off")
        report = self.prepare(config).start(wait=False).wait(60)
        self.drops(report)
        self.assertEqual([f.bytes for f in capture.read(sink).frames], frames)

    def test_with_another_source_the_run_goes_on(self):
        frame = capture.udp_frame("10.0.0.1", "10.0.0.2", 1, 2, b"x")
        folder = self.folder("capture")
        source, sink = os.path.join(folder, "in.pcap"), os.path.join(folder, "out.pcap")
        capture.write(source, [frame])
        config = CONFIG.format(source=source, sink=sink, by="rule")
        load = "  - { name: load, gen: { flows: 1, rate: 100pps } }\nnfs:\n"
        run = self.start(config.replace("nfs:\n", load, 1))
        self.eventually(lambda: run.stats()["packets"]["tx"] >= 1, 10, "the capture is read")
        time.sleep(1.5)
        self.assertIsNone(run.process.poll(), run.output())
        run.stop()

    def test_a_frame_without_a_header_is_counted_as_runt(self):
        whole = capture.udp_frame("10.0.0.1", "10.0.0.2", 1, 2, b"whole")
        source = os.path.join(self.folder("capture"), "in.pcap")
        capture.write(source, [whole, b"\x01\x02\x03", whole])
        report, came_out = self.pass_through(source, "rule", 3)
        self.assertEqual(report["packets"]["rx"], 3)
        self.drops(report, "tx_runt")
        self.assertEqual([f for f in came_out if len(f) >= 14], [whole, whole])


if __name__ == "__main__":
    scenario.main()
