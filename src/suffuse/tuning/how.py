"""What a search is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .front import OBJECTIVES

STUDENT, BASELINE = "student", "baseline"  # whose settings are searched
QUALITY, SMALL = "quality", "small"
PREFER = (QUALITY, SMALL)


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
