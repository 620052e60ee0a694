"""A dataplane that somebody else runs: found by name, tried on, and left as it was found.

What is changed is put back however this process ends: by itself, by an error or by Ctrl-C it does
so on its way out; should it be killed, a guardian (a forked child that waits for the end of a pipe)
does."""
import os
import pathlib
import signal
import socket
import stat
import time

import run

PUT_BACK_SECONDS = 10
POLL_SECONDS = 0.5


class NotFound(run.RunError):
    """One line for the user."""


class Replaced(run.RunError):
    """Another client began a measuring window."""


def runs_folder():
    if os.geteuid() == 0:
        return pathlib.Path("/run/mayfly")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return pathlib.Path(runtime) / "mayfly"
    return pathlib.Path(f"/tmp/mayfly-{os.getuid()}")


def _answers(path):
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(2)
            s.connect(str(path))
            return True
    except OSError:
        return False


def find(name):
    """(name, API socket) of the run called so; of the only one if `name` is None."""
    folder = runs_folder()
    names = sorted(p.parent.name for p in folder.glob("*/api.sock") if _answers(p))
    there = f"running: {', '.join(names)}" if names else "none is running"
    if name is None:
        if len(names) != 1:
            raise NotFound(f"--live: say which run with --name; {there}")
        name = names[0]
    if name not in names:
        raise NotFound(f"--name {name}: there is no such run; {there}")
    return name, folder / name / "api.sock"


class Living(run.Run):
    """The API of a run that is not ours to stop."""

    def __init__(self, name=None):
        super().__init__("")
        self.name, path = find(name)
        self._socket = str(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()

    def disconnect(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def output(self):
        return ""

    def stop(self):
        raise run.RunError("a living run is stopped by its owner")


def watched_window(r, warmup, seconds, hurts=None):
    """(figures, why it was cut short or ""). `hurts(figures)` is asked every `POLL_SECONDS`, also
    during the warm-up: a reason ends it at once. Raises Replaced if another client's window took
    the place of this one."""
    figures = None
    for length, counts in ((warmup, False), (seconds, True)):
        number = r.post("/v1/window")["window"]
        end = time.monotonic() + length
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS) if hurts else left)
            if hurts:
                figures = _own(r.get("/v1/window?buckets=false"), number)
                if why := hurts(figures):
                    return figures, why
        if counts:
            figures = _own(r.get("/v1/window"), number)
    return figures, ""


def _own(figures, number):
    if figures["window"] != number:
        raise Replaced("another client began a measuring window of its own")
    return figures


class PutBack:
    """Keeps what was found, and puts it back at the end, whatever ends it.

        with PutBack(r) as kept: ...   kept.found as GET /v1/wake has it; kept.keep() leaves it be
    """

    def __init__(self, r):
        self._run = r
        self._kept = False
        self._pipe = None
        self._guardian = 0
        self.found = None

    def __enter__(self):
        self.found = self._run.get("/v1/wake")
        self._start_guardian()
        return self

    def keep(self):
        """The settings of now stay."""
        self._kept = True
        self._dismiss()

    def __exit__(self, *_):
        # A second Ctrl-C must not interrupt this.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK,
                                         {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            if not self._kept:
                self._restore(self._run)
        finally:
            self._dismiss()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _dismiss(self):
        """The guardian need not do anything."""
        if self._guardian:
            os.write(self._pipe, b"done")
            os.close(self._pipe)
            os.waitpid(self._guardian, 0)
            self._guardian = 0

    def _restore(self, r):
        """Again and again for a while: the run may be busy. If it is gone, so are its settings."""
        deadline = time.monotonic() + PUT_BACK_SECONDS
        while True:
            try:
                return r.patch("/v1/wake", {k: self.found[k] for k in ("batch", "aging")})
            except run.RunError:
                if not _answers(pathlib.Path(r._socket)):  # pylint: disable=protected-access
                    return None
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)

    def _start_guardian(self):
        ends, self._pipe = os.pipe()
        self._guardian = os.fork()
        if self._guardian:
            os.close(ends)
            return
        status = 1
        try:
            os.setsid()  # a Ctrl-C at the terminal is the parent's
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(self._pipe)
            if os.read(ends, 4) != b"done":
                self._run._connection = None  # pylint: disable=protected-access
                self._restore(self._run)
            status = 0
        finally:
            os._exit(status)
