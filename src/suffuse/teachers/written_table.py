"""Where the table stands that a kind of teacher writes while ``teach`` runs, and reads later."""

from __future__ import annotations

from pathlib import Path

from ..errors import SuffuseError
from ..run import Run


def locate_table(run: Run, name: str, noun: str) -> tuple[Path, bool]:
    """The table of this name in ``teacher/``, and whether it is written: it is where the run's ``teach`` is done.

    Raises SuffuseError where it should be there and isn't; ``noun``: what it holds.
    """
    if run.stamp("teach") is None or run.partial("teach").exists():
        return run.partial("teach") / "teacher" / name, False
    file = run.path("teacher", name)
    if not file.is_file():
        hint = f"`suffuse run --from teach`: what `answers/` has of {noun} is used again"
        raise SuffuseError(f"the table of {noun} is gone", where=file, hint=hint)
    return file, True
