"""What every probe is given: the test rows, the models with their answers, and how each can be asked more.

A probe is one module with ``probe(context) -> {who: fields of its scorecard}``; :mod:`suffuse.evaluation.probe_table`
lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..activations import activate
from ..data.columns import Columns
from ..progress import Tell
from ..recipe import Recipe
from ..types import Spec
from .metrics import Draws

SEED = 0  # of the costly probes' rows, of what is missing and of damage: the same for every model
NUMBERS = 2**23  # in the answers of one seed to all subsets
LEAST = 64  # rows of a costly probe
MAIN = ("teacher", "student", "baseline", "export")  # and every other exported form


class Member(Protocol):
    """One seed of a model, or one exported form: how it is asked. It reads the modalities ``names``, in order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it reads, in the order of its ``present``."""
        ...

    @property
    def hindrance(self) -> str:
        """Why it can't be asked about subsets of modalities; empty where it can."""
        ...

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C) of rows as they are."""
        ...

    def under(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C) of rows from which all is taken but what ``kept`` (K, N, M) bool says, K times."""
        ...

    def on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray | None:
        """(N, C) on columns in which modality ``name`` has other entries; None where it can't be asked so."""
        ...


@dataclass(frozen=True)
class Model:
    """A model in all its seeds; what always says the same has no members."""

    who: str
    logits: dict[str, np.ndarray]  # seed -> (N, C) on the test rows
    members: dict[str, Member] = field(default_factory=dict)
    reference: str = ""  # the seed that stands for it: of the teacher the one that was distilled
    folder: Path | None = None  # of the exported file, its own or (the teacher) beside it
    form: str | None = None  # of the exported file; None: the only one

    @property
    def hindrance(self) -> str:
        """Why it can't be asked about subsets of modalities; empty where it can."""
        return next((m.hindrance for m in self.members.values() if m.hindrance), "")

    def answers(self, spec: Spec) -> dict[str, np.ndarray]:
        """Seed -> (N, C) probabilities and numbers."""
        return {seed: activate(spec.heads, z) for seed, z in self.logits.items()}


@dataclass(frozen=True)
class Context:
    """Everything that a probe may look at. N test rows."""

    recipe: Recipe
    columns: Columns
    rows: np.ndarray  # (N,) positions of the labelled test rows
    draws: Draws
    models: dict[str, Model]
    tell: Tell = lambda share, words: None
    measured: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)  # who -> by seed, metric -> (R + 1,)
    memory: dict[Any, Any] = field(
        default_factory=dict
    )  # what probes share, see :mod:`suffuse.evaluation.modality_subsets`

    @property
    def spec(self) -> Spec:
        """Of the data."""
        return self.columns.spec

    @property
    def target(self) -> np.ndarray:
        """Of the test rows."""
        return self.columns.target[self.rows]

    @property
    def confidence(self) -> float:
        """Of the intervals."""
        return self.draws.confidence

    def main(self) -> Iterator[Model]:
        """The models that costly probes look at: those with all labels and all modalities that can be asked."""
        for who, model in self.models.items():
            if model.members and (who in MAIN or who.startswith("export-")):
                yield model

    def hidden(self) -> Iterator[Model]:
        """Those of them that can be asked about subsets of their modalities."""
        return (model for model in self.main() if not model.hindrance)

    def few(self, most: int) -> np.ndarray:
        """Positions in ``rows`` of at most so many of them, in order: the same ones whoever asks."""
        count = min(most, len(self.rows))
        order = np.random.default_rng(SEED).permutation(len(self.rows))
        return np.sort(order[:count])

    def drawn(self, where: np.ndarray) -> Draws:
        """The same resamples, of some of the rows."""
        return self.draws.of(where)
