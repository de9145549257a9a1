"""How far a long piece of work is: a bar on a terminal; elsewhere, as in a log, a plain line now and then."""

import sys
import time
from typing import Any

PROGRESS_S = 10.0


class Progress:
    """Counts what is done of `total`, and says so on standard error. Work of less than PROGRESS_S leaves no line."""

    def __init__(self, name: str, total: int, unit: str):
        """A line reads `<name>: 5 of 40 <unit>, 2.5/s, 14 s left`."""
        self.name, self.total, self.unit = name, total, unit
        self.done = self._known = 0
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=name, unit=f" {unit}", leave=False, dynamic_ncols=True, smoothing=0)

    def known(self, n: int) -> None:
        """So many were done before, by a run that was killed for one: they say nothing of the rate."""
        self._known += n
        if self._bar is not None:
            self._bar.initial += n
        self._count(n, "")

    def add(self, n: int = 1, note: str = "") -> None:
        """So many more are done; `note` is what else there is to say by now."""
        self._count(n, note)

    def _count(self, n: int, note: str) -> None:
        self.done += n
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)
            if self.done >= self.total:
                self._bar.close()
            return
        now = time.monotonic()
        if now - self._told > PROGRESS_S:
            self._told = now
            print(self.line(now - self._began, note), file=sys.stderr, flush=True)

    def line(self, seconds: float, note: str = "") -> str:
        """One line: what is done after so many seconds of work, rate, time left, and the note."""
        made = self.done - self._known
        pace = f", {told_rate(made / seconds)}, {span((self.total - self.done) * seconds / made)} left" if made else ""
        return f"{self.name}: {self.done} of {self.total} {self.unit}{pace}{note and f', {note}'}"


def told_rate(rate: float) -> str:
    """A rate a second; below one, the time that each takes."""
    return f"{rate:.1f}/s" if rate >= 0.95 else f"{span(1 / rate)} each"


def span(seconds: float) -> str:
    """A time to read, in the unit that suits it: 0.4 s, 45 s, 12 min, 3.5 h, 4.2 days."""
    seconds = max(0.0, seconds)
    if seconds < 99.5:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 5970:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
