"""A teacher over many rows, whatever it is."""

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

TOGETHER = 1024  # rows that are asked at once


def logits(teacher: Teacher, rows: np.ndarray, tell: Tell = lambda share, words: None) -> np.ndarray:
    """(N, C) float32 in the order of ``rows``; NaN where it has no answer."""
    found, done = np.empty((0, 0), dtype=np.float32), 0
    for piece in teacher.pieces(rows, TOGETHER):
        given = teacher.answer(Question(rows[piece]))["logits"]
        if not done:
            found = np.empty((len(rows), given.shape[1]), dtype=np.float32)
        found[piece] = given
        done += len(piece)
        tell(done / len(rows), f"{done:,} of {len(rows):,} rows")
    return found


FEW = "each answer may cost: it is asked about subsets of modalities where `extract.subsets` asks for them"
LOOKED_UP = "its answers are looked up, whatever modalities a row has"


@dataclass(frozen=True)
class Asked:
    """Where it abstains, the training prior answers for it."""

    teacher: Teacher
    columns: Columns
    store: Path  # the run's knowledge
    subsets: bool  # whether the recipe has it asked about subsets
    tell: Tell = lambda share, words: None
    said: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # "test": (N, C) logits of the last rows, NaN where silent

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it reads; all of the data's where it looks its answers up."""
        return tuple(n for n in self.columns.spec.names if n in self.teacher.modalities) or self.columns.spec.names

    @property
    def hindrance(self) -> str:
        """Why it can't be asked about subsets; empty where it can."""
        if not self.teacher.modalities:
            return LOOKED_UP
        return "" if self.subsets else FEW

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C); of validation rows, as the store has them."""
        held = self.columns.split[rows] == SPLITS.index("test")
        if held.all():
            self.said["test"] = logits(self.teacher, rows, lambda share, words: self.tell(0.0, words))
            return self._filled(self.said["test"])
        stored = np.asarray(stored_logits(self.store, self.columns.spec), dtype=np.float32)
        return self._filled(stored[find_keys(read_array(self.store / "key.npy"), self.columns.key[rows])])

    def under(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C): each row once for every different set of modalities that it is left with."""
        found = np.empty((*kept.shape[:2], self.columns.spec.outputs), dtype=np.float32)
        for number, keeps in enumerate(kept):
            for there in np.unique(keeps, axis=0):
                some = np.flatnonzero((keeps == there).all(1))
                seen = tuple(n for n, here in zip(self.names, there, strict=True) if here)
                found[number, some] = self._about(rows[some], seen)
        return found

    def on(self, columns: Columns, name: str, rows: np.ndarray) -> None:
        """It reads the raw rows its own way."""
        return

    def _about(self, rows: np.ndarray, seen: tuple[str, ...]) -> np.ndarray:
        if not seen:
            return self._filled(np.full((len(rows), self.columns.spec.outputs), np.nan, dtype=np.float32))
        parts = [self.teacher.answer(Question(rows[piece], seen))["logits"]
                 for piece in self.teacher.pieces(rows, TOGETHER)]  # fmt: skip
        order = np.concatenate(self.teacher.pieces(rows, TOGETHER))
        found = np.empty((len(rows), self.columns.spec.outputs), dtype=np.float32)
        found[order] = np.concatenate(parts)
        return self._filled(found)

    def _filled(self, logits: np.ndarray) -> np.ndarray:
        silent = np.isnan(logits).any(1, keepdims=True)
        return np.where(silent, np.array(self.columns.spec.log_prior, dtype=np.float32), logits)
