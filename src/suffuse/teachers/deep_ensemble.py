"""The trained teacher's seeds as one teacher: the mean of their probabilities (Lakshminarayanan, Pritzel and Blundell
2017, deep ensembles; of numbers the mean), which is mostly right more often than each, and less sure where they differ.

Only the logits are those of all: features, gates and maps of different networks have nothing in common, so that they
are those of the one seed that was best on validation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..data.columns import Columns
from ..engine.training_record import best_seed
from ..run import Run
from ..types import Head
from . import Question
from .ensemble import combine
from .trained import Trained


@dataclass(frozen=True)
class DeepEnsemble:
    """All seeds; one of them was best on validation."""

    members: tuple[Trained, ...]
    best: int  # its place among them
    heads: tuple[Head, ...]

    @classmethod
    def open(cls, run: Run, columns: Columns) -> DeepEnsemble:
        """The teachers that the run trained."""
        folder = run.path("teachers")
        seeds = sorted(place.name for place in folder.glob("seed-*"))
        members = tuple(Trained.open(run, columns, "teachers", seed) for seed in seeds)
        return cls(members, seeds.index(best_seed(folder)), columns.spec.heads)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All seeds read the same."""
        return self.members[self.best].modalities

    def fingerprint(self) -> str:
        """Hash of all networks, and of which was best."""
        said = [str(self.best), *(one.fingerprint() for one in self.members)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def facts(self) -> dict:
        """The size of one network, and how many there are."""
        return {**self.members[self.best].facts(), "seeds": len(self.members)}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Those of one network: all read the same."""
        return self.members[self.best].pieces(rows, size)

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """The logits of all, log-probabilities of classes; everything else of the best."""
        answers = [one.answer(question) for one in self.members]
        logits = combine(self.heads, [one["logits"] for one in answers], "mean")
        return {**answers[self.best], "logits": logits}
