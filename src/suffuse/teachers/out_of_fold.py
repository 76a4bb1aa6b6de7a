"""Out-of-fold targets: each training row is answered by a network that was trained without it.

A teacher that has memorised its training rows adds little to their labels (known from stacking, Wolpert 1992). With
``teacher.folds: K`` the training rows are cut into K folds, whole groups in one fold; K networks are trained on K - 1
folds each, and each answers the fold that it wasn't trained on. All other rows are answered by the network that was
trained on all. Only logits and gates are returned: the features of different networks have nothing in common.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..run import Run
from . import Question
from .trained import Trained

FOLDS = 11  # what the random numbers are drawn for
COMPARABLE = ("logits", "gates")  # of different networks


@dataclass(frozen=True)
class OutOfFold:
    """The network that was trained on all training rows, and one for each fold of them."""

    full: Trained
    parts: tuple[Trained, ...]
    fold: np.ndarray  # (N,) int64, the part that a row belongs to; -1 where it is no training row

    @classmethod
    def open(cls, run: Run, columns: Columns, folds: int, place: Path) -> OutOfFold:
        """Open the networks that the run trained, in the folder ``place``."""
        parts = tuple(Trained.open(run, columns, place / "folds" / f"fold-{k}") for k in range(folds))
        return cls(Trained.open(run, columns, place / "teacher"), parts, fold_of(columns, folds, run.recipe.seed))

    @property
    def modalities(self) -> tuple[str, ...]:
        """All networks read the same modalities."""
        return self.full.modalities

    def fingerprint(self) -> str:
        """Hash of all networks, and of the fold of each row."""
        digest = hashlib.sha256("".join(network.fingerprint() for network in (self.full, *self.parts)).encode())
        digest.update(np.ascontiguousarray(self.fold).tobytes())
        return digest.hexdigest()

    def facts(self) -> dict:
        """Facts of one network, and the number of folds."""
        return {**self.full.facts(), "folds": len(self.parts)}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Pieces of rows that one network answers."""
        pieces = []
        for k in np.unique(self.fold[rows]):
            positions = np.flatnonzero(self.fold[rows] == k)
            pieces.extend(positions[piece] for piece in self.full.pieces(rows[positions], size))
        return pieces

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Logits, and gates where the fusion has them, of each row from the network that wasn't trained on it."""
        taps: dict[str, np.ndarray] = {}
        fold = self.fold[question.rows]
        for k in np.unique(fold):
            positions = np.flatnonzero(fold == k)
            network = self.full if k < 0 else self.parts[k]
            network_taps = network.answer(Question(question.rows[positions], question.modalities, question.view))
            for name in COMPARABLE:
                if name in network_taps:
                    tap = taps.setdefault(name, np.empty((len(fold), *network_taps[name].shape[1:]), np.float32))
                    tap[positions] = network_taps[name]
        return taps


def fold_of(columns: Columns, folds: int, seed: int) -> np.ndarray:
    """(N,) int64: the fold of each training row, -1 for all others. Rows of one group are in one fold; folds have
    nearly the same number of groups."""
    rows = columns.rows("train")
    groups, which = np.unique(columns.group[rows], return_inverse=True)
    part = np.empty(len(groups), dtype=np.int64)
    part[np.random.default_rng([seed, FOLDS]).permutation(len(groups))] = np.arange(len(groups)) % folds
    folds_of_rows = np.full(len(columns.split), -1, dtype=np.int64)
    folds_of_rows[rows] = part[which]
    return folds_of_rows
