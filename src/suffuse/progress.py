"""Progress with an estimate: a live line on a terminal's stderr and in a notebook, else a line now and then."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from .errors import visible

Tell = Callable[[float, str], None]  # (share done in 0..1, a few words)
EVERY = 5.0  # seconds between lines where there is no terminal
MEASURED_SECONDS, MEASURED_SHARE = 5.0, 0.05  # what must have passed, and be done of the rest, before an estimate
APART = 1.5  # times as fast one may be as the other
SMOOTHING = 10.0  # seconds in which a shown estimate goes some two thirds of the way to a new one
MARKS = 100

quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(text: str) -> None:
    """A line of talk, on stderr; stdout is for data."""
    if not quiet.get():
        bar = "\r\x1b[2K" if sys.stderr.isatty() else ""  # a live bar may stand in this line
        sys.stderr.write(bar + visible(text) + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def progress(title: str) -> Iterator[Tell]:
    """``with progress("teach") as tell: tell(0.3, "epoch 3")`` shows share, words, time left; then the time taken."""
    line = _Line(title)
    try:
        yield line.tell
    except BaseException:
        line.end(f"{title:<9} stopped")
        raise
    line.end(f"{title:<9} done in {duration(time.monotonic() - line.start)}  {line.words}".rstrip())


class _Line:
    def __init__(self, title: str):
        self.title, self.words, self.share = title, "", 0.0
        self.start = self.shown = time.monotonic()
        self.pace, self.estimate = _Pace(), _Estimate()
        self.notebook = _notebook_line()
        self.live = sys.stderr.isatty()

    def tell(self, share: float, words: str = "") -> None:
        """Show it, if it's time to. A share below an earlier one changes no more than the words."""
        now, self.words = time.monotonic(), words or self.words
        self.share = max(self.share, share)
        if self.share > 0:
            self.pace.add(now, self.share)
        if now - self.shown < (0.1 if self.live or self.notebook else EVERY) or self.share >= 1:
            return
        self.shown = now
        seconds = self.pace.seconds_left()
        left = "" if seconds is None else f"about {duration(self.estimate.add(now, seconds))} left"
        text = f"{self.title:<9} {self.share:4.0%}  {left:<20} {self.words}".rstrip()
        if quiet.get():
            return
        if self.notebook:
            self.notebook(visible(text))
            return
        sys.stderr.write(f"\r\x1b[2K{visible(text)[:110]}" if self.live else visible(text) + "\n")
        sys.stderr.flush()

    def end(self, text: str) -> None:
        """The last line."""
        if self.live and not quiet.get():
            sys.stderr.write("\r\x1b[2K")
        if self.notebook and not quiet.get():
            self.notebook(visible(text))
            return
        say(text)


def _notebook_line() -> Callable[[str], None] | None:
    """What shows a text in one line of a notebook's cell, in place of the one before; None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if ipython is None or not hasattr(shell, "kernel"):
        return None
    handles: list[Any] = []

    def show(text: str) -> None:
        content = {"text/plain": text}
        if handles:
            handles[0].update(content, raw=True)
        else:
            handles.append(ipython.display.display(content, raw=True, display_id=True))

    return show


class _Pace:
    """How fast the share grows, and so how long the rest takes, where that can be said.

    Parts of a stage are seldom alike: a share of it that passed in a second says nothing of one that takes a minute.
    So nothing is said before some work was measured. Then the pace of the later half of the time counts, if it was
    the same in both halves of that.
    """

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []  # (seconds, share), some hundred at the most, evenly spread

    def add(self, now: float, share: float) -> None:
        """So much is done. The first mark counts as the start: what a killed attempt had done took no time here."""
        if len(self.marks) > 1 and now - self.marks[-2][0] < (now - self.marks[0][0]) / MARKS:
            self.marks[-1] = (now, share)
        else:
            self.marks.append((now, share))
        if len(self.marks) > 4 * MARKS:
            self.marks[1:-1] = self.marks[1:-1:2]

    def seconds_left(self) -> float | None:
        """Seconds; None where they can't be told yet."""
        if not self.marks:
            return None
        (start, first), (now, share) = self.marks[0], self.marks[-1]
        if now - start < MEASURED_SECONDS or share - first < MEASURED_SHARE * (1 - first):
            return None
        middle, late = (self._share(now - part * (now - start)) for part in (0.5, 0.25))
        before, after = late - middle, share - late
        if not 0 < before / APART <= after <= before * APART:
            return None
        return (1 - share) * (now - start) / 2 / (share - middle)

    def _share(self, when: float) -> float:
        """What was done at some time, between two marks in proportion."""
        place = min(bisect_left(self.marks, (when, 0.0)), len(self.marks) - 1)
        (then, low), (later, high) = self.marks[max(place - 1, 0)], self.marks[place]
        return high if later <= then else low + (high - low) * (when - then) / (later - then)


class _Estimate:
    """The estimate that is shown: it runs down with the clock, and moves to each new one by an exponential moving
    average over time, so a part that is slower than those before it makes no jump."""

    def __init__(self) -> None:
        self.when = self.seconds = -1.0

    def add(self, now: float, seconds: float) -> float:
        """A new estimate -> the one to show. The first is shown as it is."""
        if self.seconds >= 0:
            passed = now - self.when
            expected = max(self.seconds - passed, 0.0)
            seconds = expected + (1 - math.exp(-passed / SMOOTHING)) * (seconds - expected)
        self.when, self.seconds = now, seconds
        return seconds


def duration(seconds: float) -> str:
    """``7 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
