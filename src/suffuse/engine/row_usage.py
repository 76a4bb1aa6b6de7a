"""Which rows a training uses: recorded where it reads them, so that an audit need not trust the recipe.

    labels         rows whose label stood in a batch that was trained on
    epoch          rows whose label a validation read: these choose the epoch
    standardised   rows from which the vectors of frozen encoders are standardised

What is recorded is what :meth:`suffuse.data.columns.Columns.batch` returned, not what settings asked for. The record is
part of the checkpoint, and ends in ``training.json``; ``suffuse doctor`` compares it with the run's splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from ..data.columns import Columns
from ..prepare.row_keys import summarise
from ..types import Batch

PREFIX = "usage."  # of the record's tensors in a checkpoint


@dataclass(frozen=True, kw_only=True)
class RecordedColumns(Columns):
    """Columns that mark the rows of every batch that come with a label."""

    marks: np.ndarray  # (N,) bool, written in place

    def batch(self, rows: np.ndarray, *how: Any, **named: Any) -> Batch:
        """As :meth:`suffuse.data.columns.Columns.batch`."""
        batch = super().batch(rows, *how, **named)
        self.marks[batch.rows[self.spec.known(batch.target)].numpy()] = True
        return batch


@dataclass(eq=False)
class RowUsage:
    """The record of one training, over the run's N rows: (N,) bool each."""

    columns: Columns
    labels: np.ndarray
    epoch: np.ndarray
    standardised: np.ndarray
    complete: bool = True  # False: it goes on from a checkpoint that has no record

    @classmethod
    def of(cls, columns: Columns) -> RowUsage:
        """An empty record."""
        empty = np.zeros(len(columns.split), dtype=bool)
        return cls(columns, labels=empty, epoch=empty.copy(), standardised=empty.copy())

    def training(self, columns: Columns) -> RecordedColumns:
        """The columns as training batches are taken from them."""
        return _recorded(columns, self.labels)

    def validation(self, columns: Columns) -> RecordedColumns:
        """The columns as validation reads them."""
        return _recorded(columns, self.epoch)

    def standardising(self, rows: np.ndarray) -> np.ndarray:
        """These rows, which a model is standardised by."""
        self.standardised[rows] = True
        return rows

    def masks(self) -> dict[str, np.ndarray]:
        """Name -> (N,) bool."""
        return {"labels": self.labels, "epoch": self.epoch, "standardised": self.standardised}

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        return {PREFIX + name: torch.from_numpy(mask) for name, mask in self.masks().items() if self.complete}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on with what a checkpoint holds."""
        self.complete = all(PREFIX + name in tensors for name in self.masks())
        for name, mask in self.masks().items():
            if self.complete:
                mask |= tensors[PREFIX + name].numpy()

    def facts(self) -> dict[str, Any]:
        """What is used for -> split -> rows, groups and a hash of the rows; nothing where the record isn't complete."""
        if not self.complete:
            return {"complete": False}
        known = self.columns.split, self.columns.group, self.columns.key
        return {"complete": True, **{name: summarise(mask, *known) for name, mask in self.masks().items()}}


def _recorded(columns: Columns, marks: np.ndarray) -> RecordedColumns:
    return RecordedColumns(**{f.name: getattr(columns, f.name) for f in fields(Columns)}, marks=marks)
