"""Real processes of ``suffuse serve``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Process:
    """A server, and where it listens."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def stop(self, seconds: float = 30) -> int:
        """The exit code after a polite signal."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def memory(self) -> int:
        """Bytes that it holds (resident set)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@contextlib.contextmanager
def running(log: Path, *args: object, first: str = "") -> Iterator[Process]:
    """``suffuse serve ARGS`` on a free port, ready; killed at the end. ``first``: Python to run before."""
    code = f"{first}\nimport runpy\nrunpy.run_module('suffuse', run_name='__main__')"
    command = [sys.executable, "-c", code, "serve", *map(str, args), "--port", "0"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
    try:
        yield Process(process, _ready(process, log), log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[str], log: Path, seconds: float = 60) -> str:
    """Its address, once it answers there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        found = re.search(r" at (http://\S+)", log.read_text())
        with contextlib.suppress(httpx.TransportError):
            if found and httpx.get(f"{found[1]}/v2/health/ready", timeout=5).status_code == 200:
                return found[1]
        time.sleep(0.1)
    raise AssertionError(f"not ready after {seconds} seconds: {log.read_text()}")
