"""A search in this process, and how little of it is enough."""

from __future__ import annotations

from collections.abc import Callable

from suffuse.tuning import reruns, trial
from suffuse.tuning.options import TuneOptions

FUNCTIONS = {"suffuse.tuning.trial:work": trial.work, "suffuse.tuning.reruns:work": reruns.work}
LITTLE = TuneOptions(None, 4, 1, seeds=2, finalists=2)


def here(function: str, jobs: list[dict], workers: int, tell: Callable[[float, str], None]) -> None:
    """In place of processes: one job after the other, in this one."""
    for number, job in enumerate(jobs):
        FUNCTIONS[function](job, lambda share, words, n=number: tell((n + share) / len(jobs), words))
