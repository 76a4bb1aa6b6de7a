"""Models run on one row and on changed versions of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.columns import Columns
from ..data.device_transfer import move_batch, to_array
from ..model import FusionModel
from ..predictor import Predictor
from ..types import Batch

BATCH = 64  # rows at a time


class ModelRow(Protocol):
    """A model and one row. M modalities, K changed versions of the row, C outputs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that the model reads, in order."""
        ...

    @property
    def columns(self) -> Columns:
        """The prepared rows, with these modalities."""
        ...

    @property
    def row(self) -> int:
        """The row's position."""
        ...

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """Modality -> entry, of those that the row has."""
        ...

    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """present (K, M) bool, and changed entries (K, ...) of some modalities -> (K, C)."""
        ...


@dataclass(frozen=True)
class _PreparedRow:
    columns: Columns
    row: int

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that the model reads, in order."""
        return self.columns.spec.names

    @cached_property
    def batch(self) -> Batch:
        """The row by itself."""
        return self.columns.batch(np.array([self.row]))

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """Modality -> entry, of those that the row has."""
        return {name: x[0].numpy() for name, x in self.batch.inputs.items() if len(x)}


@dataclass(frozen=True)
class NetworkRow(_PreparedRow):
    """A row and a torch network."""

    model: FusionModel

    def batch_of(self, present: Tensor, changed: Mapping[str, Tensor]) -> Batch:
        """K versions of the row: present (K, M) bool, and changed entries (K, ...) of some modalities."""
        count, inputs, index = len(present), {}, {}
        for name, entry in self.batch.inputs.items():
            inputs[name] = changed.get(name, entry)
            index[name] = torch.arange(count) if name in changed else torch.zeros(count, dtype=torch.int64)
        zeros = torch.zeros(count, dtype=torch.int64)
        batch = Batch(inputs, index, present, zeros, zeros, bool(present.all()))
        return move_batch(batch, self.model.log_prior.device)

    @torch.no_grad()
    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """As :meth:`ModelRow.logits`."""
        logits = []
        for start in range(0, len(present), BATCH):
            piece = slice(start, start + BATCH)
            entries = {name: torch.from_numpy(x[piece]) for name, x in (changed or {}).items()}
            batch = self.batch_of(torch.from_numpy(present[piece]), entries)
            logits.append(to_array(self.model(batch).logits))
        return np.concatenate(logits)


@dataclass(frozen=True)
class ExportRow(_PreparedRow):
    """A row and an exported file: no gradients, only logits."""

    predictor: Predictor

    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """As :meth:`ModelRow.logits`."""
        logits, changed = [], changed or {}
        for start in range(0, len(present), BATCH):
            masks = present[start : start + BATCH]
            feed = {name: self._feed(name, len(masks), changed.get(name), start) for name in self.names}
            logits.append(self.predictor.logits(feed, masks))
        return np.concatenate(logits)

    def _feed(self, name: str, count: int, changed: np.ndarray | None, start: int) -> np.ndarray:
        column = self.columns.entries[name]
        if changed is not None:
            entries = changed[start : start + count]
        elif name in self.entries:
            entries = np.repeat(self.entries[name][None], count, 0)
        else:  # the content of an absent slot changes nothing
            entries = np.repeat(column[np.zeros(1, dtype=np.int64)], count, 0)
        return entries.astype(column.dtype)
