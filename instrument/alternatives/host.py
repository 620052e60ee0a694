"""What the measurements of alternatives ask of the kernel: memory, disturbance, namespaces."""
import ctypes
import os
import pathlib
import re
import subprocess

from alternatives import AlternativeError

NAME = "mayfly-compare"
MINE = f"{NAME}-{os.getpid()}"  # what this comparison calls its things
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def available_kib():
    """MemAvailable; what it loses counts kernel memory as well as processes."""
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise AlternativeError("/proc/meminfo has no MemAvailable")


def free_huge_pages():
    path = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    return int(path.read_text(encoding="ascii")) if path.exists() else 0


def steal_ms():
    """Time that the host of this virtual machine gave to others, since boot."""
    return int(pathlib.Path("/proc/stat").read_text(encoding="ascii").split()[8]) * _TICK_MS


def waited_ms(pid, thread):
    """Time that the threads of `pid` with this name wanted a CPU and had none."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text(encoding="ascii").strip() == thread:
            total += int((task / "schedstat").read_text(encoding="ascii").split()[1]) / 1e6
    return total


def run(*command, text=None, timeout=120):
    """A command that must succeed; its output."""
    try:
        done = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise AlternativeError(f"{command[0]} did not end within {timeout} s") from None
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit {done.returncode}"]
        raise AlternativeError(f"{' '.join(command[:3])}: {lines[0]}")
    return done.stdout


def leftovers(folder):
    """Entries NAME-PID-* of comparisons whose process is gone."""
    for path in pathlib.Path(folder).glob(f"{NAME}-*"):
        match = re.fullmatch(rf"{NAME}-(\d+)-\w+", path.name)
        if match and not pathlib.Path(f"/proc/{match[1]}").exists():
            yield path


class Inside:
    """The calling thread, and what it starts, in a network namespace: with Inside(path): ..."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            if _LIBC.setns(there, _CLONE_NEWNET) != 0:
                raise AlternativeError(f"{self.path}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(there)
        return self

    def __exit__(self, *_):
        _LIBC.setns(self.home, _CLONE_NEWNET)
        os.close(self.home)
