"""What a search is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..checked_json import read_checked
from ..errors import UsageError
from ..files import file_facts
from ..registry import optional
from ..run import Run
from .pareto import OBJECTIVES

STUDENT, BASELINE = "student", "baseline"  # whose settings are searched
QUALITY, SMALL = "quality", "small"
PREFER = (QUALITY, SMALL)
WROTE = "tuned.json"  # in the run: each file outside of it that a search wrote -> what it wrote there, [size, hash]


@dataclass(frozen=True)
class How:
    """How long, with how many processes, and towards what."""

    minutes: float | None = 30.0
    trials: int | None = None
    processes: int = 2
    objectives: tuple[str, ...] = OBJECTIVES
    baseline: bool = True
    prefer: str = QUALITY
    largest: float = 1.0  # times the recipe's student's size and latency
    longest: float = 2.0  # times the recipe's epochs
    seeds: int = 3  # fresh ones, for the finals
    finalists: int = 3
    scorecards: bool = True
    out: Path | None = None


def check(how: How, run: Run) -> None:
    """Raise UsageError where the search can't be as it is asked for: before anything is done, and without torch."""
    refuse(how.out, run)
    for one in how.objectives:
        if one not in OBJECTIVES:
            raise UsageError("no such objective", where="--objective", got=one, expected=", ".join(OBJECTIVES))
    if how.prefer not in PREFER:
        raise UsageError("no such preference", where="--prefer", got=how.prefer, expected=" or ".join(PREFER))
    optional("optuna", "tune")


def refuse(out: Path | None, run: Run) -> None:
    """Raise UsageError where the file is there already and isn't what a search of this run left: before a search, not
    after it."""
    if out is not None and out.exists() and not own(out, run):
        raise UsageError("the recipe is there already", where=out, hint="choose another name with --out")


def own(file: Path, run: Run) -> bool:
    """Whether a search of this run wrote the file, and nobody changed it since: the same command can come again."""
    return file.is_file() and file_facts(file) in wrote(file, run)


def wrote(file: Path, run: Run) -> list[list]:
    """Of each text that searches of this run wrote to this file: its size and hash."""
    return (read_checked(run.path(WROTE)) or {}).get(str(file.resolve()), [])
