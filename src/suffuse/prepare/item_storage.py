"""Storage of a modality's items while cells are read: on disk where their shape is known, else in memory; and the
model's input that is made of them, as one array on disk.

A storage is filled piece by piece. ``put`` may be called from any thread. ``commit`` writes a piece to disk, before the
journal lists it. ``restore`` returns to the state that the journal describes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..files import naming, new_array, write_array
from ..modalities import ModalityPart
from ..modalities.ragged import Ragged, Selection
from ..registry import ModalitySettings

PIECE = 16_384  # items that are encoded at a time


def make_storage(stored: tuple | None, count: int, file: Path, blank: Any) -> Any:
    """The storage of ``count`` items, of the form that a modality's ``stored`` describes."""
    if stored is None:
        return StringStorage(blank)
    shape, dtype = stored
    if shape[0] is None:
        return RaggedStorage(file, np.dtype(dtype), shape[1])
    return FixedStorage(file, dtype, (count, *shape))


class StringStorage:
    """Texts as an Arrow column, the blank one where there is none."""

    persistent = False  # lost when the process is killed

    def __init__(self, blank: str):
        self.blank, self.pending = blank, {}
        self.chunks: list[pa.Array] = []

    def put(self, slot: int, item: str) -> None:
        """Keep an item until its piece is committed."""
        self.pending[slot] = item

    def commit(self, slots: range, new: set[int]) -> list[int]:
        """The length of each item on the disk."""
        self.chunks.append(pa.array([self.pending.pop(s, self.blank) for s in slots], pa.large_string()))
        return [0] * len(slots)

    def restore(self, lengths: list[int]) -> None:
        """Nothing to restore."""

    def items(self) -> pa.ChunkedArray:
        """All items."""
        return pa.chunked_array(self.chunks, pa.large_string())


class FixedStorage:
    """Items of one shape in an array on disk: pictures. Each is written to its slot at once."""

    persistent = True

    def __init__(self, file: Path, dtype: str, shape: tuple[int, ...]):
        self.file, self.dtype, self.shape = file, dtype, shape
        self.array: Any = None
        self.rows: Any = None

    def put(self, slot: int, item: np.ndarray) -> None:
        """Write an item to its slot."""
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
        self.rows = np.asarray(self.array)  # the same memory, faster to write to

    def items(self) -> np.memmap:
        """(U, ...), memory-mapped."""
        return self.array


class RaggedStorage:
    """Items (L, F) of different length, one behind the other in one file: sound, sequences. An item with known
    content is not written again."""

    persistent = True

    def __init__(self, file: Path, dtype: np.dtype, features: int):
        self.file, self.dtype, self.features = file, dtype, features
        self.pending: dict[int, np.ndarray] = {}
        self.lengths: list[int] = []

    def put(self, slot: int, item: np.ndarray) -> None:
        """Keep an item until its piece is committed."""
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
        """Cut off what the journal doesn't list."""
        self.lengths = list(lengths or ())
        with naming(self.file), self.file.open("r+b" if self.file.exists() else "w+b") as file:
            start = self._header(file, sum(self.lengths))
            file.truncate(start + sum(self.lengths) * self.features * self.dtype.itemsize)

    def items(self) -> Ragged:
        """All items, memory-mapped; the header gets the final length."""
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
    return items.take(slots) if isinstance(items, Ragged) else Selection(items, slots)


def write_entries(
    part: ModalityPart, settings: ModalitySettings, statistics: dict, items: pa.ChunkedArray, file: Path, work: Path
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
