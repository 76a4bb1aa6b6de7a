"""Leases: how processes share work, on one machine or on several with a shared folder.

A process claims a piece by creating its lease file, which only one process can. While it works, a thread touches its
lease files. A lease is dead where its process on this host is gone, or where it wasn't touched for ``STALE`` seconds by
the clock of the file system. Dead leases are taken over. Leases only save work: if two processes ever do the same
piece, each writes the same bytes, atomically.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import SuffuseError
from ..files import read_json

BEAT, STALE = 5.0, 60.0  # seconds


@dataclass
class Leases:
    """The leases in a folder, as one process sees them. Use :meth:`heartbeat` around the work."""

    folder: Path
    held: set[Path] = field(default_factory=lambda: set())
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def heartbeat(self) -> Generator[Leases]:
        """Touch the held leases inside; release all of them afterwards."""
        self.folder.mkdir(exist_ok=True)
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                self.touch()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()
            for file in list(self.held):
                self.release(file.stem)

    def claim(self, name: str) -> bool:
        """Whether this process got it; a dead lease is taken over. False where the folder is gone."""
        file = self._file(name)
        try:
            if self._create(file):
                return True
            if not self.is_dead(name):
                return False
            aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
            file.rename(aside)  # one of those who saw it dead gets it
            aside.unlink(missing_ok=True)
            return self._create(file)
        except FileNotFoundError:
            return False

    def take(self, name: str) -> None:
        """Take it from any owner: for the one process that may."""
        self._file(name).unlink(missing_ok=True)
        self.claim(name)

    def release(self, name: str) -> None:
        """Release it."""
        file = self._file(name)
        with self._guard:
            self.held.discard(file)
        file.unlink(missing_ok=True)

    def is_dead(self, name: str) -> bool:
        """Whether no live process holds it."""
        file = self._file(name)
        try:
            age = self._now() - file.stat().st_mtime
        except FileNotFoundError:
            return True
        try:
            owner = read_json(file)
        except SuffuseError:  # cut off
            owner = None
        if not isinstance(owner, dict):
            return age > STALE
        facts = cast("dict[str, Any]", owner)
        if facts["host"] == host():
            return start_time(facts["pid"]) != facts["started"]
        return age > STALE

    def touch(self) -> None:
        """One heartbeat."""
        with self._guard:
            for file in self.held:
                with contextlib.suppress(OSError):  # the folder is gone: somebody else has finished
                    os.utime(file)

    def _create(self, file: Path) -> bool:
        owner = {"host": host(), "pid": os.getpid(), "started": start_time(os.getpid())}
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(owner), encoding="utf-8")
        try:
            os.link(temporary, file)  # with its content at once; fails where the name is taken
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        with self._guard:
            self.held.add(file)
        return True

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.claim"

    def _now(self) -> float:
        """The file system's clock: hosts' own clocks may differ."""
        probe = self.folder / f".{uuid.uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def host() -> str:
    """This machine and its boot id: after a restart no process is the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


def start_time(pid: int) -> str | None:
    """When a process of this machine was started, so that a reused process number is recognised; None: it is gone."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except PermissionError:
            return "unknown"
        except OSError:
            return None
        return "unknown"  # no /proc here
    return None if facts[0] in "ZX" else facts[19]
