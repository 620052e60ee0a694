"""The ready sweeps: what each asks, as boxes of a grid (values as on the command line)."""
import grid

# (name, what it shows, boxes). `OURS`: the dispatch that this version has by default; `SLEEPING`:
# every dispatch under which NFs sleep.
OURS = "OURS"
BATON = "baton"
SLEEPING = "all"

_DENSE = ["10", "30", "100", "300", "1000", "3000", "10000"]
_CHAINS = [("1", "1"), ("2", "2"), ("3", "3")]
_BESS = ["forward", "l3fwd", "firewall"]

PRESETS = {
    # The most takes minutes to start (32,000 processes on two CPUs), so it is asked one thing.
    "density": ("10 NFs to the most that the host bears: throughput by packet size, latency at 20 "
                "and 80 % of saturation (up to 10,000); 64-byte packets under the baton, too", [
                    {"nfs": _DENSE, "size": ["64", "700", "1514"], "rate": ["max"]},
                    {"nfs": [grid.MOST], "size": ["64"], "rate": ["max"]},
                    {"nfs": _DENSE, "size": ["64"], "rate": ["saturation", "20%", "80%"]},
                    {"nfs": _DENSE, "size": ["64"], "dispatch": [BATON],
                     "rate": ["max", "saturation", "20%", "80%"]},
                ]),
    "tiny-nf": ("figures 3 and 4 of the tiny-NF paper: architecture A (poll), B (semaphore) and "
                "ours, by wakes and by the baton, two NFs a packet, batch 32", [
                    {"nfs": nfs, "chain": ["2"], "dispatch": dispatch, "batch": ["32"],
                     "aging": ["100us"], **load}
                    for nfs, dispatch in (
                        (["2", "4", "10", "20", "40", "100"], ["poll"]),
                        (["2", "4", "10", "20", "40", "100", "400", "1000", "2000"],
                         ["semaphore", OURS, BATON]))
                    for load in ({"size": ["64", "700", "1514"], "rate": ["max"]},
                                 {"size": ["64"], "rate": ["80%"]})
                ]),
    "packet-size": ("throughput by packet size of L2 forwarding, L3 forwarding with 10 routes and a "
                    "firewall with 10 rules, alone and in chains of 2 and 3", [
                        {"nfs": [nfs], "chain": [chain], "nf": _BESS, "rate": ["max"],
                         "size": ["64", "128", "256", "512", "1024", "1280", "1514", "web"]}
                        for nfs, chain in _CHAINS
                    ]),
    "sending-rate": ("latency by sending rate, 100 pps to saturation, of the same NFs and chains, "
                     "128-byte packets", [
                         {"nfs": [nfs], "chain": [chain], "nf": _BESS, "size": ["128"],
                          "rate": ["100pps", "1kpps", "10kpps", "100kpps", "50%", "80%", "95%",
                                   "saturation"]}
                         for nfs, chain in _CHAINS
                     ]),
    "wake": ("batch x ageing x dispatch on 256 NFs, at 100 and 500 kpps", [
        {"nfs": ["256"], "dispatch": [SLEEPING], "batch": ["1", "8", "32", "adaptive"],
         "aging": ["20us", "100us", "500us", "2ms"], "rate": ["100kpps", "500kpps"]},
    ]),
}


def boxes(name, host):
    """The boxes of a preset, fitted to `host`: numbers of NFs above its most are left out."""
    if name not in PRESETS:
        raise grid.GridError(f"--preset {name}: there is no such preset; use "
                             f"{', '.join(PRESETS)}")
    most, _ = grid.most_nfs(host)
    result = []
    for axes in PRESETS[name][1]:
        box = grid.Box()
        for axis, texts in axes.items():
            if axis == "nfs":
                texts = [t for t in texts if t == grid.MOST or int(t) <= most]
            texts = [host["dispatch_default"] if t == OURS else t for t in texts]
            box.set(axis, texts, f"--preset {name}: {axis}")
        result.append(box)
    return result
