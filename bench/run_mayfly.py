"""Runs the shipped `mayfly` for the measurements of this folder.

    report = run_mayfly.run(config, seconds=5)        # one run, its --report as a dict

    with run_mayfly.Run(config) as r:                 # the same with a look inside
        r.get("/v1/nfs")
        report = r.stop()

`config` is YAML text, or a dict (JSON is YAML). Every run is private to the caller: a directory and
a name of its own. Whatever happens in between, all its processes are gone when the call or the
`with` block ends, and a run whose packets do not add up is an error, not a figure."""
import datetime
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MAYFLY = os.environ.get("MAYFLY") or str(
    pathlib.Path(__file__).resolve().parent.parent / "build/release/bin/mayfly")
READY_SECONDS = 90
STOP_SECONDS = 30


class RunError(RuntimeError):
    """The run did not do what was asked; the message holds its output."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, seconds):
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Run:
    """One `mayfly run`, ready when the `with` block begins. `files` (name -> text) stand beside the
    configuration. `seconds`: --for; None: until stop(). `wrap`: a command to start it with."""

    _made = 0

    def __init__(self, config, seconds=None, mayfly=None, files=None, wrap=()):
        Run._made += 1
        self.name = f"bench-{os.getpid()}-{Run._made}"
        self.mayfly = os.path.abspath(mayfly or MAYFLY)
        self._config = config if isinstance(config, str) else json.dumps(config, indent=1)
        self._files = files or {}
        self._seconds = seconds
        self._wrap = list(wrap)
        self._socket = None
        self._connection = None
        self.process = None
        self.folder = None

    def __enter__(self):
        try:
            return self._start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, *_):
        if self._connection is not None:
            self._connection.close()
        if self.process is not None and self.process.poll() is None:
            # Nicely first: the keeper then removes its run directory; -9 still ends every process.
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._socket is not None:
            shutil.rmtree(os.path.dirname(self._socket), ignore_errors=True)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self):
        if not os.access(self.mayfly, os.X_OK):
            raise RunError(f"{self.mayfly} is not there: build it (tools/build), or say with the "
                           "variable MAYFLY where it is")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-bench-"))
        self.folder.chmod(0o755)
        (self.folder / "config.yaml").write_text(self._config, encoding="utf-8")
        for file, text in self._files.items():
            (self.folder / file).write_text(text, encoding="utf-8")
        command = [*self._wrap, self.mayfly, "run", str(self.folder / "config.yaml"), "--name",
                   self.name, "--report", str(self.folder / "report.json")]
        if self._seconds is not None:
            command += ["--for", f"{self._seconds}s"]
        with open(self.folder / "output.txt", "w", encoding="utf-8") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, cwd=self.folder)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            for line in self.output().splitlines():
                if line.startswith("ready: run "):
                    self._socket = line.split("API at ")[1].split()[0].rstrip(",;")
                    return self
            if self.process.poll() is not None:
                raise RunError(f"exit {self.process.returncode} before it was ready\n"
                               f"{self.output()}")
            time.sleep(0.01)
        raise RunError(f"not ready within {READY_SECONDS} s\n{self.output()}")

    def output(self):
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")

    def get(self, path, seconds=10):
        """The answer of the API to GET `path`. One connection serves all calls."""
        for last in (False, True):
            if self._connection is None:
                self._connection = _UnixConnection(self._socket, seconds)
            try:
                self._connection.request("GET", path)
                answer = self._connection.getresponse()
                data = answer.read()
                break
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = None
                if last:
                    raise
        if answer.status != 200:
            raise RunError(f"GET {path}: {answer.status} {data[:500]!r}")
        return json.loads(data)

    def wait(self, seconds=None):
        """Until it ends by itself (--for); its report."""
        if seconds is None:
            seconds = (self._seconds or 0) + STOP_SECONDS
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RunError(f"still running after {seconds} s\n{self.output()}") from None
        if status != 0:
            raise RunError(f"exit {status}\n{self.output()}")
        report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        check_accounts(report)
        return report

    def stop(self):
        """Ctrl-C, drain; its report."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(STOP_SECONDS)


def run(config, seconds, mayfly=None, files=None):
    """Runs `config` for `seconds` and returns its report."""
    with Run(config, seconds, mayfly, files) as r:
        return r.wait()


def check_accounts(report):
    """rx + originated = tx + drops + held, and no buffer is missing."""
    packets = report["packets"]
    came = packets["rx"] + packets["originated"]
    went = packets["tx"] + sum(packets["drops"].values()) + packets["held"]
    if came != went or packets["held"] != 0 or not report["accounting"]["balanced"]:
        raise RunError(f"packets do not add up: {json.dumps(packets)}, "
                       f"{json.dumps(report['accounting'])}")


def preamble(script, **parameters):
    """What every result begins with: where, when, and with which parameters."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), "?")
    print(f"{os.path.basename(script)}: {datetime.date.today()}, {model}, {os.cpu_count()} CPUs, "
          f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
    print("parameters: " + ", ".join(f"{k} {v}" for k, v in parameters.items()), flush=True)


def quantile(values, q):
    """The nearest-rank quantile, 0 <= q <= 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
