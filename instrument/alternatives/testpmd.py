"""`dpdk-testpmd` forwarding on one lcore: the ceiling, with no tenants, no rules and no isolation.

    mayfly-load, CPU 0   <== net_memif, shared memory ==>   dpdk-testpmd, CPU 1

Every packet is received, its addresses rewritten (`macswap`) and sent back, all by one process that
polls. Copies in and out are memif's: it is the one way for real packets and their latency between
two processes without a NIC."""
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from alternatives import AlternativeError, host, load

MEMORY_MIB = 192
HUGE_PAGES = (MEMORY_MIB + 64) // 2 + 8  # its own, and mayfly-load's
RING_LOG2 = 12  # 4,096 descriptors each way: both processes may be away for a fraction of a ms
PROGRAM = "dpdk-testpmd"


def dpdk_folder():
    """Where DPDK keeps files of running programs, which outlive them."""
    if os.geteuid() == 0:
        return pathlib.Path("/var/run/dpdk")
    return pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / "dpdk"


def _remove(*groups):
    for path in itertools.chain(*groups):
        shutil.rmtree(path, ignore_errors=True)


class Testpmd:
    name = "testpmd"
    needs_tools = {PROGRAM: "dpdk"}
    needs_root = False

    def __init__(self, context):
        self._context = context

    def target(self, tenants):
        return Target(self._context, tenants)

    def release(self):
        pass


class Target:
    def __init__(self, context, tenants):
        self._context = context
        self._tenants = tenants
        self._process = None
        self._folder = None
        self._load = None

    def __enter__(self):
        _remove(host.leftovers(tempfile.gettempdir()), host.leftovers(dpdk_folder()))
        self._folder = tempfile.mkdtemp(prefix=f"{host.MINE}-")
        cpus = self._context.cpus
        huge = host.free_huge_pages() >= HUGE_PAGES
        socket = f"{self._folder}/memif"
        memory = ["--in-memory"] if huge else ["--no-huge", "--no-shconf"]
        self.command = [
            PROGRAM, "--lcores", f"0@{cpus[1]},1@{cpus[1]}", *memory, "-m", str(MEMORY_MIB),
            "--no-pci", "--no-telemetry", f"--file-prefix={host.MINE}-testpmd",
            f"--vdev=net_memif0,role=client,id=0,socket-abstract=no,socket={socket},"
            f"rsize={RING_LOG2}", "--",
            "--forward-mode=macswap", "--port-topology=loop", "--total-num-mbufs=8192",
            "--burst=64", "--no-mlockall"]
        self.config = {"huge_pages": huge, "testpmd": self.command}
        self._load = load.Load(
            self._context.mayfly, self._context.workload, self._tenants, "--cpu", cpus[0],
            "--memif", socket, "--file-prefix", f"{host.MINE}-load", "--huge-pages",
            "yes" if huge else "no", on_listening=self._start)
        try:
            self._load.__enter__()
        except BaseException as error:
            said = self._last_words()
            self.__exit__()
            if isinstance(error, AlternativeError) and said:
                raise AlternativeError(f"{error}; {PROGRAM}: {said}") from error
            raise
        self._start_ms = (time.monotonic() - self._began) * 1e3
        return self

    def _start(self):
        self._began = time.monotonic()
        with open(f"{self._folder}/output.txt", "wb") as output:
            self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=output,
                                             stderr=subprocess.STDOUT, start_new_session=True)

    def _last_words(self):
        path = pathlib.Path(self._folder) / "output.txt"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() \
            else []
        return next((line for line in reversed(lines) if line.strip()), "")[:200]

    def __exit__(self, *_):
        if self._load is not None:
            self._load.__exit__()
        if self._process is not None:
            self._process.stdin.close()  # it forwards until it may read, and then ends
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _remove([self._folder], dpdk_folder().glob(f"{host.MINE}-*"))

    def set_rate(self, rate):
        self._load.set_rate(rate)

    def window(self, warmup, seconds):
        if self._process.poll() is not None:
            raise AlternativeError(f"{PROGRAM} ended ({self._process.returncode}): "
                                   f"{self._last_words()}")
        figures = self._load.window(warmup, seconds)
        figures["cpu"]["nf_cores"] = [1.0]  # it polls
        return figures

    def costs(self):
        return {"start_ms": self._start_ms}  # one for all tenants: no cost of each

    def check(self):
        pass
