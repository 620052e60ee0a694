"""A point of the grid as a configuration of Mayfly.

Every tenant has one flow and a chain of NF processes of its own, so `nfs` processes in chains of
`chain` are nfs / chain tenants; packets come from the built-in source and go back to it. Where only
a share of the tenants is active, the others are bound all the same (a second source sends each one
packet and falls silent): they are live processes with state, not blanks in a pool."""

LOAD = "load"
SILENT = "silent"
SILENT_RATE = "20kpps"  # while the silent tenants are bound
SILENCE_PPS = 0.01  # afterwards: one packet in 100 s, the slowest the source goes

_ROUTES = "".join(f"10.{100 + i}.0.0/16 via 02:00:00:00:01:{i:02x} out next\n" for i in range(9))
_ROUTES += "192.168.0.0/16 via 02:00:00:00:01:ff out next\n"
_RULES = "".join(f"deny tcp from any to 172.16.{i}.0/24 port {8000 + i}\n" for i in range(9))
_RULES += "allow udp from 10.0.0.0/8 to any\n"

# What a packet meets: arguments of each NF, and the files they name.
NFS = {
    "signature": ({}, {}),
    "counter": ({}, {}),
    "forward": ({"dst_mac": "02:00:00:00:00:02"}, {}),
    "l3fwd": ({"routes": "ten.routes"}, {"ten.routes": _ROUTES}),
    "firewall": ({"rules": "ten.rules"}, {"ten.rules": _RULES}),
    "spin": ({}, {}),  # its argument is the axis `cost`
}


def tenants(point):
    return point["nfs"] // point["chain"]


def active_tenants(point):
    return max(1, round(tenants(point) * point["active"]))




def _arrival(value):
    if "/" in value:
        on, off = value.split("/")
        return {"on": on, "off": off}
    return value


def _source(point, flows, rate, seed):
    source = {"flows": flows, "size": point["size"], "rate": rate,
              "arrival": _arrival(point["arrival"]), "seed": seed}
    order, _, exponent = point["order"].partition(":")
    source["order"] = order
    if exponent:
        source["zipf"] = float(exponent)
    return source


def _nf(point):
    name = "spin" if point["cost"] else point["nf"]
    arguments, _ = NFS[name]
    count = tenants(point)
    nf = {"image": name, "pool": {"idle": count, "max": count}}
    if point["trust"] != "shared":
        nf["trust"] = point["trust"]
    if name == "spin":
        arguments = {"cycles": point["cost"]}
    if arguments:
        nf["args"] = arguments
    return nf


def config(point, cores, settings, rate, seed):
    """(configuration, files beside it). `cores`: the usable CPUs, the vSwitch's first. `rate`: what
    is offered at first, as configurations write it."""
    names = [f"nf{i}" for i in range(point["chain"])]
    ports = [{"name": LOAD, "gen": _source(point, active_tenants(point), rate, seed)}]
    rule = {"instance_per": "src_ip", "chain": "path", "idle": "24h"}
    flows = [{"match": {"port": LOAD}, **rule, "out": LOAD}]
    if active_tenants(point) < tenants(point):
        ports.append({"name": SILENT, "gen": {"flows": tenants(point), "size": 64,
                                              "rate": SILENT_RATE}})
        flows.append({"match": {"port": SILENT}, **rule, "out": SILENT})
    result = {
        "cores": {"vswitch": cores[0], "nfs": cores[1:1 + point["cores"]]},
        "memory": {"packets": settings.packets},
        "ring": settings.ring,
        "ports": ports,
        "nfs": {name: _nf(point) for name in names},
        "chains": {"path": {"nfs": names}},
        "flows": flows,
        "wake": {"dispatch": point["dispatch"], "batch": point["batch"], "aging": point["aging"]},
    }
    if point["downstream"] != "per_nf":
        result["downstream"] = point["downstream"]
    return result, dict(NFS["spin" if point["cost"] else point["nf"]][1])
