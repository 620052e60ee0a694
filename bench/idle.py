#!/usr/bin/env python3
"""What `vswitch.idle` costs and saves: CPU without traffic, and the latency of the packet that ends
an idle second.

    bench/idle.py                    # poll and sleep, the vSwitch's CPU its own or shared
    bench/idle.py --smoke            # the size that every test run executes

A case is poll or sleep, with the vSwitch's CPU its own or with a busy neighbour (a process that
never sleeps, of equal weight). Cases take turns, in an order shuffled with a fixed seed. In each,
CPU time is what the kernel counted (schedstat) for the vSwitch's thread, and for all processes of
the run together, over --seconds without a packet; then --packets packets come one by one, --gap
apart, each through one NF. Their latency counts from when they were due, and is merged over
repeats. Goal: below 2 % of one CPU for the vSwitch's thread in `sleep`.

What `sleep` can add is bounded where the vSwitch gets its CPU when its nap is over: a nap lasts 1 ms
at most (and the kernel's timer slack), once before the packet is seen and once before the NF's
answer is. With a busy neighbour the kernel's scheduler comes on top, in both."""
import argparse
import ctypes
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import run as run_mayfly  # noqa: E402
import stats  # noqa: E402

SILENCE = "0.01pps"
BOUND_US = 2000  # two naps
GOAL_CPU = 0.02
VSWITCH_CPU = 0


def config(idle, nfs, dispatch):
    return {
        "vswitch": {"idle": idle},
        "cores": {"vswitch": VSWITCH_CPU},
        "memory": {"packets": 4096},
        "ports": [{"name": "load", "gen": {"flows": nfs, "size": 64, "rate": "1kpps"}}],
        "nfs": {"sign": {"image": "signature", "pool": {"idle": nfs, "max": nfs}}},
        "chains": {"path": {"nfs": ["sign"]}},
        "flows": [{"match": {"port": "load"}, "instance_per": "src_ip", "idle": "24h",
                   "chain": "path", "out": "load"}],
        "wake": {"dispatch": dispatch, "batch": 1},
    }


# CPU time -----------------------------------------------------------------------------------------


def processes_of(pid):
    """`pid` and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def cpu_seconds(pids):
    """{thread: seconds on a CPU so far}."""
    found = {}
    for pid in pids:
        try:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                ns = int((task / "schedstat").read_text(encoding="ascii").split()[0])
                found[int(task.name)] = ns / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def vswitch_thread(pids):
    """The thread of the dataplane that may run on the vSwitch's CPU alone."""
    for pid in pids:
        if pathlib.Path(f"/proc/{pid}/exe").resolve().name != "mayfly-dataplane":
            continue
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            if os.sched_getaffinity(int(task.name)) == {VSWITCH_CPU}:
                return int(task.name)
    sys.exit(f"no thread of the dataplane is bound to CPU {VSWITCH_CPU}")


def cpu_without_traffic(r, seconds):
    """Shares of one CPU: of the vSwitch's thread, of the whole run."""
    pids = processes_of(r.process.pid)
    thread = vswitch_thread(pids)
    before, begin = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    after, took = cpu_seconds(pids), time.monotonic() - begin
    used = {t: (after[t] - before[t]) / took for t in after if t in before}
    return used[thread], sum(used.values())


# Cases --------------------------------------------------------------------------------------------


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class Neighbour:
    """A process that never sleeps, on the vSwitch's CPU; or none."""

    def __init__(self, busy):
        self._busy, self._process = busy, None

    def __enter__(self):
        if self._busy:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(VSWITCH_CPU), sys.executable, "-c", "while True: pass"],
                preexec_fn=_die_with_parent)

    def __exit__(self, *_):
        if self._process:
            self._process.kill()
            self._process.wait()


def bind(r, nfs):
    deadline = time.monotonic() + 30
    while r.get("/v1/stats", seconds=30)["nfs"]["bound"] < nfs:
        if time.monotonic() > deadline:
            sys.exit(f"only {r.get('/v1/stats')['nfs']['bound']} of {nfs} NFs were bound in 30 s")
        time.sleep(0.05)


