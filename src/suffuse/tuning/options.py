"""Options of a search, and its time budget: trials end early enough for the reruns after them.

The best trials and the unchanged recipe are trained again with several seeds. How long that takes is known from the
search itself and differs between searches: the longest trainings are often the best. So trials end early enough for
reruns of the recipe and of the best trial, and a trial that would end too late for its own reruns isn't finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
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
OUTPUTS_FILE = "tuned.json"  # in the run: each file outside of it that a search wrote -> [size, hash] of each text
SLACK = 1.05  # factor of an estimate: processes have to start, columns to be opened
MIN_SHARE = 0.1  # share of a training from which its length is estimated


@dataclass(frozen=True)
class TuneOptions:
    """How long to search, with how many processes, and for what."""

    minutes: float | None = 30.0
    trials: int | None = None
    processes: int = 2
    objectives: tuple[str, ...] = OBJECTIVES
    baseline: bool = True
    prefer: str = QUALITY
    max_cost: float = 1.0  # times the size and latency of the recipe's student
    max_epochs: float = 2.0  # times the recipe's epochs
    seeds: int = 3  # fresh ones, of the reruns
    finalists: int = 3
    scorecards: bool = True
    out: Path | None = None


def check(options: TuneOptions, run: Run) -> None:
    """Raise UsageError where a search with these options is impossible, before anything is done and without torch."""
    check_output(options.out, run)
    for objective in options.objectives:
        if objective not in OBJECTIVES:
            raise UsageError("no such objective", where="--objective", got=objective, expected=", ".join(OBJECTIVES))
    if options.prefer not in PREFER:
        raise UsageError("no such preference", where="--prefer", got=options.prefer, expected=" or ".join(PREFER))
    optional("optuna", "tune")


def check_output(out: Path | None, run: Run) -> None:
    """Raise UsageError where the file exists and isn't the unchanged output of a search of this run."""
    if out is not None and out.exists() and not (out.is_file() and file_facts(out) in own_outputs(out, run)):
        raise UsageError("the recipe is there already", where=out, hint="choose another name with --out")


def own_outputs(file: Path, run: Run) -> list[list]:
    """Size and hash of each text that searches of this run wrote to this file."""
    return (read_checked(run.path(OUTPUTS_FILE)) or {}).get(str(file.resolve()), [])


@dataclass(frozen=True)
class Budget:
    """``deadline``: time.time() at which trials end; ``end``: at which their reruns end, with ``seeds`` seeds each, and
    ``workers`` at a time."""

    deadline: float
    end: float
    seeds: int
    workers: int

    def rerun_seconds(self, seconds: Sequence[float]) -> float:
        """Duration of the reruns of candidates whose trainings take ``seconds`` each."""
        return SLACK * makespan([duration for duration in seconds for _ in range(self.seeds)], self.workers)

    def until(self, own: float | None, best: float | None) -> float:
        """When trials end, where the unchanged recipe took ``own`` and the best trial ``best`` seconds; None: there is
        none yet."""
        if own is None or best is None:
            return self.deadline
        return min(self.deadline, self.end - self.rerun_seconds([own, best]))

    def fits(self, own: float, share: float, seconds: float, now: float) -> bool:
        """Whether a trial, of which ``share`` took ``seconds``, ends early enough for its own reruns."""
        if share < MIN_SHARE:
            return True
        total = seconds / share
        return now + total - seconds + self.rerun_seconds([own, total]) <= self.end


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Duration of jobs of these lengths, the longest first, each on the worker that is free first (Graham 1969)."""
    free = [0.0] * max(workers, 1)
    for duration in sorted(seconds, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)
