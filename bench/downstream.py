#!/usr/bin/env python3
"""`downstream: per_nf` against `shared` on the whole path: one NF a packet, saturation.

    bench/downstream.py                   # futex, 8, 126, 400 and 2,000 NFs
    bench/downstream.py --smoke           # the size that every test run executes

The two alternatives of a row run one after the other, in an order shuffled with a fixed seed, and
the table has the medians of the repetitions: throughput, TSC cycles that busy turns of the vSwitch
cost a packet, latency, and the ratio shared / per_nf."""
import argparse
import json
import pathlib
import random
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import run as run_mayfly  # noqa: E402

WAYS = ("per_nf", "shared")


def config(nfs, downstream, args):
    return {
        "memory": {"packets": 65536},
        "ring": args.ring,
        "downstream": downstream,
        "ports": [{"name": "load", "gen": {"flows": nfs, "size": 64, "rate": args.rate,
                                           "order": "round_robin", "seed": 1}}],
        "nfs": {"sign": {"image": "signature", "pool": {"idle": nfs, "max": nfs}}},
        "chains": {"path": {"nfs": ["sign"]}},
        "flows": [{"match": {"port": "load"}, "instance_per": "src_ip", "chain": "path",
                   "out": "load"}],
        "wake": {"dispatch": args.dispatch, "batch": args.batch, "aging": args.aging},
    }


def measure(nfs, downstream, args):
    report = run_mayfly.run(config(nfs, downstream, args), seconds=args.seconds, mayfly=args.mayfly)
    if report["nfs"]["strays"] or report["nfs"]["violations"]:
        sys.exit(f"{downstream} at {nfs} NFs: {report['nfs']}")
    packets, latency = report["packets"], report["latency_us"]
    return {"mpps": report["mpps"], "cycles": report["vswitch"]["cycles_per_packet"],
            "p50": latency["p50"], "p99": latency["p99"],
            "loss": sum(packets["drops"].values()) / max(1, packets["rx"]),
            "late": report["wakes"]["late"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nfs", type=lambda s: [int(x) for x in s.split(",")],
                        default=[8, 126, 400, 2000])
    parser.add_argument("--dispatch", default="futex")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--aging", default="100us")
    parser.add_argument("--ring", type=int, default=128)
    parser.add_argument("--rate", default="max")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--mayfly", default=run_mayfly.MAYFLY)
    parser.add_argument("--out", help="write the rows as JSON")
    args = parser.parse_args()
    args.mayfly = str(pathlib.Path(args.mayfly).resolve())
    if args.smoke:
        args.nfs, args.repeat, args.seconds = [4], 1, 1
    run_mayfly.preamble(__file__, nfs=args.nfs, dispatch=args.dispatch, batch=args.batch,
                        aging=args.aging, ring=args.ring, rate=args.rate, seconds=args.seconds,
                        repeat=args.repeat)
    rng = random.Random(1)
    runs = {(n, way): [] for n in args.nfs for way in WAYS}
    for _ in range(args.repeat):
        for n in args.nfs:
            for way in rng.sample(WAYS, len(WAYS)):
                runs[n, way].append(measure(n, way, args))
    print("   NFs | downstream |   Mpps (spread)      | cycles/packet | p50 us | p99 us | loss")
    rows = []
    for n in args.nfs:
        middle = {way: {k: statistics.median(r[k] for r in runs[n, way]) for k in runs[n, way][0]}
                  for way in WAYS}
        for way in WAYS:
            m, all_mpps = middle[way], [r["mpps"] for r in runs[n, way]]
            print(f"{n:>6} | {way:<10} | {m['mpps']:>6.3f} ({min(all_mpps):.2f}-{max(all_mpps):.2f})"
                  f"   | {m['cycles']:>13.0f} | {m['p50']:>6.0f} | {m['p99']:>6.0f} | {m['loss']:.3f}")
        ratio = {k: middle["shared"][k] / max(middle["per_nf"][k], 1e-9) for k in ("mpps", "cycles")}
        print(f"{n:>6} | shared / per_nf: {ratio['mpps']:.2f} Mpps, {ratio['cycles']:.2f} cycles",
              flush=True)
        rows.append({"nfs": n, **middle, "ratio": ratio, "runs": {w: runs[n, w] for w in WAYS}})
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
