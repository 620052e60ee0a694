#!/usr/bin/env python3
"""The whole path, by number of tenants and dispatch: saturation, and latency at 20 % and 80 % of it.

    bench/whole_path.py                   # 64-byte packets through 2 NFs, every dispatch
    bench/whole_path.py --bare            # one NF a packet beside the bare prototype (bare_futex)
    bench/whole_path.py --smoke           # the size that every test run executes

Everything of one repetition runs interleaved, in an order shuffled with a fixed seed; the table has
the median of the repetitions. `poll` is architecture A of the tiny-NF paper and `semaphore` its
architecture B: the named alternatives. With --bare the alternative is bare_futex: rings, signature
and futex wakes with no ports, flow table, checks or accounting."""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import run as run_mayfly  # noqa: E402


def config(tenants, nfs, dispatch, rate, batch, aging, ring=128, size=64):
    """`tenants` chains of `nfs` NFs each; packets go round robin over them."""
    names = [f"nf{i}" for i in range(nfs)]
    pool = {"idle": tenants, "max": tenants}
    return {
        "memory": {"packets": 65536},
        "ring": ring,
        "ports": [{"name": "load", "gen": {"flows": tenants, "size": size, "rate": rate,
                                           "order": "round_robin", "seed": 1}}],
        "nfs": {n: {"image": "signature", "pool": pool} for n in names},
        "chains": {"path": {"nfs": names}},
        "flows": [{"match": {"port": "load"}, "instance_per": "src_ip", "chain": "path",
                   "out": "load"}],
        "wake": {"dispatch": dispatch, "batch": batch, "aging": aging},
    }


def figures(report):
    latency = report["latency_us"]
    packets = report["packets"]
    return {"mpps": report["mpps"], "p50": latency["p50"], "p99": latency["p99"],
            "loss": sum(packets["drops"].values()) / max(1, packets["rx"]),
            "wakes_per_s": report["wakes"]["per_s"],
            "packets_per_wake": report["wakes"]["packets_per_wake"],
            "late": report["wakes"]["late"],
            "cycles_per_packet": report["vswitch"]["cycles_per_packet"]}


def measure(args, tenants, nfs, dispatch, rate, **more):
    c = config(tenants, nfs, dispatch, rate, args.batch, args.aging, **more)
    return figures(run_mayfly.run(c, seconds=args.seconds, mayfly=args.mayfly))


def bare(args, nfs):
    out = subprocess.run([args.bare_futex, "--nfs", str(nfs), "--seconds", str(args.seconds)],
                         capture_output=True, text=True, check=True, timeout=120)
    got = json.loads(out.stdout)
    return {"mpps": got["mpps"], "p50": got["p50_us"], "p99": got["p99_us"]}


def medians(rows):
    return {k: statistics.median(r[k] for r in rows) for k in rows[0]}


def print_row(name, tenants, m, **extra):
    cells = [f"{name:<12}", f"{tenants:>6}", f"{m['mpps']:>8.3f}"]
    for key in ("p50_20", "p99_20", "p50_80", "p99_80"):
        cells.append(f"{extra[key]:>10.0f}" if key in extra else " " * 10)
    if "packets_per_wake" in m:
        cells += [f"{m['packets_per_wake']:>8.1f}", f"{m['cycles_per_packet']:>8.0f}",
                  f"{m['late']:>5.0f}"]
    print(" | ".join(cells), flush=True)


HEADER = ("dispatch     | tenants | sat Mpps | p50@20% us | p99@20% us | p50@80% us | p99@80% us"
          " | pkt/wake | cyc/pkt | late")


def dispatches(args):
    rng = random.Random(1)
    cells = [(n, d) for n in args.tenants for d in args.dispatch]
    saturation = {c: [] for c in cells}
    for _ in range(args.repeat):
        rng.shuffle(cells)
        for n, d in cells:
            saturation[n, d].append(measure(args, n, args.chain, d, "max"))
    loaded = {(c, share): [] for c in cells for share in (20, 80)}
    points = list(loaded)
    for _ in range(args.repeat):
        rng.shuffle(points)
        for (n, d), share in points:
            pps = statistics.median(r["mpps"] for r in saturation[n, d]) * 1e6 * share / 100
            loaded[(n, d), share].append(measure(args, n, args.chain, d, f"{max(1, int(pps))}pps"))
    print(HEADER)
    rows = []
    for n in args.tenants:
        for d in args.dispatch:
            at = {share: medians(loaded[(n, d), share]) for share in (20, 80)}
            m = medians(saturation[n, d])
            extra = {f"{q}_{s}": at[s][q] for s in at for q in ("p50", "p99")}
            print_row(d, n, m, **extra)
            rows.append({"tenants": n, "dispatch": d, "saturation": m, "at_20": at[20],
                         "at_80": at[80]})
    return rows


def beside_bare(args):
    rows = {n: ([], []) for n in args.tenants}
    for _ in range(args.repeat):
        for n in args.tenants:
            rows[n][0].append(bare(args, n))
            rows[n][1].append(measure(args, n, 1, "futex", "max", ring=512))
    print(HEADER)
    for n, (theirs, ours) in rows.items():
        t, o = medians(theirs), medians(ours)
        print_row("bare", n, t)
        print_row("mayfly", n, o)
        print(f"             {n:>6}   bare / mayfly = {t['mpps'] / max(o['mpps'], 1e-9):.2f}")
    return [{"tenants": n, "bare": medians(t), "mayfly": medians(o)} for n, (t, o) in rows.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=lambda s: [int(x) for x in s.split(",")])
    parser.add_argument("--dispatch", type=lambda s: s.split(","),
                        default=["poll", "semaphore", "eventfd", "futex"])
    parser.add_argument("--chain", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--aging", default="100us")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--mayfly", default=run_mayfly.MAYFLY)
    parser.add_argument("--out", help="write the rows as JSON")
    args = parser.parse_args()
    args.mayfly = str(pathlib.Path(args.mayfly).resolve())
    if args.smoke:
        args.tenants, args.repeat, args.seconds = args.tenants or [2], 1, 1
        args.dispatch = ["semaphore", "futex"]
    args.tenants = args.tenants or ([126, 400, 2000] if args.bare else [1, 8, 64, 512, 2000])
    args.bare_futex = str(pathlib.Path(args.mayfly).resolve().parent.parent / "bench/bare_futex")
    print(f"64-byte packets, round robin, chain of {1 if args.bare else args.chain}, batch "
          f"{args.batch}, ageing {args.aging}, {args.seconds:g} s x {args.repeat}, medians",
          flush=True)
    rows = beside_bare(args) if args.bare else dispatches(args)
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(
            {"command": " ".join(sys.argv), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
