"""Which of several seeds is exported, or teaches. Nothing here loads torch: a finished run is shown without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..files import read_json

SUBSETS = "subsets"  # of a validation's numbers: the main metric's mean over the subsets of the modalities
LATE = 4  # the last one in so many epochs: their mean validation compares seeds


def selection_score(scores: Mapping[str, float]) -> float:
    """The score of a validation that selects epochs and seeds; higher is better."""
    return scores.get(SUBSETS, next(iter(scores.values())))


def late_validation(scores: list[dict[str, float]]) -> dict[str, float]:
    """The mean of the validation scores of a training's last quarter. The best epoch's score is the largest of many,
    and partly luck; this one isn't chosen."""
    late = scores[-max(len(scores) // LATE, 1) :]
    return {key: sum(score[key] for score in late) / len(late) for key in late[0]}


def best_seed(folder: Path) -> str:
    """The seed whose late epochs were best on validation (:func:`late_validation`); the lower log loss decides ties."""
    facts = {p.parent.name: read_json(p) for p in sorted(folder.glob("seed-*/training.json"))}
    validation = {seed: own.get("late_validation") or own["validation"] for seed, own in facts.items()}
    return max(validation, key=lambda seed: (selection_score(validation[seed]), -validation[seed]["log_loss"]))
