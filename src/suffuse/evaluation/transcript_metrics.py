"""Metrics of transcripts: word error rate with its parts, and character error rate.

    WER = (S + D + I) / words of the references        word accuracy = 1 - WER, which insertions can make negative

over all rows together, as is usual (Morris et al. 2004), not the mean of the rows' rates. Words are what stands between
spaces; each Chinese or Japanese character is one. Where units are words, one that no training row has
counts as one character: its text isn't stored. Errors are counted by ``jiwer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..transcripts.error_rates import character_errors, word_errors
from ..transcripts.frame_predictions import references, texts
from ..types import Head

if TYPE_CHECKING:
    from .metrics import Draws


def transcript_metrics(head: Head, predictions: np.ndarray, target: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Probabilities (N, T V) and stored targets (N, 1 + L), of rows that all have one -> metric -> (R + 1,)."""
    true, said = references(head, target), texts(head, predictions)
    words, characters = word_errors(true, said), character_errors(true, said)
    total = draws.sums(words.reference)
    errors = _rate(draws.sums(words.errors), total)
    return {
        "word_accuracy": 1 - errors,
        "word_error_rate": errors,
        "substitutions": _rate(draws.sums(words.substitutions), total),
        "deletions": _rate(draws.sums(words.deletions), total),
        "insertions": _rate(draws.sums(words.insertions), total),
        "character_error_rate": _rate(draws.sums(characters.errors), draws.sums(characters.reference)),
        "exact_match": draws.means(np.array([a == b for a, b in zip(true, said, strict=True)], dtype=float)),
    }


def _rate(errors: np.ndarray, total: np.ndarray) -> np.ndarray:
    """NaN where a resample has no word."""
    return np.divide(errors, total, out=np.full_like(errors, np.nan), where=total > 0)
