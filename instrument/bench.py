"""Where settings are tried: in dataplanes of our own, or in one that lives.

A dataplane of our own is kept for as long as dispatch and `wake.baton` stay; batch and ageing are
changed while it runs. `fresh()` starts a new one all the same: for the proof. A living one is somebody's service:
`hurts` ends a window as soon as a try costs its traffic too much."""
import datetime
import time

import living
import run

BIND_RATE = "50kpps"  # until every flow has its NFs
REPLACED_MAX = 5


def wake_body(wake):
    return {"batch": wake.batch, "aging": wake.aging_text}


class OwnBench:
    """`load`: a FileLoad or SyntheticLoad. `rate`: what is offered, None: as the load has it."""

    def __init__(self, load, rate):
        self.load, self.rate = load, rate
        self._run = None
        self._wake = None
        self._offered = None
        self.starts = 0
        self.start_seconds = 0.0

    def close(self):
        if self._run is not None:
            self._run.__exit__(None, None, None)
            self._run = self._wake = None

    def stop(self):
        """Ends the run and has its accounts checked."""
        if self._run is not None:
            try:
                self._run.stop()
            finally:
                self.close()

    def fresh(self, wake):
        self.stop()
        begin = time.monotonic()
        self._run = self.load.start(wake, BIND_RATE if self.load.port else None)
        try:
            self._run.__enter__()
            self.load.bind(self._run)
        except BaseException:
            self.close()
            raise
        self._wake, self._offered = wake, None
        self.starts += 1
        self.start_seconds = max(self.start_seconds, time.monotonic() - begin)

    def window(self, wake, warmup, seconds, rate=None):
        """(figures, why cut short)."""
        if self._run is None or self._wake.run_key != wake.run_key:
            self.fresh(wake)
        if self._wake != wake:
            self._run.patch("/v1/wake", wake_body(wake))
            self._wake = wake
        rate = rate or self.rate
        if self.load.port and rate != self._offered:
            self._run.set_rate(rate, port=self.load.port)
            self._offered = rate
        return living.watched_window(self._run, warmup, seconds)


class LiveBench:
    """Tries on the run `r`, whose settings a PutBack holds."""

    def __init__(self, r, hurts):
        self._run, self._hurts = r, hurts
        self._wake = None
        self.rate = None

    def close(self):
        pass

    stop = close

    def fresh(self, wake):
        """A living dataplane cannot be started anew; the change itself is the start."""
        self._wake = None

    def window(self, wake, warmup, seconds, rate=None):
        if self._wake != wake:
            self._run.patch("/v1/wake", wake_body(wake))
            self._wake = wake
        for attempt in range(REPLACED_MAX):
            try:
                figures, why = living.watched_window(self._run, warmup, seconds, self._hurts)
                break
            except living.Replaced:
                if attempt + 1 == REPLACED_MAX:
                    raise
        return figures, why


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


RunError = run.RunError
