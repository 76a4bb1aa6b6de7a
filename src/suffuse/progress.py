"""Progress with an estimate, on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from .errors import visible

Tell = Callable[[float, str], None]  # (share done in 0..1, a few words)
EVERY = 5.0  # seconds between lines where there is no terminal

quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(text: str) -> None:
    """A line of talk, on stderr; stdout is for data."""
    if not quiet.get():
        bar = "\r\x1b[2K" if sys.stderr.isatty() else ""  # a live bar may stand in this line
        sys.stderr.write(bar + visible(text) + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def progress(what: str) -> Iterator[Tell]:
    """``with progress("teach") as tell: tell(0.3, "epoch 3")`` shows share, words, time left; then the time taken."""
    line = _Line(what)
    try:
        yield line.tell
    except BaseException:
        line.end(f"{what:<9} stopped")
        raise
    line.end(f"{what:<9} done in {duration(time.monotonic() - line.start)}  {line.words}".rstrip())


class _Line:
    def __init__(self, what: str):
        self.what, self.words, self.first = what, "", 0.0
        self.start = self.shown = self.since = time.monotonic()
        self.live = sys.stderr.isatty()

    def tell(self, share: float, words: str = "") -> None:
        """Show it, if it's time to."""
        now, self.words = time.monotonic(), words or self.words
        if not self.first and share > 0:
            self.first, self.since = share, now  # what a killed attempt had done tells nothing of the speed
        if now - self.shown < (0.1 if self.live else EVERY) or share >= 1:
            return
        self.shown = now
        speed = (share - self.first) / (now - self.since) if now > self.since else 0
        left = f"about {duration((1 - share) / speed)} left" if speed > 0 and share < 1 else ""
        text = f"{self.what:<9} {share:4.0%}  {left:<20} {self.words}".rstrip()
        if quiet.get():
            return
        sys.stderr.write(f"\r\x1b[2K{visible(text)[:110]}" if self.live else visible(text) + "\n")
        sys.stderr.flush()

    def end(self, text: str) -> None:
        """The last line."""
        if self.live and not quiet.get():
            sys.stderr.write("\r\x1b[2K")
        say(text)


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
