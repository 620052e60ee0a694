"""How far a sweep is: a bar with the time left on a terminal, else one line a row."""
import sys
import time

BAR = 24
WIDTH = 110


def duration_text(seconds):
    seconds = max(0, round(seconds))
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60}:{seconds % 60:02d}"


class Progress:
    """Counts in nominal seconds of work; how long those really take is learnt on the way. Nothing is
    printed while a window is being measured."""

    def __init__(self, total, out=sys.stderr, clock=time.monotonic):
        self._total, self._done = max(total, 1e-9), 0.0
        self._out, self._clock = out, clock
        self._begin = clock()
        self._bar = out.isatty()

    def more(self, nominal):
        """Work that was not foreseen."""
        self._total += nominal

    def done(self, nominal):
        self._done = min(self._done + nominal, self._total)

    @property
    def left(self):
        spent = self._clock() - self._begin
        speed = spent / self._done if self._done > 0 else 1.0
        return (self._total - self._done) * speed

    def say(self, text):
        share = self._done / self._total
        if not self._bar:
            print(f"{share:4.0%}  {duration_text(self.left):>7} left  {text}", file=self._out,
                  flush=True)
            return
        full = round(share * BAR)
        line = f"[{'#' * full}{'.' * (BAR - full)}] {duration_text(self.left)} left  {text}"
        print(f"\r{line[:WIDTH]:<{WIDTH}}", end="", file=self._out, flush=True)

    def end(self):
        if self._bar:
            print(f"\r{'':<{WIDTH}}\r", end="", file=self._out, flush=True)
