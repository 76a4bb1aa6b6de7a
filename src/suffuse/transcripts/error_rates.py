"""Errors of transcripts: substitutions, deletions and insertions of words and of characters, counted by jiwer.

A reference's words are turned into the hypothesis's with as few changes as possible (Levenshtein 1966). The word error
rate is (substitutions + deletions + insertions) / words of the references, summed over all rows before it is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import optional
from .units import normalise, tokens_of

EQUAL, SUBSTITUTED, DELETED, INSERTED = KINDS = "equal", "substituted", "deleted", "inserted"
_NAMES = {"equal": EQUAL, "substitute": SUBSTITUTED, "delete": DELETED, "insert": INSERTED}  # jiwer's
_BATCH = 1024  # rows that jiwer is given at once: it numbers their different words as code points


@dataclass(frozen=True)
class ErrorCounts:
    """(N,) int64 each: errors of every row."""

    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    reference: np.ndarray  # how many words, or characters, the reference has

    @property
    def errors(self) -> np.ndarray:
        """(N,) all errors of each row."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors of all rows by words of all references; NaN where these have none."""
        total = int(self.reference.sum())
        return float(self.errors.sum() / total) if total else float("nan")


@dataclass(frozen=True, slots=True)
class Step:
    """A run of words, or characters, in an alignment."""

    kind: str  # one of KINDS
    reference: tuple[str, ...]  # empty where inserted
    hypothesis: tuple[str, ...]  # empty where deleted; of substitutions as many as in the reference


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """N texts each -> the errors of words, as :func:`suffuse.transcripts.units.tokens_of` has them; case counts."""
    return _counts(word_alignments(references, hypotheses))


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """N texts each -> the errors of characters of the normalised texts; spaces and case count."""
    return _counts(character_alignments(references, hypotheses))


def word_alignments(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[Step]]:
    """N texts each -> how each reference becomes its hypothesis, word by word."""
    return _alignments(references, hypotheses, tokens_of)


def character_alignments(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[Step]]:
    """N texts each -> how each reference becomes its hypothesis, character by character."""
    return _alignments(references, hypotheses, lambda text: list(normalise(text)))


def _alignments(
    references: Sequence[str], hypotheses: Sequence[str], cut: Callable[[str], list[str]]
) -> list[list[Step]]:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
    jiwer, alignments = optional("jiwer", "train"), []
    for start in range(0, len(references), _BATCH):
        pairs = zip(references[start : start + _BATCH], hypotheses[start : start + _BATCH], strict=True)
        alignments += _aligned(jiwer, [(cut(reference), cut(hypothesis)) for reference, hypothesis in pairs])
    return alignments


def _aligned(jiwer: Any, pairs: list[tuple[list[str], list[str]]]) -> list[list[Step]]:
    """Token lists in pairs -> their alignments. A reference without a token, which jiwer 3 refuses, has insertions
    alone."""
    # tokens stand as numbers, so that no transform of jiwer's changes them or cuts them again
    numbers: dict[str, str] = {}
    asked = [pair for pair in pairs if pair[0]]
    for tokens in (tokens for pair in asked for tokens in pair):
        for token in tokens:
            numbers.setdefault(token, str(len(numbers)))
    texts = [[" ".join(numbers[token] for token in pair[side]) for pair in asked] for side in (0, 1)]
    split = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])
    found = iter(jiwer.process_words(*texts, split, split).alignments if asked else ())
    return [_steps(next(found), *pair) if pair[0] else _inserted(pair[1]) for pair in pairs]


def _steps(chunks: Any, reference: list[str], hypothesis: list[str]) -> list[Step]:
    return [
        Step(
            _NAMES[chunk.type],
            tuple(reference[chunk.ref_start_idx : chunk.ref_end_idx]),
            tuple(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    ]


def _inserted(hypothesis: list[str]) -> list[Step]:
    return [Step(INSERTED, (), tuple(hypothesis))] if hypothesis else []


def _counts(alignments: list[list[Step]]) -> ErrorCounts:
    def total(row: list[Step], kind: str) -> int:
        return sum(max(len(step.reference), len(step.hypothesis)) for step in row if step.kind == kind)

    counts = {kind: np.array([total(row, kind) for row in alignments], dtype=np.int64) for kind in KINDS}
    reference = counts[EQUAL] + counts[SUBSTITUTED] + counts[DELETED]
    return ErrorCounts(counts[SUBSTITUTED], counts[DELETED], counts[INSERTED], reference)
