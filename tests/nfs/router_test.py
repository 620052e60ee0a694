#!/usr/bin/env python3
"""A stateful firewall and a router between two subnets, with the kernel's own IP, ICMP and TCP on
both sides: it accepts our packets, and our ICMP errors reach the sockets they are about.

    client 10.1.0.1/24, fd01::1/64 --- lan [ fw, r3 ] wan --- 10.2.0.1/24, fd02::1/64 server
"""
import errno
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

import netns  # noqa: E402
import scenario  # noqa: E402

CONFIG = """
cores: { vswitch: 0, nfs: [1] }
memory: { packets: 16384 }
ports:
  - { name: lan, dev: "net_af_packet0,iface=lan" }
  - { name: wan, dev: "net_af_packet1,iface=wan" }
nfs:
  fw: { image: firewall, pool: { idle: 4, max: 64 }, args: { rules: client.rules } }
  r3: { image: l3fwd,    pool: { idle: 4, max: 64 }, args: { routes: routes.txt } }
chains:
  routed: { nfs: [fw, r3] }
flows:
  - { match: { port: lan }, instance_per: ip_pair, chain: routed }
  - { match: { port: wan }, instance_per: ip_pair, chain: routed }
"""
RULES = """
allow any on 0 from any to any keep-state   # the client may begin anything, the server nothing
default deny
"""
CLIENT_MAC, SERVER_MAC = "02:00:00:00:01:01", "02:00:00:00:02:01"
ROUTER_MACS = "02:00:00:00:01:fe", "02:00:00:00:02:fe"
ROUTES = f"""
10.1.0.0/24 via {CLIENT_MAC} out 0
fd01::/64   via {CLIENT_MAC} out 0
10.2.0.0/24 via {SERVER_MAC} out 1
fd02::/64   via {SERVER_MAC} out 1
10.3.0.0/24 unreachable
port 0 mac {ROUTER_MACS[0]} address 10.1.0.254 address fd01::fe
port 1 mac {ROUTER_MACS[1]} address 10.2.0.254 address fd02::fe
"""


