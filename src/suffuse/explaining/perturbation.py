"""Models asked about one row and what it would be with something taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.columns import Columns
from ..model import FusionModel
from ..predictor import Predictor
from ..types import Batch

TOGETHER = 64  # rows at a time


class Asked(Protocol):
    """A model and one row."""

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
        """Which of them."""
        ...

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """Modality -> its entry (...), of those that the row has."""
        ...

    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """present (K, M) bool and other entries (K, ...) of some modalities -> (K, C)."""
        ...


@dataclass(frozen=True)
class OfNetwork:
    """A network of torch."""

    model: FusionModel
    columns: Columns
    row: int

    @property
    def names(self) -> tuple[str, ...]:
        """Those of its encoders."""
        return self.model.spec.names

    @cached_property
    def batch(self) -> Batch:
        """The row by itself."""
        return self.columns.batch(np.array([self.row]))

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """As :class:`Asked` says."""
        return {n: x[0].numpy() for n, x in self.batch.inputs.items() if len(x)}

    def batch_of(self, present: Tensor, changed: Mapping[str, Tensor]) -> Batch:
        """K rows: (K, M) bool and, of what is changed, (K, ...) entries."""
        count, inputs, index = len(present), {}, {}
        for name, entry in self.batch.inputs.items():
            inputs[name] = changed.get(name, entry)
            index[name] = torch.arange(count) if name in changed else torch.zeros(count, dtype=torch.int64)
        nothing = torch.zeros(count, dtype=torch.int64)
        return Batch(inputs, index, present, nothing, nothing, bool(present.all()))

    @torch.no_grad()
    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """As :class:`Asked` says."""
        found = []
        for at in range(0, len(present), TOGETHER):
            some = {n: torch.from_numpy(x[at : at + TOGETHER]) for n, x in (changed or {}).items()}
            batch = self.batch_of(torch.from_numpy(present[at : at + TOGETHER]), some)
            found.append(self.model(batch).logits.float().numpy())
        return np.concatenate(found)


@dataclass(frozen=True)
class OfExport:
    """An exported file: only its answers are known."""

    predictor: Predictor
    columns: Columns
    row: int

    @property
    def names(self) -> tuple[str, ...]:
        """Those of its inputs."""
        return self.columns.spec.names

    @cached_property
    def batch(self) -> Batch:
        """The row by itself."""
        return self.columns.batch(np.array([self.row]))

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """As :class:`Asked` says."""
        return {n: x[0].numpy() for n, x in self.batch.inputs.items() if len(x)}

    def logits(self, present: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """As :class:`Asked` says."""
        found, changed = [], changed or {}
        for at in range(0, len(present), TOGETHER):
            some = present[at : at + TOGETHER]
            feeds = {n: self._feed(n, len(some), changed.get(n), at) for n in self.names}
            found.append(self.predictor.logits(feeds, some))
        return np.concatenate(found)

    def _feed(self, name: str, count: int, changed: np.ndarray | None, at: int) -> np.ndarray:
        column = self.columns.entries[name]
        if changed is not None:
            found = changed[at : at + count]
        elif name in self.entries:
            found = np.repeat(self.entries[name][None], count, 0)
        else:  # what stands in an absent slot changes nothing
            found = np.repeat(column[np.zeros(1, dtype=np.int64)], count, 0)
        return found.astype(column.dtype)
