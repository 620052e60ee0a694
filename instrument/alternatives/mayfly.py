"""Mayfly under each of its dispatches, and architectures A and B of the tiny-NF paper, which are
Mayfly's rings with the paper's way of waking:

    A    two rings for each NF, NFs poll and never sleep              dispatch poll
    B    A + a POSIX semaphore for each NF, posted when a batch waits dispatch semaphore,
         or the oldest packet has aged                                 batch 32, ageing 100us

The paper prints neither batch nor ageing; these are the values of bench/whole_path.py. Otherwise
the NF processes of all are the same: the vSwitch, the checks and the accounting are Mayfly's."""
import time

import grid
import measure
import run
import workload
from alternatives import AlternativeError, short

# (name, dispatch, batch, ageing); the first ones are made from the dispatches that there are.
ARCHITECTURES = {"A": ("poll", 32, "100us"), "B": ("semaphore", 32, "100us")}
READY_SECONDS = 30
START_RATE = "50kpps"


class QuickRun(run.Run):
    """A run that is given up if it is not ready soon: thousands of polling NFs never are."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._ready_seconds = READY_SECONDS


class Mayfly:
    needs_tools = {}
    needs_root = False

    def __init__(self, context, name, dispatch, batch, aging):
        self.name = name
        self._context = context
        self._wake = {"dispatch": dispatch, "batch": batch, "aging": aging}

    def point(self, tenants):
        """The grid's point that this is."""
        load = self._context.workload
        values = {name: axis.parse(axis.default) for name, axis in grid.AXES.items()
                  if name not in ("dispatch", "trust")}
        return {**values, "trust": "shared", **self._wake, "nfs": tenants * load.chain,
                "chain": load.chain, "nf": load.nf, "size": load.size, "arrival": load.arrival,
                "order": load.order}

    def target(self, tenants):
        return Target(self._context, self.point(tenants), tenants)

    def release(self):
        pass


class Target:
    def __init__(self, context, point, tenants):
        self._point = point
        self._tenants = tenants
        self.config, files = workload.config(point, context.cpus, context.settings, START_RATE,
                                             context.workload.seed)
        self._run = QuickRun(self.config, mayfly=context.mayfly, files=files, nfs=point["nfs"])
        self.command = ["mayfly", "run", "config.yaml"]

    def __enter__(self):
        began = time.monotonic()
        try:
            self._run.__enter__()
        except run.RunError as error:
            raise AlternativeError(short(error)) from error
        self._start_ms = (time.monotonic() - began) * 1e3
        try:
            measure.bind(self._run, self._point)
            self._kib = self._run.get("/v1/stats")["memory"]["per_nf_kib"] * self._point["chain"]
        except BaseException:
            self._run.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exception):
        self._run.__exit__(*exception)

    def set_rate(self, rate):
        self._run.set_rate(rate)

    def window(self, warmup, seconds):
        return self._run.window(warmup, seconds)

    def costs(self):
        return {"start_ms": self._start_ms, "start_ms_per_tenant": self._start_ms / self._tenants,
                "kib_per_tenant": self._kib}

    def check(self):
        self._run.stop()  # its accounts are part of the report

