"""The line that ends every verb: the command that follows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..progress import say
from ..stages import STAGES

if TYPE_CHECKING:
    from ..run import Run

NEW_ROWS = "NEW-ROWS.csv"  # stands for a table of the user's
LEAST_COST = 0.05  # of `suffuse tune --max-cost`


def say_next(step: str) -> None:
    """``next: COMMAND``, on stderr. What a shell must not read stands behind a ``#``."""
    say(f"next: {step}")


def quoted(path: Path | str) -> str:
    """A path as a shell takes it, from here where it lies below."""
    path, here = Path(path), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path))


def arguments(where: Path, overrides: Sequence[str] | None = None, out: Path | None = None) -> str:
    """The recipe or run, and the options that decide which run it is, as a shell takes them."""
    sets = [f"--set {shlex.quote(text)}" for text in overrides or ()]
    return " ".join([quoted(where), *sets, *([f"--out {quoted(out)}"] if out else [])])


def after_run(run: Run) -> str:
    """Predict where the student is ready; else what is likely to help."""
    from ..evaluation.readiness import CHANCE, FLOOR, KEEP, MISSED, SKIPPED
    from ..report.readiness_text import readiness

    verdict = readiness(run)
    if verdict is None:
        return f"open {quoted(run.path('report.html'))}"
    if verdict.ready:
        return f"suffuse predict {quoted(run.path('export'))} {NEW_ROWS} -o predictions.csv"
    failed = {reason["check"]: reason for reason in verdict.facts["reasons"] if reason["state"] == MISSED}
    if any(check in failed for check in (KEEP, CHANCE, FLOOR)):
        return f"suffuse tune {quoted(run.folder)}  # searches for a better student; more labelled rows may help too"
    if failed:
        cost = min(reason["wanted"] / reason["measured"] for reason in failed.values())
        return f"suffuse tune {quoted(run.folder)} --prefer small --max-cost {max(cost, LEAST_COST):.2f}"
    unknown = [r["check"] for r in verdict.facts["reasons"] if r["state"] not in (SKIPPED, "met")]
    if "export" in unknown:
        return f"suffuse run {quoted(run.folder)} --from export"
    return f"suffuse run {quoted(run.folder)} --set evaluate.probes=all  # measures what the goal needs"


def after_stage(verb: str, same_run: str, run: Run) -> str:
    """The stage that follows, with the :func:`arguments` of this one; after the last one what follows a run."""
    verbs = list(STAGES)
    following = verbs[verbs.index(verb) + 1 :]
    return f"suffuse {following[0]} {same_run}" if following else after_run(run)
