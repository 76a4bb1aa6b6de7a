"""The models' answers to the test rows, target by target, as ``scores/predictions.parquet`` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from ..activations import THRESHOLD
from ..evaluation.predictions_file import matrix
from ..files import parsing
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from .dataset_view import Prepared


@dataclass(frozen=True)
class Told:
    """One target of N test rows: what is true, and what models say. C classes or labels."""

    head: Head
    row: np.ndarray  # (N,) positions in the prepared rows
    target: np.ndarray  # (N,) class, C where training never saw it; (N, C) labels; (N,) number in its own unit
    known: np.ndarray  # (N,) bool, rows that have this target
    said: dict[str, np.ndarray]  # model -> (N, C) probabilities, or (N,) numbers

    def answer(self, who: str) -> np.ndarray:
        """(N,) class, (N, C) bool of labels, or (N,) number."""
        said = self.said[who]
        if self.head.kind == NUMBER:
            return said
        return said.argmax(1) if self.head.kind == CLASSES else said > THRESHOLD

    def right(self, who: str) -> np.ndarray:
        """(N,) bool: the class, or every single label. Of a number nothing is right."""
        if self.head.kind == NUMBER:
            return np.zeros(len(self.row), dtype=bool)
        same = self.answer(who) == (self.target > 0 if self.head.kind == LABELS else self.target)
        return self.known & (same.all(1) if self.head.kind == LABELS else same)


def read(run: Run, prepared: Prepared, *wanted: str) -> list[Told]:
    """Every target, with the answers of those of the wanted models that are there."""
    file = run.path("scores", "predictions.parquet")
    with parsing(file):
        there = [n for n in wanted if n in pq.read_schema(file).names]
        table = pq.read_table(file, columns=["row", "target", *there])
    row, spec = np.asarray(table.column("row").combine_chunks()), prepared.spec
    targets = spec.targets(np.asarray(prepared.target[row]))
    answers = {n: spec.parts(matrix(table.column(n))) for n in there}
    return [
        Told(
            head,
            row,
            target.astype(float) * head.std + head.mean if head.kind == NUMBER else target,
            head.known(target),
            {n: a[at][1][:, 0] if head.kind == NUMBER else a[at][1] for n, a in answers.items()},
        )
        for at, (head, target) in enumerate(targets)
    ]


def of_kind(told: Sequence[Told], kind: str) -> list[Told]:
    """The targets of one kind."""
    return [t for t in told if t.head.kind == kind]
