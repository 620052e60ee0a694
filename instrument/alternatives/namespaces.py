"""One Linux network namespace per tenant: what operators do today.

    source namespace            tenant i                       sink namespace
      t<i> ===== veth ===== in    router    out ===== veth ===== t<i>
                             ip_forward, nftables:
                             chain forward, 10 rules

Two veth pairs a tenant, static neighbours and one route, so that no ARP and no bridge is in a
packet's way; no connection tracking. Sending and forwarding happen on the source's CPU, as the
kernel does it without further set-up; the sink reads on the other CPU, and that reading is not
counted as the alternative's cost.

Tenants' namespaces stay from one target to the next and only grow in number: idle ones cost a
packet nothing, and 1,000 take half a minute to make. What a killed comparison left behind is
removed by the next one."""
import pathlib
import time

from alternatives import AlternativeError, host, load

FOLDER = pathlib.Path("/run/netns")
GROUP = 50  # tenants made by one `ip -batch`
LINKS_SECONDS_MAX = 120
MAC = "02:4d:46:00:00:01"  # where mayfly-load sends to

# The ten rules of workload.py's firewall, in nftables' words.
RULES = "".join(f"    tcp dport {8000 + i} ip daddr 172.16.{i}.0/24 drop\n" for i in range(9))
RULESET = f"""table ip compare {{
  chain forward {{
    type filter hook forward priority filter; policy drop;
{RULES}    ip saddr 10.0.0.0/8 ip protocol udp accept
  }}
}}
"""
# An ordinary namespace, without IPv6's own chatter.
SYSCTLS = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0",
           "net/ipv4/conf/default/rp_filter": "0", "net/ipv6/conf/default/disable_ipv6": "1",
           "net/ipv6/conf/all/disable_ipv6": "1"}


def _set_sysctls():
    for name, value in SYSCTLS.items():
        path = pathlib.Path("/proc/sys") / name
        if path.exists():
            path.write_text(value, encoding="ascii")


class Namespaces:
    name = "namespaces"
    needs_tools = {"ip": "iproute2", "nft": "nftables"}
    needs_root = True

    def __init__(self, context):
        self._context = context
        self._made = 0
        self._seconds = 0.0
        self._kib = 0

    @property
    def source(self):
        return f"{host.MINE}-source"

    @property
    def sink(self):
        return f"{host.MINE}-sink"

    def target(self, tenants):
        return Target(self, self._context, tenants)

    def grow(self, tenants):
        """Makes the namespaces up to `tenants`, and keeps account of what that costs."""
        if self._made == 0:
            for path in host.leftovers(FOLDER):
                host.run("ip", "netns", "delete", path.name)
            for name in (self.source, self.sink):
                host.run("ip", "netns", "add", name)
                with host.Inside(FOLDER / name):
                    _set_sysctls()
        while self._made < tenants:
            began, free = time.monotonic(), host.available_kib()
            last = min(tenants, self._made + GROUP)
            group = range(self._made, last)
            self._made = last  # before anything of it exists: release() removes what does
            self._add(group)
            self._seconds += time.monotonic() - began
            self._kib += free - host.available_kib()

    def _add(self, group):
        """The tenants of `group`, with as few commands as `ip` and `nft` allow."""
        names = {i: f"{host.MINE}-t{i}" for i in group}
        host.run("ip", "-batch", "-", text="".join(f"netns add {n}\n" for n in names.values()))
        for name in names.values():
            with host.Inside(FOLDER / name):
                _set_sysctls()
        lines = []
        for i, name in names.items():
            lines += [f"link add in address {MAC} netns {name} type veth "
                      f"peer name t{i} netns {self.source}",
                      f"link add out netns {name} type veth peer name t{i} netns {self.sink}"]
        host.run("ip", "-batch", "-", text="\n".join(lines) + "\n")
        for name in (self.source, self.sink):
            host.run("ip", "-n", name, "-batch", "-",
                     text="".join(f"link set t{i} up\n" for i in group))
        for name in names.values():
            with host.Inside(FOLDER / name):
                host.run("ip", "-batch", "-", text=(
                    "link set lo up\nlink set in up\nlink set out up\n"
                    "address add 10.255.255.254/8 dev in\naddress add 192.168.0.254/24 dev out\n"
                    "neighbour add 192.168.0.1 lladdr 02:4d:46:00:00:02 dev out nud permanent\n"))
                host.run("nft", "-f", "-", text=RULESET)

    def costs(self):
        if not self._made:
            return {}
        return {"start_ms": self._seconds * 1e3,
                "start_ms_per_tenant": self._seconds * 1e3 / self._made,
                "kib_per_tenant": self._kib / self._made}

    def release(self):
        """Removes every namespace that may have been made. The two in which all links end go
        first: the kernel then takes the links down together."""
        names = [n for n in (self.source, self.sink) if (FOLDER / n).exists()]
        names += sorted(p.name for p in FOLDER.glob(f"{host.MINE}-t*"))
        self._made, self._seconds, self._kib = 0, 0.0, 0
        for name in names[:2]:
            host.run("ip", "netns", "delete", name)
        if names[2:]:
            host.run("ip", "-batch", "-", timeout=LINKS_SECONDS_MAX,
                     text="".join(f"netns delete {n}\n" for n in names[2:]))


class Target:
    def __init__(self, owner, context, tenants):
        self._owner = owner
        self._context = context
        self._tenants = tenants
        self._load = None
        self.config = {"namespaces": tenants, "links": "two veth pairs a tenant",
                       "ruleset": RULESET, "sysctls": SYSCTLS}

    def __enter__(self):
        self._owner.grow(self._tenants)
        cpus = self._context.cpus
        self._load = load.Load(
            self._context.mayfly, self._context.workload, self._tenants, "--cpu", cpus[0],
            "--sink-cpu", cpus[1], "--source-netns", FOLDER / self._owner.source,
            "--sink-netns", FOLDER / self._owner.sink).__enter__()
        self.command = self._load.command
        return self

    def __exit__(self, *_):
        if self._load is not None:
            self._load.__exit__()

    def set_rate(self, rate):
        self._load.set_rate(rate)

    def window(self, warmup, seconds):
        figures = self._load.window(warmup, seconds)
        if figures["receiver"]["missed"]:
            raise AlternativeError(f"the receiver missed {figures['receiver']['missed']} packets")
        return figures

    def costs(self):
        return self._owner.costs()

    def check(self):
        pass
