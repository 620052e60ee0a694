#!/usr/bin/env python3
"""kill -9 of an NF under load: how long its flow stands still.

20 five_tuple flows of 1,000 packets a second each, every flow with its own chain of two processes
(signature, counter), sent into a capture with nanosecond stamps by the vSwitch itself. At random
moments a random NF is killed. The figure is the time from just before kill(2) until the flow's
traffic comes out again: the end of its longest silence that began no later than 20 ms after the
kill, so that what the dead instance had finished already does not count as recovery. Flows send
every ms, which is the resolution.

  idle     instances wait in the pool: the flow is bound to one
  fork     none waits (pool.idle: 0): the zygote forks one first
  beside   as idle, on an NF core that also serves 1,000 tenants with 2,000 processes

Checked: accounts balance, flows keep their order, every packet that is missing in the capture was
counted as dropped, and at most one ring of packets a kill is lost."""
import argparse
import collections
import os
import pathlib
import random
import re
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import run as run_mayfly  # noqa: E402
import stats  # noqa: E402

FLOWS = 20
RATE_EACH = 1000
RING = 128
GOAL_MS = 50
WINDOW_NS = 1_000_000_000  # after a kill, before the same flow is hit again
DONE_NS = 20_000_000       # after a kill, packets may come that the dead instance had finished
TENANTS = 1000
BACKGROUND_RATE = "10kpps"


def config(case):
    pool = {"idle": 0 if case == "fork" else 8, "max": 100}
    c = {
        "ports": [
            {"name": "load", "gen": {"flows": FLOWS, "size": 64,
                                     "rate": f"{FLOWS * RATE_EACH / 1000}kpps"}},
            {"name": "out", "pcap": {"out": "out.pcap"}},
        ],
        "nfs": {"sig": {"image": "signature", "pool": pool},
                "cnt": {"image": "counter", "pool": pool}},
        "chains": {"two": {"nfs": ["sig", "cnt"]}},
        "flows": [{"match": {"port": "load"}, "instance_per": "five_tuple", "chain": "two",
                   "out": "out"}],
        "ring": RING,
        "wake": {"dispatch": "futex", "batch": 8, "aging": "200us"},
    }
    if case == "beside":
        many = {"idle": TENANTS, "max": TENANTS}
        c["ports"].append({"name": "many", "gen": {"flows": TENANTS, "size": 64,
                                                   "rate": BACKGROUND_RATE}})
        c["nfs"] |= {"many_sig": {"image": "signature", "pool": many},
                     "many_cnt": {"image": "counter", "pool": many}}
        c["chains"]["many"] = {"nfs": ["many_sig", "many_cnt"]}
        c["flows"].append({"match": {"port": "many"}, "instance_per": "src_ip", "chain": "many",
                           "out": "many"})
    return c


def flow_of(key):
    """The generator's flow, from an instance's key: its source is 10.x.y.z."""
    a, b, c = map(int, re.search(r"\b10\.(\d+)\.(\d+)\.(\d+)\b", key).groups())
    return a << 16 | b << 8 | c


def kill_some(run, count, rng):
    """[(flow, realtime in ns)], kills at random moments."""
    kills = []
    busy_until = collections.defaultdict(int)
    while len(kills) < count:
        time.sleep(0.05 + rng.expovariate(1 / 0.07))
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        victims = [nf for nf in run.get("/v1/nfs")
                   if nf["nf"] in ("sig", "cnt") and nf["state"] == "bound"
                   and busy_until[flow_of(nf["key"])] < now]
        if not victims:
            continue
        victim = rng.choice(victims)
        if not pathlib.Path(f"/proc/{victim['pid']}/comm").read_text().startswith("nf:"):
            raise run_mayfly.RunError(f"pid {victim['pid']} is not an NF")
        # Not in step with the API call, which the control thread has just answered.
        time.sleep(rng.uniform(0, 0.01))
        flow = flow_of(victim["key"])
        kills.append((flow, time.clock_gettime_ns(time.CLOCK_REALTIME)))
        os.kill(victim["pid"], signal.SIGKILL)
        busy_until[flow] = kills[-1][1] + WINDOW_NS
    time.sleep(WINDOW_NS / 1e9)
    return kills


