"""Columns whose entries lie on a device too: a batch is gathered there, and only its row numbers travel.

An augmented modality is read from main memory, as its views are made there. So are entries of different length, which
are padded where they are gathered.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy in part)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .device_transfer import to_device


@dataclass(frozen=True)
class Resident:
    """A column of U entries, and its copy on a device. As an array it is what is stored."""

    stored: np.ndarray  # (U, ...)
    copied: Tensor  # (U, ...)
    lengths: np.ndarray | None  # (U,) steps of each entry (L, F + 1), whose last channel says which are real

    @classmethod
    def of(cls, stored: np.ndarray, device: torch.device) -> Resident:
        """Copy a column."""
        framed = stored.ndim == 3 and stored.dtype.kind == "f"
        lengths = stored[:, :, -1].astype(bool).sum(1) if framed else None
        return cls(stored, torch.from_numpy(stored).to(device), lengths)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, which: Any) -> np.ndarray:
        return self.stored[which]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is stored."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:
        """Of what is stored."""
        return self.stored.dtype

    @property
    def filename(self) -> Any:
        """Of what is memory-mapped."""
        return getattr(self.stored, "filename", None)

    def gather(self, which: np.ndarray) -> Tensor:
        """Entries (N,) on the device, as :meth:`.columns.Columns.batch` makes them of the array's."""
        places = to_device(torch.from_numpy(which), self.copied.device)
        if self.lengths is not None:
            longest = max(int(self.lengths[which].max(initial=1)), 1)
            return self.copied[:, :longest].index_select(0, places).float()
        entries = self.copied.index_select(0, places)
        return entries.long() if entries.dtype == torch.int32 else entries


def copied(entries: Mapping[str, Any], device: torch.device, budget: int) -> dict[str, Any]:
    """Columns by modality, with as many of the arrays among them on the device as ``budget`` bytes hold, the smallest
    first."""
    columns = dict(entries)
    arrays = {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
    for name in sorted(arrays, key=lambda name: arrays[name].nbytes):
        budget -= arrays[name].nbytes
        if budget < 0:
            break
        columns[name] = Resident.of(arrays[name], device)
    return columns
