"""A teacher over many rows, whatever it is."""

from __future__ import annotations

import numpy as np

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
