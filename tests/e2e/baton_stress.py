"""Five hundred NFs under the baton, killed, stopped and continued at random, and half of them
falling asleep, stopping or dying at random instructions of the hand-over, while traffic flows, now
more than the core can do, now hardly any. Throughout: the packets add up, and what comes out is in
the order of each flow, each packet at most once."""
import collections
import os
import random
import signal
import struct
import time

import mayfly

FLOWS = 250
FIRST_VLAN = 100
IMAGES = mayfly.BIN.parent / "tests" / "nfs"
CONFIG = """
cores: {{ vswitch: 0, nfs: [1] }}
memory: {{ packets: 32768 }}
ring: 512
ports:
  - name: load
    gen: {{ flows: {flows}, first_vlan: {first}, size: 64, rate: 10kpps, arrival: poisson,
            order: uniform, seed: {seed} }}
  - {{ name: sink, pcap: {{ out: out.pcap }} }}
nfs:
  nap:
    image: {images}/restless.so
    args: {{ seed: {seed}, one_in: 100, nap: 4ms, stops: 5, deaths: 20 }}
    pool: {{ idle: 20, max: 400 }}
  count: {{ image: counter, pool: {{ idle: 20, max: 400 }} }}
chains:
  pass: {{ nfs: [nap, count] }}
flows:
  - {{ match: {{ port: load }}, instance_per: vlan, chain: pass, out: sink }}
wake: {{ dispatch: baton, batch: 1, aging: off }}
"""
# What a death costs, what comes while a flow waits for a successor or for one that is stopped, what
# such a one holds in the end, and what a machine that is busy with something else cannot take.
LOST = ("nf_died", "backlog_full", "instance_backoff", "pool_empty", "nf_ring_full", "shutdown",
        "rx_no_buffer")
RATES = ["1kpps", "3kpps", "10kpps", "20kpps"]


def seed_of_today():
    """$MAYFLY_SEED, or a new one."""
    return int(os.environ.get("MAYFLY_SEED") or int.from_bytes(os.urandom(3), "little") + 1)


def config(seed):
    return CONFIG.format(flows=FLOWS, first=FIRST_VLAN, images=IMAGES, seed=seed)


class Stress:
    def __init__(self, run, seed):
        self.run = run
        self.choose = random.Random(seed)
        self.order = Order(run.folder / "out.pcap")
        self.counts = collections.Counter()

    def bound(self):
        return [row for row in self.run.get("/v1/nfs") if row["state"] == "bound"]

    def for_seconds(self, seconds):
        """Acts at random; raises as soon as something is wrong."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.set_rate(self.choose.choice(RATES))
            rows = self.bound()
            for _ in range(20):
                self.act(self.choose.choice(rows)["pid"])
                time.sleep(self.choose.random() * 0.02)
            self.go_on()
            self.look()
        self.set_rate(RATES[1])
        self.go_on()

    def set_rate(self, rate):
        status, answer = self.run.request("PATCH", "/v1/ports/load", {"rate": rate})
        if status != 200:
            raise mayfly.Failure(f"rate: {status} {answer}")

    def act(self, pid):
        what = self.choose.random()
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if not self.is_ours(pid):
                return
            if what < 0.3:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                self.counts["killed"] += 1
            elif what < 0.6:
                signal.pidfd_send_signal(fd, signal.SIGSTOP)
                self.counts["stopped"] += 1
            else:
                signal.pidfd_send_signal(fd, signal.SIGCONT)
        except ProcessLookupError:
            pass  # it died meanwhile
        finally:
            os.close(fd)

    def is_ours(self, pid):
        """Process numbers come back: the one that was listed may have died since."""
        try:
            home = os.stat(self.run.namespace.path).st_ino
            return (os.readlink(f"/proc/{pid}/exe").endswith("/mayfly-zygote") and
                    os.stat(f"/proc/{pid}/ns/net").st_ino == home)
        except OSError:
            return False

    def go_on(self):
        """All that are stopped, by whomever."""
        for row in self.bound():
            try:
                os.kill(row["pid"], signal.SIGCONT)
            except ProcessLookupError:
                pass  # it died meanwhile

    def look(self):
        packets = self.run.stats()["packets"]
        came = packets["rx"] + packets["originated"]
        went = packets["tx"] + sum(packets["drops"].values()) + packets["held"]
        if came != went or not 0 <= packets["held"] <= 32768:
            raise mayfly.Failure(f"packets do not add up: {packets}")
        self.order.look()

    def packets_of(self):
        """Of each flow, how many its last NF has seen."""
        return {row["key"]: (row["pid"], row["packets"]) for row in self.bound()
                if row["nf"] == "count"}

    def all_bound(self):
        self.go_on()  # they stop by themselves, too
        return len(self.bound()) == 2 * FLOWS

    def all_flow(self, before):
        """Has every flow moved on since?"""
        self.go_on()
        now = self.packets_of()
        return len(now) == FLOWS and all(now[key] != before.get(key) for key in now)

    def stop(self):
        """Its report, checked; with nothing left inside but what is in the hands of one who has
        stopped."""
        self.set_rate("1pps")
        self.go_on()
        report = self.run.stop()
        self.order.look()
        if self.order.count != report["packets"]["tx"]:
            raise mayfly.Failure(f"{self.order.count} packets came out: {report['packets']}")
        return report

    def summary(self, report):
        batons = report["baton"][0]
        return (f"{self.counts['killed']} kills, {self.counts['stopped']} stops, "
                f"{report['nfs']['deaths']} deaths, {batons['revocations']} revocations, "
                f"{batons['nudges']} nudges; {report['packets']}")


class Order:
    """Reads what comes out while it is written. A frame: Ethernet, 802.1Q, IPv4, UDP, and the
    number of the packet in its flow, which is its VLAN."""
    RECORD = struct.Struct(">16x14xH30xI14x")  # a pcap record's header and 64 bytes

    def __init__(self, path):
        self.path = path
        self.at = 24  # behind the file's header
        self.last = {}
        self.count = 0

    def look(self):
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
        whole = len(data) // self.RECORD.size * self.RECORD.size
        self.at += whole
        for vlan, number in self.RECORD.iter_unpack(memoryview(data)[:whole]):
            last = self.last.get(vlan, -1)
            if number <= last:
                raise mayfly.Failure(f"flow {vlan}: packet {number} came out behind {last}")
            self.last[vlan] = number
            self.count += 1

