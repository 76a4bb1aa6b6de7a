"""Batches of a training's rows: their order in every pass is made from a seed and the number of the pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_TOGETHER = 16  # rows of one content side by side: more would make batches of one kind


@dataclass(frozen=True)
class Sampler:
    """(seed, step) -> rows, without state: the order of a pass is made from the seed and its number.

    Rows that share a picture stay together (16 at most), so that it is encoded once; pictures, and the rows of each,
    are shuffled again in every pass.
    """

    rows: np.ndarray  # (N,) positions to draw from
    together: np.ndarray  # (N,) equal where rows stay together
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches in one pass."""
        return -(-len(self.rows) // self.batch)

    def drawn(self, step: int) -> int:
        """How many rows the batches before batch number ``step`` have."""
        passes, number = divmod(step, self.steps)
        return passes * len(self.rows) + number * self.batch

    def order(self, epoch: int) -> np.ndarray:
        """All rows, in the order of this pass."""
        random = np.random.default_rng([self.seed, epoch])
        _, which = np.unique(self.together, return_inverse=True)
        shuffled = random.permutation(len(which))
        rows = shuffled[np.argsort(which[shuffled], kind="stable")]  # by picture, shuffled within
        new = np.diff(which[rows], prepend=-1) != 0
        rank = np.arange(len(rows)) - np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        piece = np.cumsum(rank % MAX_TOGETHER == 0) - 1
        place = random.permutation(piece[-1] + 1)[piece]
        return self.rows[rows[np.argsort(place, kind="stable")]]
