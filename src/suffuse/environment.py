"""The machine and the versions: what else than recipe and data decides a run's numbers. Loads no package."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from . import __version__

READERS = {"image": ("Pillow",), "audio": ("soundfile", "soxr"), "text": ("tokenizers",)}  # of a kind's raw entries
PACKAGES = ("torch", "numpy", "pyarrow", "Pillow", "tokenizers", "onnx", "onnxscript", "onnxruntime", "safetensors")


def surroundings(seed: int) -> dict[str, Any]:
    """What else than recipe and data decides a run's numbers: seed, versions, machine. Loads none of the packages."""
    return {
        "seed": seed,
        "suffuse": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _versions(PACKAGES),
        "hardware": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def readers(kinds: Iterable[str]) -> dict[str, str]:
    """The libraries that read entries of these kinds, with their versions: another one may decode other numbers."""
    return _versions(dict.fromkeys(name for kind in kinds for name in READERS.get(kind, ())))


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Of those that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _commit() -> str | None:
    """The commit of the checkout that this code is run from; ``+`` behind it where something was changed since."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        said = [
            subprocess.run(["git", "-C", checkout, *command], capture_output=True, text=True, check=True).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + ("+" if said[1] else "")


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
