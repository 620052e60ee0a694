#!/usr/bin/env python3
"""What one NF process costs in memory, everything counted: 1,000 tenants with a chain of two NFs,
every instance a process that has handled at least 1,000 packets from all over the packet arena. On
ordinary pages, and with arena and control region on 2 MiB pages. The first NF is `signature`, which
reads every packet; the second `counter`, which looks at none, or `signature` again.

    bench/memory_per_nf.py [--tenants 1000] [--packets 1000] [--pages ordinary huge]
                           [--second counter signature]

The figure is a difference of MemAvailable: with that many instances, less a run that differs in
having one tenant only, divided by the difference in processes. Everything that exists once (DPDK,
arena, tables, zygotes) cancels out; what grows with the instances does not: their page tables,
kernel stacks and kernel objects, the pages they wrote, the zygotes' and the vSwitch's records. Both
runs have the same control region (it grows in steps of 4,096 slots), so slot and wake entry are
added from their sizes.

On a machine that does other things at the same time MemAvailable means little. So a run after which
it is not what it was before is repeated, and every run has a memory cgroup (v1) to itself: its
charge is the kernel's own account of the same processes.

An NF takes the buffers that the vSwitch gives it, and a vSwitch that keeps up gives the same few
again and again. So the load is more than the NFs can do: then all buffers are in use, and every
instance sees them in random order. The breakdown is of /proc/meminfo (all instances) and of
/proc/PID/smaps (one)."""
import argparse
import collections
import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "instrument"))
import run as run_mayfly  # noqa: E402

HUGE_PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
MEMORY_GROUPS = pathlib.Path("/sys/fs/cgroup/memory")
PACKETS = 65536
RING = 128
SLOT_BYTES = 192 + 2 * RING * 8 + 64  # slot, rings, wake entry (runtime/abi/{slot,wake}.h)
LOAD_SECONDS = 60
ATTEMPTS = 5
QUIET_MIB = 24  # 12 KiB for each of 2,000
KINDS = ("AnonPages", "PageTables", "KernelStack", "SUnreclaim", "SReclaimable", "Percpu")


def config(tenants, slots, pages, second):
    """`slots`: what all pools have room for, the same in all runs: an NF that nobody uses takes
    the rest."""
    nf = {"pool": {"idle": tenants, "max": tenants}}
    rest = {"pool": {"idle": 0, "max": slots - 2 * tenants}}
    return {
        "memory": {"packets": PACKETS, "hugepages": "on" if pages == "huge" else "off"},
        "ring": RING,
        "ports": [{"name": "load", "gen": {"flows": tenants, "size": 64, "rate": "max"}}],
        "nfs": {"one": {"image": "signature", **nf}, "two": {"image": second, **nf},
                "rest": {"image": "counter", **rest}},
        "chains": {"both": {"nfs": ["one", "two"]}, "unused": {"nfs": ["rest"]}},
        "flows": [{"match": {"port": "load"}, "instance_per": "src_ip", "chain": "both",
                   "out": "load"}],
        "wake": {"dispatch": "futex", "batch": 32, "aging": "200us"},
    }


