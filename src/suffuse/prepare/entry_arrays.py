"""Items -> the model's input, as one array on disk, a piece at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from ..files import new_array, write_array
from ..modalities.ragged import Picked, Ragged
from ..registry import PartSettings

PIECE = 16_384  # items


def take(items: Any, slots: np.ndarray) -> Any:
    """Some of the items; those on disk are read when they are accessed."""
    if isinstance(items, pa.ChunkedArray):
        return items.take(pa.array(slots))
    return items.take(slots) if isinstance(items, Ragged) else Picked(items, slots)


def write(
    part: ModuleType, settings: PartSettings, statistics: dict, items: pa.ChunkedArray, file: Path, work: Path
) -> None:
    """Encode items (U,) into ``file``, (U, ...), by way of pieces in the folder ``work``.

    Entries are as long as the longest; what is shorter ends in zeros, as in a batch.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shapes, dtype = [], None
    for start in range(0, len(items), PIECE):
        entries = part.encode(settings, statistics, items.slice(start, PIECE))
        write_array(work / f"{start}.npy", entries)
        shapes.append(entries.shape)
        dtype = entries.dtype
    longest = np.max(shapes, axis=0)[1:].tolist()
    made = new_array(file, dtype, (len(items), *longest))
    for start in range(0, len(items), PIECE):
        entries = np.load(work / f"{start}.npy", mmap_mode="r")
        made[(slice(start, start + len(entries)), *(slice(size) for size in entries.shape[1:]))] = entries
    made.flush()
    shutil.rmtree(work)
