"""Runs the shipped `mayfly` and measures with it.

    report = run.run(config, seconds=5)               # one run, its --report as a dict

    with run.Run(config) as r:                        # the same, steered and looked into
        r.set_rate(1_500_000)
        figures = r.window(warmup=0.5, seconds=2)     # of these two seconds alone
        report = r.stop()

`config` is YAML text, or a dict (JSON is YAML). Every run is private to the caller: a directory and
a name of its own. Whatever happens in between, all its processes are gone when the call or the
`with` block ends (also when the caller is killed), and a run whose packets do not add up is an
error, not a figure."""
import ctypes
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

READY_SECONDS = 90
READY_SECONDS_PER_NF = 0.01
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def find_mayfly():
    """The executable to measure: $MAYFLY (set by `mayfly sweep` to itself), or the one of the tree
    this file is installed or checked out in."""
    here = pathlib.Path(__file__).resolve().parent
    installed = here.parents[2] / "bin/mayfly"  # PREFIX/libexec/mayfly/instrument
    checkout = here.parent / "build/release/bin/mayfly"
    return os.environ.get("MAYFLY") or str(installed if installed.exists() else checkout)


MAYFLY = find_mayfly()


class RunError(RuntimeError):
    """The run did not do what was asked; the message holds its output."""


class Refused(RunError):
    """`mayfly` found the configuration impossible, in one line, before anything started."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, seconds):
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _die_with_parent():
    """In the child: a Ctrl-C for the run should its starter be killed."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def rate_text(pps):
    """A packet rate as configurations and the API write it."""
    return pps if isinstance(pps, str) else f"{max(pps, 0.001):.3f}pps"


class Run:
    """One `mayfly run`, ready when the `with` block begins. `files` (name -> text) stand beside the
    configuration. `seconds`: --for; None: until stop(). `wrap`: a command to start it with.
    `parent`: where its folder is made. `nfs`: how many NF processes start, if they are many."""

    _made = 0

    def __init__(self, config, seconds=None, mayfly=None, files=None, wrap=(), parent=None, nfs=0):
        Run._made += 1
        self.name = f"bench-{os.getpid()}-{Run._made}"
        self.mayfly = os.path.abspath(mayfly or MAYFLY)
        self._config = config if isinstance(config, str) else json.dumps(config, indent=1)
        self._files = files or {}
        self._seconds = seconds
        self._wrap = list(wrap)
        self._parent = parent
        self._ready_seconds = READY_SECONDS + READY_SECONDS_PER_NF * nfs
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
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-bench-", dir=self._parent))
        self.folder.chmod(0o755)
        command = [*self._wrap, self.mayfly, "run", str(self._lay_out()), "--name",
                   self.name, "--report", str(self.folder / "report.json")]
        if self._seconds is not None:
            command += ["--for", f"{self._seconds}s"]
        with open(self.folder / "output.txt", "w", encoding="utf-8") as output:
            # A session of its own: a Ctrl-C at the terminal is the caller's to act upon.
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, cwd=self.folder,
                                            start_new_session=True, preexec_fn=_die_with_parent)
        self._wait_ready()
        return self

    def _lay_out(self):
        """Writes the configuration, and what stands beside it, into the run's folder; its path."""
        for file, text in self._files.items():
            (self.folder / file).write_text(text, encoding="utf-8")
        config = self.folder / "config.yaml"
        config.write_text(self._config, encoding="utf-8")
        return config

    def _wait_ready(self):
        deadline = time.monotonic() + self._ready_seconds
        while time.monotonic() < deadline:
            # The exit first: output that is read after it is whole.
            status = self.process.poll()
            for line in self.output().splitlines():
                if line.startswith("ready: run "):
                    self._socket = line.split("API at ")[1].split()[0].rstrip(",;")
                    return
            if status == 2:
                raise Refused(self._last_words())
            if status is not None:
                raise RunError(f"exit {status} before it was ready\n{self.output()}")
            time.sleep(0.01)
        raise RunError(f"not ready within {self._ready_seconds:g} s\n{self.output()}")

    def _last_words(self):
        lines = [line for line in self.output().splitlines() if line.startswith("mayfly: ")]
        return (lines or [self.output()])[-1].replace(f"{self.folder}/", "").strip()

    def output(self):
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")

    # The API --------------------------------------------------------------------------------------

    def request(self, method, path, body=None, seconds=10):
        """The answer of the API. One connection serves all calls."""
        data = None if body is None else json.dumps(body)
        for last in (False, True):
            if self._connection is None:
                self._connection = _UnixConnection(self._socket, seconds)
            try:
                self._connection.request(method, path, data)
                answer = self._connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                self._connection = None
                if last:
                    raise RunError(f"{method} {path}: {error}\n{self.output()}") from error
        if not 200 <= answer.status < 300:
            raise RunError(f"{method} {path}: {answer.status} {text[:500].decode(errors='replace')}")
        return json.loads(text)

    def get(self, path, seconds=10):
        return self.request("GET", path, seconds=seconds)

    def patch(self, path, body):
        return self.request("PATCH", path, body)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def set_rate(self, pps, port="load"):
        """The offered rate of a gen port, packets a second or "max", from now on."""
        return self.patch(f"/v1/ports/{port}", {"rate": rate_text(pps)})

    def window(self, warmup, seconds):
        """The figures of `seconds` that begin `warmup` seconds from now."""
        time.sleep(warmup)
        self.post("/v1/window")
        time.sleep(seconds)
        return self.get("/v1/window")

    # Its end --------------------------------------------------------------------------------------

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
        """Ctrl-C, drain; its report, with the accounts checked."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
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