def meminfo():
    """KiB by name."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d+)", text, re.M)}


def settled_meminfo():
    """The median of a few readings: MemAvailable moves by some MiB by itself."""
    readings = []
    for _ in range(11):
        readings.append(meminfo())
        time.sleep(0.1)
    return {k: sorted(r[k] for r in readings)[5] for k in readings[0]}


def smaps(pid):
    """[(address range, what, {field: KiB})] of one process."""
    areas = []
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            words = line.split(None, 5)
            areas.append((words[0], words[5] if len(words) > 5 else "", collections.Counter()))
        elif m := re.match(r"(\w+):\s+(\d+) kB", line):
            areas[-1][2][m[1]] = int(m[2])
    return areas


def status(pid, field):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])


def page_table_spans(areas):
    """How many page tables of 4 KiB the touched areas need at the least, per level: spans of
    2 MiB, 1 GiB and 512 GiB."""
    touched = [[int(x, 16) for x in a.split("-")] for a, _, f in areas if f["Rss"] > 0]
    return tuple(len({n for b, e in touched for n in range(b >> s, ((e - 1) >> s) + 1)})
                 for s in (21, 30, 39))


class MemoryGroup:
    """A memory cgroup for one run; where there is none, everything of it does nothing."""

    def __init__(self):
        self.path = MEMORY_GROUPS / f"mayfly-bench-{os.getpid()}"

    def __enter__(self):
        try:
            self.path.mkdir()
        except OSError:
            self.path = None
        return self

    def __exit__(self, *_):
        for _ in range(100):  # until its last process is really gone
            try:
                if self.path is not None:
                    self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)

    def wrap(self):
        if self.path is None:
            return ()
        return ("sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")

    def charged_kib(self):
        if self.path is None:
            return 0
        return int((self.path / "memory.usage_in_bytes").read_text(encoding="utf-8")) // 1024


def one_run(*what):
    """As attempt(), again if somebody else's memory moved meanwhile: what is available after a run
    must be what was available before it."""
    for _ in range(ATTEMPTS):
        try:
            result = attempt(*what)
        except run_mayfly.RunError as error:  # somebody else took the huge pages, for example
            print(f"  (not counted: {str(error).strip().splitlines()[-1]})", flush=True)
            continue
        moved = result["left"] / 1024
        if abs(moved) <= QUIET_MIB:
            return result
        print(f"  (not counted: {moved:+.0f} MiB are missing after the run)", flush=True)
    raise run_mayfly.RunError(f"no good run in {ATTEMPTS}")


def attempt(tenants, slots, pages, second, packets):
    """MemAvailable and the like before, and while all instances have done their packets."""
    before = settled_meminfo()
    with MemoryGroup() as group, \
            run_mayfly.Run(config(tenants, slots, pages, second), wrap=group.wrap()) as run:
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            time.sleep(1)
            nfs = run.get("/v1/nfs")
            least = min(nf["packets"] for nf in nfs)
            if least >= packets:
                break
            if time.monotonic() > deadline:
                raise run_mayfly.RunError(f"an NF handled {least} packets only in "
                                          f"{LOAD_SECONDS} s of load")
        during = settled_meminfo()
        charged = group.charged_kib()
        example = describe(sorted(nfs, key=lambda nf: nf["slot"]))
        report = run.stop()
    time.sleep(1)  # the kernel frees what was theirs
    left = before["MemAvailable"] - settled_meminfo()["MemAvailable"]
    used = {k: during[k] - before[k] for k in KINDS}
    used["MemAvailable"] = before["MemAvailable"] - during["MemAvailable"]
    used["charged"] = charged
    return {"nfs": len(nfs), "least": least, "used": used, "report": report, "example": example,
            "left": left}


def describe(nfs):
    """One instance of each kind, from the middle: what it has mapped, and touched."""
    out = []
    for kind in sorted({nf["nf"] for nf in nfs}):
        of_kind = [nf for nf in nfs if nf["nf"] == kind]
        pid = of_kind[len(of_kind) // 2]["pid"]
        areas = smaps(pid)
        out.append({"nf": kind, "pid": pid, "areas": areas,
                    "page_tables": status(pid, "VmPTE"), "spans": page_table_spans(areas)})
    return out


def print_example(example):
    for one in example:
        total = sum((f for _, _, f in one["areas"]), collections.Counter())
        private = total["Private_Dirty"] + total["Private_Hugetlb"]
        print(f"  one {one['nf']} (pid {one['pid']}): page tables {one['page_tables']} KiB "
              f"(touched spans of 2 MiB / 1 GiB / 512 GiB: "
              f"{' / '.join(map(str, one['spans']))}), private dirty {private} KiB in "
              f"{len(one['areas'])} areas, of which:")
        for address, name, fields in one["areas"]:
            if fields["Private_Dirty"]:
                print(f"      {fields['Private_Dirty']:5} KiB  {address}  {name or '[anonymous]'}")


def measure(tenants, pages, second, packets):
    slots = 2 * tenants + 1
    base = one_run(1, slots, pages, second, packets)
    full = one_run(tenants, slots, pages, second, packets)
    if full["nfs"] != 2 * tenants:
        raise run_mayfly.RunError(f"{full['nfs']} instances instead of {slots}")
    more = full["nfs"] - base["nfs"]
    each = {k: (full["used"][k] - base["used"][k]) / more for k in full["used"]}
    total = each["MemAvailable"] + SLOT_BYTES / 1024
    print(f"{pages} pages, signature and {second}: {total:.1f} KiB for each of {full['nfs']} NFs "
          f"that handled {full['least']} packets or more")
    print(f"  MemAvailable {each['MemAvailable']:.1f} KiB + slot and wake entry "
          f"{SLOT_BYTES / 1024:.2f} KiB; charged to its memory cgroup: {each['charged']:.1f} KiB; "
          f"the run's own estimate: {full['report']['memory']['per_nf_kib']:.1f} KiB")
    parts = {k: each[k] for k in KINDS}
    rest = each["MemAvailable"] - sum(v for k, v in parts.items() if k != "SReclaimable")
    print("  of it: " + ", ".join(f"{k} {v:.1f}" for k, v in parts.items())
          + f", rest {rest:.1f} KiB")
    print_example(full["example"])


class HugePages:
    """Reserves `count` pages of 2 MiB more, and gives them back whatever happens."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.before = int(HUGE_PAGES.read_text())
        HUGE_PAGES.write_text(str(self.before + self.count))
        self.got = int(HUGE_PAGES.read_text())
        if self.got < self.before + self.count:
            self.__exit__()
            raise run_mayfly.RunError(f"only {self.got - self.before} of {self.count} huge pages "
                                      "are to be had: free memory first")
        return self

    def __exit__(self, *_):
        now = int(HUGE_PAGES.read_text())  # somebody else may have changed it meanwhile
        HUGE_PAGES.write_text(str(self.before if now == self.got else max(0, now - self.count)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=1000, help="that each NF handles at least")
    parser.add_argument("--pages", nargs="+", choices=("ordinary", "huge"),
                        default=["ordinary", "huge"])
    parser.add_argument("--second", nargs="+", choices=("counter", "signature"),
                        default=["counter", "signature"])
    args = parser.parse_args()
    # So that `with` blocks end properly.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    run_mayfly.preamble(__file__, tenants=args.tenants, processes=2 * args.tenants,
                        packets_each=args.packets, buffers=PACKETS, ring=RING)
    if "ordinary" in args.pages:
        for second in args.second:
            measure(args.tenants, "ordinary", second, args.packets)
    if "huge" in args.pages:
        # Arena (with 64 jumbo buffers), control region, and DPDK's own.
        arena_mib = PACKETS // 512 + 4
        control_mib = (2 * args.tenants // 4096 + 1) * 4096 * SLOT_BYTES // (1 << 20) + 2
        with HugePages((arena_mib + control_mib + 128) // 2):
            for second in args.second:
                measure(args.tenants, "huge", second, args.packets)


if __name__ == "__main__":
    main()
