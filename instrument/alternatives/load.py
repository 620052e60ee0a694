"""Offers traffic with `mayfly-load` and reads what came back: the generator for everything that is
not Mayfly (Mayfly has its own, of the same make)."""
import contextlib
import json
import os
import pathlib
import select
import subprocess
import time

from alternatives import AlternativeError, host

READY_SECONDS = 40
ANSWER_SECONDS = 20
LOSS_NAME = "lost"
SOURCE = "source"  # the thread whose waits make packets late


def program(mayfly):
    return str(pathlib.Path(mayfly).resolve().parent / "mayfly-load")


class Load:
    """One `mayfly-load`, ready when the `with` block begins; `on_listening` is called when it waits
    for its peer."""

    def __init__(self, mayfly, workload, tenants, *wire, on_listening=lambda: None):
        self.command = [program(mayfly), "--tenants", str(tenants), "--size", str(workload.size),
                        "--arrival", workload.arrival, "--order", workload.order,
                        "--seed", str(workload.seed), *map(str, wire)]
        self._on_listening = on_listening
        self._process = None
        self._pending = b""

    def __enter__(self):
        # A session of its own: a Ctrl-C at the terminal is ours to act upon. It ends with our end
        # of its standard input, whatever happens to us.
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, bufsize=0,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         start_new_session=True)
        try:
            while (line := self._line(READY_SECONDS)) != "ready":
                if line == "listening":
                    self._on_listening()
                elif line is None or line.startswith("mayfly-load: "):
                    raise AlternativeError(line or "mayfly-load ended before it was ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def pid(self):
        return self._process.pid

    def _line(self, seconds):
        """The next line of its output; None at its end."""
        until = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise AlternativeError(f"mayfly-load did not answer within {seconds} s")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def _ask(self, order):
        try:
            self._process.stdin.write(order.encode() + b"\n")
            answer = self._line(ANSWER_SECONDS)
        except OSError:
            answer = None
        if answer is None:
            raise AlternativeError("mayfly-load ended")
        try:
            figures = json.loads(answer)
        except ValueError:
            raise AlternativeError(answer) from None
        if "error" in figures:
            raise AlternativeError(figures["error"])
        return figures

    def set_rate(self, rate):
        self._ask(f"rate {rate if rate == 'max' else f'{float(rate):.3f}'}")

    def window(self, warmup, seconds):
        """The figures of `seconds` that begin `warmup` seconds from now, with the keys of the API's
        window."""
        time.sleep(warmup)
        steal, waited = host.steal_ms(), host.waited_ms(self.pid, SOURCE)
        self._ask("window")
        time.sleep(seconds)
        got = self._ask("read")
        disturbed = {"steal_ms": host.steal_ms() - steal,
                     "vswitch_wait_ms": host.waited_ms(self.pid, SOURCE) - waited}
        return self._figures(got, disturbed)

    @staticmethod
    def _figures(got, disturbed):
        seconds = got["seconds"]
        lost = max(0, got["offered"] - got["received"])
        return {
            "seconds": seconds,
            "packets": {"rx": got["offered"], "originated": 0, "tx": got["received"],
                        "drops": {LOSS_NAME: lost} if lost else {}, "held": 0, "held_before": 0},
            "mpps": got["received"] / seconds / 1e6,
            "gbps": got["received_bytes"] * 8 / seconds / 1e9,
            "latency_us": got["latency_us"],
            "latency_buckets": got["latency_buckets"],
            "load": {"offered": got["offered"], "late": got["late"]},
            "cpu": {"vswitch": got["busy"], "nf_cores": []},
            "tenants": {"returned": got["tenants"]},
            "receiver": {"missed": got["missed"]},
            "disturbed": disturbed,
        }
