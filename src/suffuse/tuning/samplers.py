"""Samplers, which answer the questions of a search space value by value, and the context that a space depends on.

A sampler is asked for a value by name, together with the recipe's current value. The context holds the recipe, the
kinds of its targets, and what the store holds of the teacher.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import fusions
from ..data.columns import Columns
from ..engine.student_training import open_knowledge
from ..losses import compatibility
from ..model import FusionModel
from ..recipe import Recipe, sequence_targets
from ..run import Run
from ..types import CLASSES, Spec

LOGITS = "logits"  # tap of the store
Narrow = Mapping[str, Sequence[Any]]  # name -> [low, high] of a number, or the remaining options


class Sampler(Protocol):
    """One point of a search space, asked for value by value."""

    def choice(self, name: str, options: Sequence[Any], current: Any) -> Any:
        """One of the options."""
        ...

    def real(self, name: str, low: float, high: float, current: float, log: bool = False) -> float:
        """A number from ``low`` to ``high``."""
        ...


class FixedSampler:
    """Fixed values by name; for other names the recipe's value, or the nearest option. Keeps all in ``values``."""

    def __init__(self, fixed: Mapping[str, Any] | None = None):
        self.fixed, self.values = dict(fixed or {}), {}

    def choice(self, name: str, options: Sequence[Any], current: Any) -> Any:
        """The fixed value, or the number nearest to it; otherwise ``current``, or what is nearest to that."""
        value = self.fixed.get(name, current)
        if value not in options and not _is_number(value) and current in options:
            value = current  # e.g. a kind of augmentation that isn't an option: the recipe's stays
        self.values[name] = value if value in options else _nearest(value, options)
        return self.values[name]

    def real(self, name: str, low: float, high: float, current: float, log: bool = False) -> float:
        """The fixed value, otherwise ``current``, within the bounds."""
        self.values[name] = float(min(max(self.fixed.get(name, current), low), high))
        return self.values[name]


class RandomSampler:
    """Random values; with probability ``keep`` a value stays the recipe's, so that a point is its neighbour."""

    def __init__(self, random: np.random.Generator, keep: float = 0.0):
        self.random, self.keep, self.values = random, keep, {}

    def choice(self, name: str, options: Sequence[Any], current: Any) -> Any:
        """Any option, all equally likely."""
        drawn = options[int(self.random.integers(len(options)))]
        kept = self.random.random() < self.keep
        self.values[name] = (current if current in options else _nearest(current, options)) if kept else drawn
        return self.values[name]

    def real(self, name: str, low: float, high: float, current: float, log: bool = False) -> float:
        """Uniform, or uniform in the logarithm."""
        bounds = (math.log(low), math.log(high)) if log else (low, high)
        drawn, kept = self.random.uniform(*bounds), self.random.random() < self.keep
        drawn = min(max(math.exp(drawn) if log else drawn, low), high)
        self.values[name] = float(min(max(current, low), high) if kept else drawn)
        return self.values[name]


class OptunaSampler:
    """Optuna's trial, within narrower bounds where heuristics suggest them; the current value is never excluded."""

    def __init__(self, trial: Any, narrow: Narrow):
        self.trial, self.narrow = trial, narrow

    def choice(self, name: str, options: Sequence[Any], current: Any) -> Any:
        """A categorical parameter."""
        allowed = self.narrow.get(name)
        kept = [option for option in options if allowed is None or option in allowed or option == current]
        return self.trial.suggest_categorical(name, kept)

    def real(self, name: str, low: float, high: float, current: float, log: bool = False) -> float:
        """A float parameter."""
        narrow_low, narrow_high = self.narrow.get(name, (low, high))
        current = min(max(current, low), high)
        low, high = max(low, min(narrow_low, current)), min(high, max(narrow_high, current))
        return self.trial.suggest_float(name, low, high, log=log)


def _nearest(value: Any, options: Sequence[Any]) -> Any:
    """The option nearest to a number; the first one for anything else."""
    numbers = [option for option in options if _is_number(option)]
    if _is_number(value) and numbers:
        return min(numbers, key=lambda option: abs(option - value))
    return options[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class SearchContext:
    """The unchanged recipe, and what is known of its data and its store."""

    recipe: Recipe
    heads: tuple[tuple[str, int], ...]  # kind of each target, and how many classes
    taps: dict[str, int]  # what the store holds of the teacher -> its width
    teacher: int | None  # its parameters, where the run trained it: a student must have fewer
    max_epochs: float = 2.0  # times the recipe's epochs that a training may take

    @classmethod
    def of(cls, run: Run, max_epochs: float = 2.0) -> SearchContext:
        """Of a run with a store."""
        columns = Columns.open(run.path("data"))
        knowledge, trained = open_knowledge(run, columns), run.recipe.trained
        size = FusionModel(trained.bare(), columns.of(trained.encoders).spec).size() if trained else None
        return cls(run.recipe, target_kinds(columns.spec), knowledge.widths(), size, max_epochs)

    @property
    def names(self) -> tuple[str, ...]:
        """The student's modalities."""
        return tuple(self.recipe.student.encoders)

    def frozen(self, name: str) -> bool:
        """Whether the student's encoder of a modality is frozen, and so never sees augmented rows."""
        return bool(self.recipe.student.encoders[name].get("frozen", False))

    @property
    def by_subsets(self) -> bool:
        """Whether candidates are compared by their mean score over subsets of the modalities."""
        return self.recipe.distill.train.by_subsets and len(self.names) > 1

    @property
    def headless(self) -> bool:
        """Whether the student's fusion returns logits itself."""
        return fusions.headless(self.recipe.student.fusion)

    @property
    def shared(self) -> tuple[str, ...]:
        """Modalities of which both student and store have features."""
        return tuple(name for name in self.names if name in self.taps)

    @property
    def classes(self) -> bool:
        """Whether some target is one of several classes."""
        return any(kind == CLASSES for kind, _ in self.heads)

    def place(self, modality_dropout: bool, gates: bool) -> compatibility.Place:
        """Where a loss would be used."""
        has_times = sequence_targets.has_times(self.recipe.teacher)
        return compatibility.Place(self.heads, self.recipe.distill.train.batch, modality_dropout, gates, has_times)


def target_kinds(spec: Spec) -> tuple[tuple[str, int], ...]:
    """Kind of each target, and how many classes."""
    return tuple((head.kind, len(head.classes)) for head in spec.heads)
