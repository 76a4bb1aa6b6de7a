"""Records which rows a training uses, where it reads them, so that an audit need not trust the recipe.

    labels         rows whose label was in a training batch
    epoch          rows whose label a validation read: these choose the epoch
    standardised   rows from which the vectors of frozen encoders are standardised

The record holds what :meth:`suffuse.data.columns.Columns.batch` returned, not what settings asked for. It is part of
the checkpoint and is written to ``training.json``; ``suffuse doctor`` compares it with the run's splits.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

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
    """Columns that record the rows of every batch whose label is known."""

    marks: np.ndarray  # (N,) bool, written in place

    def batch(self, rows: np.ndarray, *arguments: Any, **keywords: Any) -> Batch:
        """As :meth:`suffuse.data.columns.Columns.batch`."""
        batch = super().batch(rows, *arguments, **keywords)
        self.marks[batch.rows[self.spec.known(batch.target)].numpy()] = True
        return batch


@dataclass(eq=False)
class RowUsage:
    """The rows that one training used, (N,) bool each over the run's N rows."""

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
        """The columns that training batches are taken from."""
        return _recorded(columns, self.labels)

    def validation(self, columns: Columns) -> RecordedColumns:
        """The columns that validation reads."""
        return _recorded(columns, self.epoch)

    def standardising(self, rows: np.ndarray) -> np.ndarray:
        """Record and return the rows that a model is standardised by."""
        self.standardised[rows] = True
        return rows

    def masks(self) -> dict[str, np.ndarray]:
        """Name -> (N,) bool."""
        return {"labels": self.labels, "epoch": self.epoch, "standardised": self.standardised}

    def tensors(self) -> dict[str, torch.Tensor]:
        """The record as tensors of a checkpoint."""
        return {PREFIX + name: torch.from_numpy(mask) for name, mask in self.masks().items() if self.complete}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.complete = all(PREFIX + name in tensors for name in self.masks())
        for name, mask in self.masks().items():
            if self.complete:
                mask |= tensors[PREFIX + name].numpy()

    def facts(self) -> dict[str, Any]:
        """Purpose -> split -> rows, groups and a hash of the rows; only ``complete: False`` where the record isn't
        complete."""
        if not self.complete:
            return {"complete": False}
        columns_of_rows = self.columns.split, self.columns.group, self.columns.key
        return {"complete": True, **{name: summarise(mask, *columns_of_rows) for name, mask in self.masks().items()}}


def _recorded(columns: Columns, marks: np.ndarray) -> RecordedColumns:
    return RecordedColumns(**{f.name: getattr(columns, f.name) for f in fields(Columns)}, marks=marks)
