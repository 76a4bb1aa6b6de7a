"""A lock on an open file, which the operating system gives up when the process ends, however it ends."""

from __future__ import annotations

import sys
from typing import IO, Any

from .errors import SuffuseError


def lock(file: IO[Any] | int, where: object, wait: bool = False) -> None:
    """Lock an open file, or a descriptor of one, for this process, until it is closed. ``where`` is named in errors.

    Raises BlockingIOError where another process has the lock, unless ``wait``; SuffuseError on a system without such
    locks (Windows). The module ``fcntl`` is imported here, so that what writes no files works there.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        raise SuffuseError(
            "can't lock files on this system",
            where=where,
            got=f"{sys.platform} without fcntl",
            expected="Linux, macOS or WSL",
            hint="from Python, suffuse.Predictor needs no locks",
        ) from None
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
