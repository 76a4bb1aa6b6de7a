"""Where a modality's items are put while they are read: on disk, where their form is known before, else in memory.

A shelf is filled piece by piece. ``put`` may be called from any thread; ``settle`` makes a piece safe on the disk,
before the journal says that it is there; ``reset`` brings back what the journal says.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from ..files import naming, new_array, write_array
from ..modalities.ragged import Picked, Ragged
from ..registry import PartSettings

PIECE = 16_384  # items that are encoded at a time


def make_storage(stored: tuple | None, count: int, file: Path, blank: Any) -> Any:
    """The shelf for ``count`` items as :func:`suffuse.modalities` ``stored`` describes them."""
    if stored is None:
        return StringStorage(blank)
    shape, dtype = stored
    return (
        RaggedStorage(file, np.dtype(dtype), shape[1])
        if shape[0] is None
        else FixedStorage(file, dtype, (count, *shape))
    )


class StringStorage:
    """Texts, as an Arrow column and not as a million Python objects; the blank one where there is none."""

    persistent = False  # nothing is left of it when a preparation is killed

    def __init__(self, blank: str):
        self.blank, self.pending = blank, {}
        self.chunks: list[pa.Array] = []

    def put(self, slot: int, item: str) -> None:
        """Keep an item until its piece is settled."""
        self.pending[slot] = item

    def commit(self, slots: range, new: set[int]) -> list[int]:
        """The length of each item on the disk."""
        self.chunks.append(pa.array([self.pending.pop(s, self.blank) for s in slots], pa.large_string()))
        return [0] * len(slots)

    def restore(self, lengths: list[int]) -> None:
        """Start again."""

    def items(self) -> pa.ChunkedArray:
        """All of them."""
        return pa.chunked_array(self.chunks, pa.large_string())


class FixedStorage:
    """Items of one shape in an array on disk: pictures. They are written where they belong at once."""

    persistent = True

    def __init__(self, file: Path, dtype: str, shape: tuple[int, ...]):
        self.file, self.dtype, self.shape = file, dtype, shape
        self.array: Any = None
        self.rows: Any = None

    def put(self, slot: int, item: np.ndarray) -> None:
        """An item at its place."""
        self.rows[slot] = item

    def commit(self, slots: range, new: set[int]) -> list[int]:
        """The length of each item on the disk; they have none of their own."""
        self.array.flush()
        return [0] * len(slots)

    def restore(self, lengths: list[int] | None) -> None:
        """Open the file; where nothing was there before (None), make it."""
        if lengths is None:
            new_array(self.file, self.dtype, self.shape)
        self.array = np.lib.format.open_memmap(self.file, mode="r+")
        self.rows = np.asarray(self.array)  # the same memory, quicker to write to

    def items(self) -> np.memmap:
        """(U, ...), memory-mapped."""
        return self.array


class RaggedStorage:
    """Items (L, F) of different length, end to end in one file: sound, sequences. What was there before is not
    written again."""

    persistent = True

    def __init__(self, file: Path, dtype: np.dtype, features: int):
        self.file, self.dtype, self.features = file, dtype, features
        self.pending: dict[int, np.ndarray] = {}
        self.lengths: list[int] = []

    def put(self, slot: int, item: np.ndarray) -> None:
        """Keep an item until its piece is settled."""
        self.pending[slot] = item

    def commit(self, slots: range, new: set[int]) -> list[int]:
        """Append the new items in order; the length of each on the disk, 0 for those that are there already."""
        empty = np.empty((0, self.features))
        items = [(slot in new, self.pending.pop(slot, empty)) for slot in slots]
        kept = [item if is_new else empty for is_new, item in items]
        with naming(self.file), self.file.open("ab") as file:
            for item in kept:
                file.write(np.ascontiguousarray(item, dtype=self.dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.lengths.extend(len(item) for item in kept)
        return self.lengths[slots.start :]

    def restore(self, lengths: list[int] | None) -> None:
        """Cut off what the journal doesn't know."""
        self.lengths = list(lengths or ())
        with naming(self.file), self.file.open("r+b" if self.file.exists() else "w+b") as file:
            start = self._header(file, sum(self.lengths))
            file.truncate(start + sum(self.lengths) * self.features * self.dtype.itemsize)

    def items(self) -> Ragged:
        """All of them, memory-mapped; the header now says how much there is."""
        with self.file.open("r+b") as file:
            self._header(file, sum(self.lengths))
        length = np.array(self.lengths, dtype=np.int64)
        return Ragged(np.load(self.file, mmap_mode="r"), np.cumsum(length) - length, length)

    def _header(self, file: Any, steps: int) -> int:
        """Write it in place (NumPy leaves room for the first length to grow); returns where the data starts."""
        file.seek(0)
        facts = {"descr": self.dtype.str, "fortran_order": False, "shape": (steps, self.features)}
        np.lib.format.write_array_header_1_0(file, facts)
        return file.tell()


def take_items(items: Any, slots: np.ndarray) -> Any:
    """Some of the items; those on disk are read when they are accessed."""
    if isinstance(items, pa.ChunkedArray):
        return items.take(pa.array(slots))
    return items.take(slots) if isinstance(items, Ragged) else Picked(items, slots)


def write_entries(
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
    encoded = new_array(file, dtype, (len(items), *longest))
    for start in range(0, len(items), PIECE):
        entries = np.load(work / f"{start}.npy", mmap_mode="r")
        encoded[(slice(start, start + len(entries)), *(slice(size) for size in entries.shape[1:]))] = entries
    encoded.flush()
    shutil.rmtree(work)