def measure(args, idle, busy):
    c = config(idle, args.nfs, args.dispatch)
    with run_mayfly.Run(c, mayfly=args.mayfly, nfs=args.nfs) as r:
        bind(r, args.nfs)
        r.set_rate(SILENCE)
        with Neighbour(busy):
            time.sleep(0.5)
            thread, everything = cpu_without_traffic(r, args.seconds)
            r.set_rate(1 / args.gap)
            figures = r.window(0, args.gap * (args.packets + 0.5))
        r.stop()
    return {"idle": idle, "busy": busy, "vswitch_cpu": thread, "run_cpu": everything,
            "max_us": figures["latency_us"]["max"] if figures["latency_us"]["count"] else 0.0,
            "buckets": figures["latency_buckets"], "drops": figures["packets"]["drops"]}


def merged(runs):
    """One line of the table from the repeats of a case."""
    buckets = stats.merge_buckets(run["buckets"] for run in runs)
    return {"idle": runs[0]["idle"], "busy": runs[0]["busy"],
            "vswitch_cpu": stats.summary([run["vswitch_cpu"] for run in runs]),
            "run_cpu": stats.summary([run["run_cpu"] for run in runs]),
            "packets": sum(count for _, count in buckets),
            "p50_us": stats.bucket_percentile(buckets, 0.5),
            "p99_us": stats.bucket_percentile(buckets, 0.99),
            "worst_us": max(run["max_us"] for run in runs)}


def print_table(lines):
    print("\n| vswitch.idle | its CPU | vSwitch's thread, % of a CPU | whole run, % | "
          "p50 us | p99 us | worst us | packets |\n|" + "---|" * 8)
    for m in lines:
        cpu = [f"{100 * m[k]['median']:.2f} ± {100 * m[k]['mad']:.2f}"
               for k in ("vswitch_cpu", "run_cpu")]
        print(f"| {m['idle']} | {'shared with a busy process' if m['busy'] else 'its own'} | "
              f"{cpu[0]} | {cpu[1]} | {m['p50_us']:.1f} | {m['p99_us']:.1f} | "
              f"{m['worst_us']:.1f} | {m['packets']} |")
    for m in lines:
        if m["idle"] == "sleep" and not m["busy"]:
            used, late = m["vswitch_cpu"]["median"], m["worst_us"]
            print(f"\nsleep, its own CPU: {100 * used:.2f} % of a CPU, goal below "
                  f"{100 * GOAL_CPU:g} %: {'met' if used < GOAL_CPU else 'missed'}; worst latency "
                  f"{late:.0f} us, two naps are {BOUND_US} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nfs", type=int, default=8)
    parser.add_argument("--dispatch", default="baton")
    parser.add_argument("--seconds", type=float, default=3, help="without a packet (3)")
    parser.add_argument("--packets", type=int, default=15, help="that end an idle time (15)")
    parser.add_argument("--gap", type=float, default=1, help="seconds between them (1)")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--mayfly", default=run_mayfly.MAYFLY)
    parser.add_argument("--out", help="write the cases as JSON")
    args = parser.parse_args()
    args.mayfly = str(pathlib.Path(args.mayfly).resolve())
    if args.smoke:
        args.nfs, args.seconds, args.packets, args.gap, args.repeat = 2, 0.3, 3, 0.1, 1
    run_mayfly.preamble(__file__, nfs=args.nfs, dispatch=args.dispatch, seconds=args.seconds,
                        packets=args.packets, gap=args.gap, repeat=args.repeat)
    cases = [(idle, busy) for idle in ("poll", "sleep") for busy in (False, True)]
    chance, runs = random.Random(1), {case: [] for case in cases}
    for repeat in range(args.repeat):
        for case in chance.sample(cases, len(cases)):
            found = measure(args, *case)
            runs[case].append(found)
            print(f"#{repeat + 1} {case[0]}, {'busy neighbour' if case[1] else 'alone'}: vSwitch "
                  f"{100 * found['vswitch_cpu']:.2f} %, whole run {100 * found['run_cpu']:.2f} %, "
                  f"worst {found['max_us']:.0f} us", flush=True)
    lines = [merged(runs[case]) for case in cases]
    print_table(lines)
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(
            {"command": " ".join(sys.argv), "cases": lines}, indent=1) + "\n", encoding="utf-8")
    if any(line["packets"] == 0 for line in lines):
        sys.exit("no packet came back in one of the cases")


if __name__ == "__main__":
    main()
