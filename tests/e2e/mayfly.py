"""Runs the shipped `mayfly` as a user would, and checks what every run promises: all packets are
accounted for, and nothing is left behind."""
import glob
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from netns import Namespace

BIN = pathlib.Path(os.environ.get("MAYFLY_BIN", "build/release/bin")).resolve()
MAYFLY = str(BIN / "mayfly")
READY_SECONDS = 60
STOP_SECONDS = 30
GONE_SECONDS = 1.0  # the promise after kill -9 of the dataplane or the keeper


def stretch():
    """By how much promises in wall-clock time stretch: on a machine with more than twice as many
    runnable threads as CPUs, everything takes that much longer (at most five times here)."""
    return min(5.0, max(1.0, os.getloadavg()[0] / (2 * os.cpu_count())))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, seconds=10):
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Failure(AssertionError):
    """Mayfly broke a promise; the message holds its output."""


class Mayfly:
    """One run. `files` (name -> text) stand beside the configuration; `namespace` is where it runs
    (a new one if None), so that every process of it can be found."""

    _made = 0

    def __init__(self, config, files=None, namespace=None, arguments=(), name=None, wrap=()):
        Mayfly._made += 1
        self.name = name or f"e2e-{os.getpid()}-{Mayfly._made}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-e2e-"))
        self.folder.chmod(0o755)
        self.own_namespace = namespace is None
        self.namespace = namespace or Namespace("run")
        self.config_path = self.folder / "config.yaml"
        self.report_path = self.folder / "report.json"
        self.config_path.write_text(config)
        for file, text in (files or {}).items():
            (self.folder / file).write_text(text)
        self.arguments = list(arguments)
        self.wrap = list(wrap)
        self.process = None
        self.cleaned = False
        self.output_path = self.folder / "output.txt"

    # Life -----------------------------------------------------------------------------------------

    def start(self, wait=True):
        command = [*self.wrap, MAYFLY, "run", str(self.config_path), "--name", self.name,
                   "--report", str(self.report_path), *self.arguments]
        self.report_path.unlink(missing_ok=True)
        with open(self.output_path, "w", encoding="utf-8") as output:
            self.process = self.namespace.popen(*command, stdout=output, stderr=subprocess.STDOUT,
                                                stdin=subprocess.DEVNULL, cwd=self.folder)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"exit {self.process.returncode} before it was ready\n"
                              f"{self.output()}")
            if "\nready: run" in "\n" + self.output():
                return
            time.sleep(0.01)
        raise Failure(f"not ready within {READY_SECONDS} s\n{self.output()}")

    def wait(self, seconds):
        """Until it ends by itself (--for, or a capture read to its end); its report."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {seconds} s\n{self.output()}") from None
        if status != 0:
            raise Failure(f"exit {status}\n{self.output()}")
        return self.checked_report()

    def stop(self):
        """Ctrl-C; its report, checked."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(STOP_SECONDS)

    def cleanup(self):
        """Whatever the test did: kill, look for leftovers, remove our own. Raises at the end. More
        than once is harmless."""
        if self.cleaned:
            return
        self.cleaned = True
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process is not None:
                left = self.leftovers(GONE_SECONDS, after_kill=self.process.returncode != 0)
                if left:
                    raise Failure("left behind: " + ", ".join(left) + f"\n{self.output()}")
        finally:
            for pid in self.namespace.pids() if self.own_namespace else ():
                _kill(pid, signal.SIGKILL)
            shutil.rmtree(f"/run/mayfly/{self.name}", ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            if self.own_namespace:
                self.namespace.remove()

    def output(self):
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    # What it says ---------------------------------------------------------------------------------

    @property
    def socket_path(self):
        return f"/run/mayfly/{self.name}/api.sock"

    def request(self, method, path, body=None, seconds=10):
        """(status, JSON or text) of one API call."""
        connection = UnixConnection(self.socket_path, seconds)
        try:
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read().decode()
            try:
                return answer.status, json.loads(data)
            except ValueError:
                return answer.status, data
        finally:
            connection.close()

    def get(self, path):
        status, answer = self.request("GET", path)
        if status != 200:
            raise Failure(f"GET {path}: {status} {answer}")
        return answer

    def cli(self, *arguments, check=True, seconds=30, **options):
        """`mayfly ARGUMENTS... --name NAME`, beside the run."""
        done = subprocess.run([MAYFLY, *arguments, "--name", self.name], text=True, cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              check=False, **options)
        if check and done.returncode != 0:
            raise Failure(f"mayfly {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}")
        return done

    def stats(self):
        return self.get("/v1/stats")

    def checked_report(self):
        if not self.report_path.exists():
            raise Failure(f"no report\n{self.output()}")
        report = json.loads(self.report_path.read_text(encoding="utf-8"))
        check_accounts(report)
        return report

    # Its processes --------------------------------------------------------------------------------

    def pids(self, kind):
        """Processes of this run: "keeper", "dataplane", "zygote" or "nf"."""
        found = {"keeper": [], "dataplane": [], "zygote": [], "nf": []}
        pids = set(self.namespace.pids())
        for pid in pids:
            try:
                executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
                parent_executable = os.path.basename(os.readlink(f"/proc/{parent}/exe"))
            except OSError:
                continue
            if executable == "mayfly-dataplane":
                found["dataplane"].append(pid)
            elif executable == "mayfly-zygote":
                found["nf" if parent_executable == "mayfly-zygote" else "zygote"].append(pid)
            elif executable == "mayfly":
                found["keeper"].append(pid)
        return sorted(found[kind])

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)

    def leftovers(self, seconds, after_kill=False):
        """What still exists of the run `seconds` from now at the latest. A keeper that was killed
        cannot remove its run directory: that (and nothing else) waits for the next start."""
        deadline = time.monotonic() + seconds * stretch()
        while True:
            left = self._leftovers(after_kill)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)

    def _leftovers(self, after_kill):
        left = []
        own = set(self.namespace.pids())
        for pid in own:
            try:
                executable = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if os.path.basename(executable).split(" ")[0].startswith("mayfly"):
                left.append(f"process {pid} ({os.path.basename(executable)})")
        patterns = [f"/dev/shm/*{self.name}*", f"/dev/hugepages/*{self.name}*",
                    f"/sys/fs/cgroup/*/**/*{self.name}*", f"/sys/fs/cgroup/*{self.name}*"]
        if not after_kill:
            patterns += [f"/run/mayfly/{self.name}", f"/run/dpdk/mayfly-{self.name}"]
        for pattern in patterns:
            left += glob.glob(pattern, recursive=True)
        return left


def check_accounts(report):
    packets = report["packets"]
    came = packets["rx"] + packets["originated"]
    went = packets["tx"] + sum(packets["drops"].values()) + packets["held"]
    if came != went:
        raise Failure(f"packets do not add up: rx + originated {came}, tx + drops + held {went}: "
                      f"{json.dumps(packets)}")
    # The same from the other side: buffers counted one by one against what the counters say.
    if not report["accounting"]["balanced"] or packets["held"] != 0:
        raise Failure(f"buffers are missing: {json.dumps(report['accounting'])}, "
                      f"{json.dumps(packets)}")


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