def read_capture(path):
    """{flow: [(ns, number), ...]} in the order of the file."""
    data = path.read_bytes()
    magic, = struct.unpack_from("<I", data)
    if magic != 0xa1b23c4d:
        raise run_mayfly.RunError(f"{path}: not a capture with nanoseconds: {magic:#x}")
    flows = collections.defaultdict(list)
    at = 24
    while at + 16 <= len(data):
        seconds, nanos, kept, _ = struct.unpack_from("<IIII", data, at)
        # Behind Ethernet, IPv4 and UDP headers: the packet's number and its flow.
        number, flow = struct.unpack_from(">II", data, at + 16 + 42)
        flows[flow].append((seconds * 1_000_000_000 + nanos, number))
        at += 16 + kept
    return flows


def gap_after(times, kill_ns):
    """End of the longest silence around the kill, and its length, in ns."""
    silences = ((b - a, b) for a, b in zip(times, times[1:])
                if b > kill_ns and a < kill_ns + DONE_NS)
    longest, end = max(silences, default=(None, None))
    if longest is None:
        raise run_mayfly.RunError("a flow never came back")
    return end - kill_ns, longest


def check(case, flows, report, kills):
    """Order, and every missing packet; returns how many were lost."""
    missing = 0
    for flow, packets in flows.items():
        numbers = [n for _, n in packets]
        if numbers != sorted(numbers):
            raise run_mayfly.RunError(f"flow {flow} is out of order")
        missing += numbers[-1] + 1 - len(numbers)
    drops = report["packets"]["drops"]
    lost = sum(drops.values())
    # Behind the last packet of a flow in the capture, the generator may have made more.
    if case != "beside" and not missing <= lost <= missing + FLOWS * RING:
        raise run_mayfly.RunError(f"{missing} packets are missing in the capture, dropped: {drops}")
    if drops.get("nf_died", 0) > len(kills) * RING:
        raise run_mayfly.RunError(f"more lost than a ring holds: {drops}")
    if report["nfs"]["deaths"] < len(kills):
        raise run_mayfly.RunError(f"{report['nfs']['deaths']} deaths after {len(kills)} kills")
    return drops


def measure(case, count, seed):
    rng = random.Random(seed)
    with run_mayfly.Run(config(case)) as run:
        time.sleep(1)
        kills = kill_some(run, count, rng)
        report = run.stop()
        flows = read_capture(run.folder / "out.pcap")
    drops = check(case, flows, report, kills)
    gaps, silences = [], []
    for flow, kill_ns in kills:
        gap, silence = gap_after([t for t, _ in flows[flow]], kill_ns)
        gaps.append(gap / 1e6)
        silences.append(silence / 1e6)
    within = sum(g <= GOAL_MS for g in gaps)
    latency = report["latency_us"]
    print(f"{case:8} {len(kills):5}   "
          + " ".join(f"{stats.percentile(gaps, q):8.2f}" for q in (0.5, 0.9, 0.99, 1))
          + f"   {stats.percentile(silences, 1):8.2f}   {within:4} of {len(kills)}   "
          + f"{latency['p50']:7.0f} / {latency['p99']:.0f}   "
          + (", ".join(f"{k} {v}" for k, v in sorted(drops.items())) or "none"), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=["idle", "fork", "beside"],
                        choices=("idle", "fork", "beside"))
    args = parser.parse_args()
    # So that `with` blocks end properly.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    run_mayfly.preamble(__file__, kills=args.kills, flows=FLOWS, pps_each=RATE_EACH, chain=2,
                        seed=args.seed, beside=f"{TENANTS} tenants at {BACKGROUND_RATE}")
    print("                  back after the kill, ms             longest   within      latency of "
          "all, us")
    print(f"case     kills        p50      p90      p99      max    silence   {GOAL_MS} ms        "
          "p50 / p99       dropped")
    for case in args.cases:
        measure(case, args.kills, args.seed)


if __name__ == "__main__":
    main()