def host(namespace, mac, net, router_mac):
    """Addresses, and the router as the way to everywhere else (l3fwd answers no ARP)."""
    namespace.sh("ip", "link", "set", "eth0", "address", mac)
    namespace.sh("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
    namespace.sh("ip", "address", "add", f"10.{net}.0.1/24", "dev", "eth0")
    namespace.sh("ip", "address", "add", f"fd0{net}::1/64", "dev", "eth0", "nodad")
    for gateway, version in ((f"10.{net}.0.254", "-4"), (f"fd0{net}::fe", "-6")):
        namespace.sh("ip", "neigh", "add", gateway, "lladdr", router_mac, "dev", "eth0")
        namespace.sh("ip", version, "route", "add", "default", "via", gateway, "dev", "eth0")


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def internet_checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ping(namespace, address, size=56, seconds=5.0):
    """Is an echo request answered, with what was sent?"""
    ipv6 = ":" in address
    request, reply = (128, 129) if ipv6 else (8, 0)
    body = struct.pack(">HH", os.getpid() & 0xffff, 1) + os.urandom(size)
    checksum = internet_checksum(struct.pack(">BBH", request, 0, 0) + body)  # IPv6: the kernel's
    protocol = socket.IPPROTO_ICMPV6 if ipv6 else socket.IPPROTO_ICMP
    with namespace.socket(family_of(address), socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(seconds)
        raw.sendto(struct.pack(">BBH", request, 0, checksum) + body, (address, 0))
        try:
            while True:
                packet = raw.recv(65536)
                icmp = packet if ipv6 else packet[(packet[0] & 15) * 4:]
                if icmp[0] == reply and icmp[4:] == body:
                    return True
        except TimeoutError:
            return False


def error_of(namespace, address, ttl):
    """(errno, ICMP type, code, who sent it) of the error that a UDP packet meets."""
    ipv6 = ":" in address
    level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
    recverr, hops = (25, socket.IPV6_UNICAST_HOPS) if ipv6 else (11, socket.IP_TTL)
    with namespace.socket(family_of(address), socket.SOCK_DGRAM) as udp:
        udp.setsockopt(level, recverr, 1)
        udp.setsockopt(level, hops, ttl)
        udp.settimeout(5)
        udp.sendto(b"anybody there?", (address, 9))
        try:
            udp.recv(100)
        except OSError as error:
            if not isinstance(error, TimeoutError):
                _, notes, _, _ = udp.recvmsg(100, 512, socket.MSG_ERRQUEUE)
                number, _, kind, code, _, _, _ = struct.unpack_from("=IBBBBII", notes[0][2])
                offender = notes[0][2][24:40] if ipv6 else notes[0][2][20:24]
                return number, kind, code, socket.inet_ntop(family_of(address), offender)
    return None


class Router(scenario.Scenario):
    def setUp(self):
        self.client, self.switch, self.server = map(self.namespace, ("client", "switch", "server"))
        netns.veth(self.switch, "lan", self.client, "eth0")
        netns.veth(self.switch, "wan", self.server, "eth0")
        host(self.client, CLIENT_MAC, 1, ROUTER_MACS[0])
        host(self.server, SERVER_MAC, 2, ROUTER_MACS[1])
        self.run_ = self.start(CONFIG, namespace=self.switch,
                               files={"client.rules": RULES, "routes.txt": ROUTES})

    def test_routing_errors_and_remembered_flows(self):
        with self.subTest("both families, there and back"):
            self.assertTrue(ping(self.client, "10.2.0.1"))
            self.assertTrue(ping(self.client, "fd02::1"))
        with self.subTest("what the server begins is stopped"):
            self.assertFalse(ping(self.server, "10.1.0.1", seconds=0.5))
            self.assertFalse(ping(self.server, "fd01::1", seconds=0.5))
        with self.subTest("a large ping is fragmented, and every fragment passes"):
            # IPv6 only: net_af_packet has the kernel reassemble IPv4 datagrams before we see them.
            self.assertTrue(ping(self.client, "fd02::1", size=4000))
        with self.subTest("ICMP errors reach the socket they are about"):
            for address, ttl, expected in (
                    ("10.2.0.1", 1, (errno.EHOSTUNREACH, 11, 0, "10.1.0.254")),
                    ("10.9.9.9", 64, (errno.ENETUNREACH, 3, 0, "10.1.0.254")),
                    ("10.3.0.1", 64, (errno.EHOSTUNREACH, 3, 1, "10.1.0.254")),
                    ("fd02::1", 1, (errno.EHOSTUNREACH, 3, 0, "fd01::fe")),
                    ("fd09::1", 64, (errno.ENETUNREACH, 1, 0, "fd01::fe"))):
                self.assertEqual(error_of(self.client, address, ttl), expected, address)
        with self.subTest("TCP, both families"):
            for family, address in ((socket.AF_INET, "10.2.0.1"), (socket.AF_INET6, "fd02::1")):
                self.transfer(family, address)
        report = self.run_.stop()
        self.assertGreaterEqual(report["packets"]["originated"], 5)
        self.drops(report, "nf_drop", "nf_ring_full", "tx_full")

    def transfer(self, family, address, size=1_000_000):
        """A megabyte from the server to the client, over a connection the client opens."""
        with self.server.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((address, 8000))
            listener.listen()
            listener.settimeout(5)
            with self.client.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(5)
                client.connect((address, 8000))
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    content = os.urandom(size)
                    sent = received = b""
                    while len(received) < size:
                        if len(sent) < size:
                            chunk = content[len(sent):len(sent) + 65536]
                            connection.sendall(chunk)
                            sent += chunk
                        received += client.recv(1 << 20)
                    self.assertEqual(received, content)


if __name__ == "__main__":
    scenario.main()
