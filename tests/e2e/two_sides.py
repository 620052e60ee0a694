"""Two network namespaces joined only through Mayfly:

    client --- lan [ Mayfly, in a namespace of its own ] wan --- server

The two sides share one IP subnet (10.77.0.0/16): Mayfly is a wire with network functions in it.
"""
import hashlib
import os
import socket
import struct
import subprocess
import threading
import time

import netns
from capture import checksum

SERVER = "10.77.255.1"


def client_address(i):
    """Address of tenant i, from 0."""
    return f"10.77.{1 + i // 200}.{1 + i % 200}"


class TwoSides:
    def __init__(self, scenario, tenants):
        self.tenants = [client_address(i) for i in range(tenants)]
        self.client = scenario.namespace("client")
        self.switch = scenario.namespace("switch")
        self.server = scenario.namespace("server")
        netns.veth(self.switch, "lan", self.client, "eth0", [f"{a}/16" for a in self.tenants])
        netns.veth(self.switch, "wan", self.server, "eth0", [f"{SERVER}/16"])
        self._scenario = scenario

    @staticmethod
    def ports():
        return ('  - { name: lan, dev: "net_af_packet0,iface=lan" }\n'
                '  - { name: wan, dev: "net_af_packet1,iface=wan" }\n')

    @staticmethod
    def flows(chain):
        """Both sides of a tenant, by its address, meet in the same instances."""
        rule = "  - {{ match: {{ port: {} }}, instance_per: {}, chain: {}, out: {} }}\n"
        return rule.format("lan", "src_ip", chain, "wan") + rule.format("wan", "dst_ip", chain,
                                                                        "lan")

    def web_server(self, folder, ports):
        """nginx with `folder` as its root; returns when it answers."""
        prefix = self._scenario.folder("nginx")
        listen = "".join(f"listen {SERVER}:{port};" for port in ports)
        config = os.path.join(prefix, "nginx.conf")
        temporary = "".join(f"{kind}_temp_path {prefix}/{kind};"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"user root; daemon off; master_process off; pid {prefix}/pid; "
                       f"error_log {prefix}/error.log; events {{}} "
                       f"http {{ access_log off; sendfile on; {temporary} "
                       f"server {{ {listen} root {folder}; }} }}\n")
        process = self._scenario.background(self.server.popen(
            "nginx", "-p", prefix, "-c", config, stderr=subprocess.DEVNULL))
        for port in ports:
            self._wait_listening(port)
        return process

    def iperf_server(self, port):
        process = self._scenario.background(self.server.popen(
            "iperf3", "-s", "-B", SERVER, "-p", str(port), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))
        self._wait_listening(port)
        return process

    def _wait_listening(self, port):
        self._scenario.eventually(
            lambda: f"{SERVER}:{port} " in self.server.sh("ss", "-Hltn").stdout, 10,
            f"a server on port {port}")

    def curl(self, path, tenant=0, port=8080, seconds=60):
        """sha256 of what the tenant downloads; None if it could not."""
        process = self.client.popen(
            "curl", "-sS", "--fail", "--max-time", str(seconds), "--interface",
            self.tenants[tenant], f"http://{SERVER}:{port}/{path}",
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        digest = hashlib.sha256()
        while chunk := process.stdout.read(1 << 20):
            digest.update(chunk)
        process.stdout.close()
        return digest.hexdigest() if process.wait() == 0 else None

    def curls(self, path, tenants, at_once=8, **options):
        """curl() for many tenants, some at a time; their results in order."""
        results, waiting = [None] * len(tenants), list(enumerate(tenants))
        lock = threading.Lock()

        def worker():
            while True:
                with lock:
                    if not waiting:
                        return
                    place, tenant = waiting.pop(0)
                results[place] = self.curl(path, tenant, **options)

        threads = [threading.Thread(target=worker) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def ping(self, tenant=0, count=5, interval=0.05, seconds=2.0):
        """Sends ICMP echo requests from the tenant's address; how many the server's kernel
        answered."""
        raw = self.client.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        try:
            raw.bind((self.tenants[tenant], 0))
            waiting = set()
            for sequence in range(count):
                body = struct.pack(">HH", tenant, sequence) + b"mayfly" * 8
                echo = struct.pack(">BBH", 8, 0, checksum(b"\x08\0\0\0" + body)) + body
                raw.sendto(echo, (SERVER, 0))
                waiting.add(sequence)
                self._take_answers(raw, tenant, waiting, interval)
            self._take_answers(raw, tenant, waiting, seconds)
            return count - len(waiting)
        finally:
            raw.close()

    @staticmethod
    def _take_answers(raw, tenant, waiting, seconds):
        end = time.monotonic() + seconds
        while waiting and (left := end - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                packet = raw.recv(2048)
            except TimeoutError:
                return
            icmp = packet[(packet[0] & 15) * 4:]
            identifier, sequence = struct.unpack(">HH", icmp[4:8])
            if icmp[0] == 0 and identifier == tenant and checksum(icmp) == 0:
                waiting.discard(sequence)

    def iperf(self, tenant, port, *arguments):
        """iperf3's own JSON."""
        return self.client.popen("iperf3", "-c", SERVER, "-B", self.tenants[tenant], "-p",
                                 str(port), "-J", *arguments, stdout=subprocess.PIPE, text=True)

    def datagrams(self, count, size):
        """Sends UDP from the first tenant to the server; how many arrive whole."""
        sender = self.client.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = self.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, receiver:
            sender.bind((self.tenants[0], 7001))
            receiver.bind((SERVER, 7002))
            receiver.settimeout(2)
            for _ in range(count):
                sender.sendto(bytes(size), (SERVER, 7002))
            arrived = 0
            try:
                while arrived < count:
                    arrived += len(receiver.recv(1 << 16)) == size
            except TimeoutError:
                pass
            return arrived

    def udp_mbps(self, tenant, way, offered_mbps, seconds):
        """Offers UDP above the tenant's rate and returns what arrives, in Mb/s of frame bytes (no
        FCS), if only the tenant's bucket refused packets meanwhile."""
        ends = [(self.client, (self.tenants[tenant], 7001)), (self.server, (SERVER, 7002))]
        (sender_side, source), (receiver_side, sink) = ends if way == "up" else ends[::-1]
        sender = sender_side.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = receiver_side.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, receiver:
            # Beyond rmem_max, which a reader that waits 100 ms for its core would overflow.
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sender.bind(source)
            receiver.bind(sink)
            receiver.settimeout(0.5)
            stop = threading.Event()
            pace = threading.Thread(target=_offer, args=(sender, sink, offered_mbps, stop))
            pace.start()
            try:
                return steady_mbps(_arrivals(receiver, seconds))
            finally:
                stop.set()
                pace.join()


_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_PAYLOAD_BYTES = 1400
_FRAME_BITS = 8 * (14 + 20 + 8 + _PAYLOAD_BYTES)


def _offer(sender, sink, mbps, stop):
    """Numbered datagrams."""
    per_second = mbps * 1e6 / _FRAME_BITS
    begin, sent, number = time.monotonic(), 0, 0
    while not stop.is_set():
        due = int((time.monotonic() - begin) * per_second)
        for _ in range(min(due - sent, 32)):
            sender.sendto(number.to_bytes(8, "big") + bytes(_PAYLOAD_BYTES - 8), sink)
            number += 1
        sent = due  # what a starved sender missed is not sent late, in one heap
        time.sleep(0.001)


def _arrivals(receiver, seconds):
    """[(second, number)]: when the receiving kernel had each datagram, however late it is read."""
    arrivals = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            data, ancillary, _, _ = receiver.recvmsg(2048, 64)
        except TimeoutError:
            continue
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                whole, nanos = struct.unpack("=qq", value)
                arrivals.append((whole + nanos / 1e9, int.from_bytes(data[:8], "big")))
    return arrivals


def steady_mbps(arrivals):
    """The rate between two moments at which the bucket was empty: a packet was refused there, its
    number is missing. A window that begins or ends anywhere else is off by what the bucket held: up
    to 400 ms of its rate after a pause in which nobody ran the NF, 8 % of five seconds."""
    warm = arrivals[0][0] + 0.5 if arrivals else 0
    edges = [i for i in range(len(arrivals) - 1)
             if arrivals[i][0] > warm and arrivals[i + 1][1] - arrivals[i][1] > 1]
    if not edges or edges[0] == edges[-1]:
        return 0.0
    first, last = edges[0], edges[-1]
    return (last - first) * _FRAME_BITS / (arrivals[last][0] - arrivals[first][0]) / 1e6
