"""What a student's training reads of the store: the view that it sees itself, and the subset that it is left with.

A student sees view ``n mod V`` in pass n, with the draws of the store's own seed
(:attr:`suffuse.data.training_views.Viewer.stored`). Which modalities it loses is its own matter, drawn again in every
pass: by default a row that lost one still learns the teacher's answer to all that the row has; ``distill.targets:
seen`` asks for the answer without what was lost, where the store has that subset, else for the full one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..activations import in_units
from ..data.columns import Columns
from ..types import Batch, Head
from .store import Knowledge


@dataclass(frozen=True)
class Reader:
    """A training's way into the store. M_t modalities of the teacher, M_s of the student, S subsets."""

    knowledge: Knowledge
    needs: tuple[str, ...]
    views: int
    seen: bool
    had: Tensor  # (N,) int64, bit m: the row has the teacher's modality m
    bits: Tensor  # (M_s,) int64, the teacher's bit of each of the student's modalities; 0 where it doesn't read it
    shown: Tensor  # (S, 1) int64, the bits of each stored subset, the full one first
    units: tuple[Sequence[Head], Sequence[Head]] | None = None  # how numbers are standardised: stored, and wanted

    @classmethod
    def of(
        cls, knowledge: Knowledge, columns: Columns, student: tuple[Sequence[str], Sequence[str]], seen: bool
    ) -> Reader:
        """For a student of these modalities, whose losses need these taps; ``columns`` have all modalities."""
        names, needs = student
        made = knowledge.manifest["fingerprint"]
        bit = {name: 1 << m for m, name in enumerate(made["modalities"])}
        had = np.zeros(len(columns.key), dtype=np.int64)
        for m, name in enumerate(columns.spec.names):
            had |= columns.present[:, m] * np.int64(bit.get(name, 0))
        subsets = [sum(bit[n] for n in b.subset) for b in knowledge.blocks if b.view is None]
        return cls(
            knowledge,
            tuple(needs),
            made["views"]["count"],
            seen and len(subsets) > 1,
            torch.from_numpy(had),
            torch.tensor([bit.get(name, 0) for name in names]),
            torch.tensor(subsets)[:, None],
        )

    def gather(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        """The teacher's arrays for a batch of pass ``turn``; numbers in the student's units."""
        found = self._stored(batch, turn)
        if self.units and "logits" in found:
            found = {**found, "logits": in_units(found["logits"], *self.units)}
        return found

    def _stored(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        view = turn % self.views + 1 if self.views else 0  # of a subset the first block is: rows as prepared
        if not self.seen or batch.complete:
            return self.knowledge.gather(batch.rows, self.needs, view)
        return self.knowledge.mixed(batch.rows, self.needs, self.subset(batch) * (self.views + 1) + view)

    def subset(self, batch: Batch) -> Tensor:
        """(B,) which stored subset shows the teacher what a row's student sees, and what only the teacher reads; 0, the
        full one, where none does or nothing is left."""
        had = self.had.index_select(0, batch.rows)
        lost = had & ((~batch.present).long() * self.bits).sum(1)
        left = had & ~lost
        fits = (had & self.shown) == left  # (S, B)
        return torch.where(fits.any(0) & (left != 0), fits.int().argmax(0), 0)
