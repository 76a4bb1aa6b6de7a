"""Runs that start from the same rows, teacher and store."""

from __future__ import annotations

import shutil
from pathlib import Path

from suffuse import Run


def copied(base: Run, folder: Path) -> Path:
    """The folder, made as a copy of a run's, without its searches and what was replaced; made once."""
    if not folder.exists():
        made = folder.with_name(f".{folder.name}")
        shutil.rmtree(made, ignore_errors=True)
        unwanted = shutil.ignore_patterns("tuning", "tuning.json", "tuned.json", "previous", ".partial", ".lock")
        shutil.copytree(base.folder, made, ignore=unwanted)
        made.replace(folder)
    return folder
