"""Install PyTorch without GPU kernels into this environment, where the index has such a build and the machine no GPU.

    python tools/install_torch.py

The usual Linux build brings 4 GB of CUDA libraries. Without a build that fits, nothing is installed: the usual one
comes with suffuse's extras then. A PyTorch that is there already stays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
BUILD = re.compile(r"\b(\d+)\.(\d+)\.(\d+)\+cpu\b")


def newest_build(listed: str) -> str | None:
    """The newest version without GPU kernels among those that `pip index versions` lists."""
    found = [tuple(map(int, parts)) for parts in BUILD.findall(listed)]
    return ".".join(map(str, max(found))) + "+cpu" if found else None


def requirement(project: Path) -> str:
    """What the extra `train` asks of PyTorch."""
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return next(one for one in extras["train"] if re.match(r"torch\b(?!-)", one))


def main() -> int:
    """Install it, or say why not."""
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        return 0
    try:
        metadata.version("torch")
    except metadata.PackageNotFoundError:
        pass
    else:
        return 0
    listed = subprocess.run([*PIP, "index", "versions", "torch"], capture_output=True, text=True)
    build = newest_build(listed.stdout)
    wanted = requirement(Path(__file__).parents[1] / "pyproject.toml")
    if build and not subprocess.run([*PIP, "install", "--quiet", f"torch=={build}", wanted]).returncode:
        print(f"torch {build}: without GPU kernels")
    else:
        print("torch: the index has no build without GPU kernels that fits, the usual one is installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
