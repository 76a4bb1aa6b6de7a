"""Queries a teacher of any kind about many rows, for ``teach`` and, as :class:`ProbeTeacher`, for the probes of
``evaluate``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data.columns import SPLITS, Columns
from ..files import read_array
from ..knowledge.row_reuse import find_keys
from ..knowledge.teacher_logits import stored_logits
from ..progress import Tell
from . import Question, Teacher

BATCH = 1024  # rows that are asked at once


def logits(
    teacher: Teacher,
    rows: np.ndarray,
    tell: Tell = lambda share, words: None,
    names: tuple[str, ...] | None = None,
) -> np.ndarray:
    """(N, C) float32 in the order of ``rows``; NaN where the teacher abstains. ``names``: the modalities that it may
    read; None: whatever a row has."""
    all_logits, done = np.empty((0, 0), dtype=np.float32), 0
    for piece in teacher.pieces(rows, BATCH):
        piece_logits = teacher.answer(Question(rows[piece], names))["logits"]
        if not done:
            all_logits = np.empty((len(rows), piece_logits.shape[1]), dtype=np.float32)
        all_logits[piece] = piece_logits
        done += len(piece)
        tell(done / len(rows), f"{done:,} of {len(rows):,} rows")
    return all_logits


FEW = "each answer may cost: it is asked about subsets of modalities where `extract.subsets` asks for them"
LOOKED_UP = "its answers are looked up, whatever modalities a row has"


@dataclass(frozen=True)
class ProbeTeacher:
    """An external teacher as probes use it (:class:`suffuse.evaluation.context.Member`).

    Each query may cost, so each test row is queried once. Subsets of modalities are queried only where the recipe's
    store has them too (``extract.subsets``), and validation rows never: their logits are stored. Where the teacher
    abstains the training prior replaces its logits.
    """

    teacher: Teacher
    columns: Columns
    store: Path  # the run's knowledge
    subsets: bool  # whether the recipe has it asked about subsets
    tell: Tell = lambda share, words: None
    outputs: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # "test": (N, C) logits of the last rows, NaN where silent

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it reads; all of the data's where it looks its outputs up."""
        return tuple(n for n in self.columns.spec.names if n in self.teacher.modalities) or self.columns.spec.names

    @property
    def limitation(self) -> str:
        """Why subsets can't be queried; empty where they can."""
        if not self.teacher.modalities:
            return LOOKED_UP
        return "" if self.subsets else FEW

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C); of validation rows from the store."""
        held = self.columns.split[rows] == SPLITS.index("test")
        if held.all():
            self.outputs["test"] = logits(self.teacher, rows, lambda share, words: self.tell(0.0, words))
            return self._with_prior(self.outputs["test"])
        stored = np.asarray(stored_logits(self.store, self.columns.spec), dtype=np.float32)
        return self._with_prior(stored[find_keys(read_array(self.store / "key.npy"), self.columns.key[rows])])

    def masked_logits(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C): each row is queried once for every distinct set of kept modalities."""
        logits = np.empty((*kept.shape[:2], self.columns.spec.outputs), dtype=np.float32)
        for number, masks in enumerate(kept):
            for mask in np.unique(masks, axis=0):
                positions = np.flatnonzero((masks == mask).all(1))
                names = tuple(n for n, is_kept in zip(self.names, mask, strict=True) if is_kept)
                logits[number, positions] = self._query(rows[positions], names)
        return logits

    def logits_on(self, columns: Columns, name: str, rows: np.ndarray) -> None:
        """Nothing to do: it reads the raw rows by itself."""
        return

    def _query(self, rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        if not names:
            return self._with_prior(np.full((len(rows), self.columns.spec.outputs), np.nan, dtype=np.float32))
        return self._with_prior(logits(self.teacher, rows, names=names))

    def _with_prior(self, logits: np.ndarray) -> np.ndarray:
        silent = np.isnan(logits).any(1, keepdims=True)
        return np.where(silent, np.array(self.columns.spec.log_prior, dtype=np.float32), logits)
