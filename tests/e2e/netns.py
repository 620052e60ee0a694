"""Network namespaces joined by veth pairs, gone when the test is."""
import ctypes
import os
import socket
import struct
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def sh(*command, check=True, **options):
    """Runs a command; its output is in the exception if it fails."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done


class Namespace:
    """A network namespace. Commands enter it with nsenter, which (unlike `ip netns exec`) leaves
    /sys, and with it the cgroups, as they are."""

    _made = 0

    def __init__(self, role):
        Namespace._made += 1
        self.name = f"mayfly-e2e-{os.getpid()}-{Namespace._made}-{role}"
        self.path = f"/run/netns/{self.name}"
        sh("ip", "netns", "add", self.name)
        self.sh("ip", "link", "set", "lo", "up")

    def enter(self, *command):
        return ["nsenter", f"--net={self.path}", *command]

    def sh(self, *command, **options):
        return sh(*self.enter(*command), **options)

    def popen(self, *command, **options):
        return subprocess.Popen(self.enter(*command), **options)

    def pids(self):
        """Every process inside, by inode: complete however it was started."""
        inode = os.stat(self.path).st_ino
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.stat(f"/proc/{entry}/ns/net").st_ino == inode:
                    found.append(int(entry))
            except OSError:
                pass  # gone meanwhile, or a zombie
        return found

    def socket(self, *arguments):
        """A socket that lives in the namespace (the calling thread visits it for a moment)."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            _setns(there)
            try:
                return socket.socket(*arguments)
            finally:
                _setns(here)
        finally:
            os.close(here)
            os.close(there)

    def remove(self):
        sh("ip", "netns", "delete", self.name, check=False)


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def veth(near, near_name, far, far_name, addresses=(), queue=10000):
    """A veth pair with its ends in two namespaces; `addresses` go to the far one. No offloads: a
    checksum that nobody fills in, or a 64 KiB segment, is not what a wire carries."""
    sh("ip", "link", "add", near_name, "netns", near.name, "numtxqueues", "1", "numrxqueues", "1",
       "txqueuelen", str(queue), "type", "veth", "peer", "name", far_name, "netns", far.name)
    for namespace, name in ((near, near_name), (far, far_name)):
        namespace.sh("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
        namespace.sh("ethtool", "-K", name, "tx", "off", "rx", "off", "tso", "off", "gso", "off",
                     "gro", "off", check=False)
    batch = "".join(f"address add {a} dev {far_name}\n" for a in addresses)
    far.sh("ip", "-batch", "-", input=batch)
    for namespace, name in ((near, near_name), (far, far_name)):
        namespace.sh("ip", "link", "set", name, "up")


# Raw frames on an interface ----------------------------------------------------------------------

_SOL_PACKET, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 8, 23
_VLAN_VALID, _TPID_VALID = 0x10, 0x40


class Wire:
    """Sends and receives whole frames on an interface of a namespace. The kernel takes the outer
    VLAN tag out of what it receives; receive() puts it back."""

    def __init__(self, namespace, interface):
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((interface, 3))

    def send(self, frame):
        self._socket.send(frame)

    def receive(self, seconds=1.0):
        """The next frame, or None."""
        self._socket.settimeout(seconds)
        try:
            frame, notes, _, _ = self._socket.recvmsg(65536, 256)
        except (TimeoutError, BlockingIOError):
            return None
        for level, kind, data in notes:
            if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if status & _VLAN_VALID:
                    tpid = tpid if status & _TPID_VALID else 0x8100
                    frame = frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
        return frame

    def close(self):
        self._socket.close()
