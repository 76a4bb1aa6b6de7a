"""An array of the store while it is being made: rows are put in their places, piece by piece, in any order.

By plain writes: through mapped memory each page costs a fault, and each flush a look through the whole mapping, some
three times the processor's time, beside a teacher that is asked meanwhile. What comes in order is hashed as it comes,
so that it needn't be read again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..files import naming, new_array
from . import manifest


@dataclass
class RowFile:
    """A .npy file of a known size. Use :meth:`new`."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int  # bytes before the first row
    hashed: int  # bytes of the file, from its beginning, that the hash has seen
    hash: Any

    @classmethod
    def new(cls, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> RowFile:
        """Its space is taken at once."""
        header = new_array(path, dtype, shape).offset
        with path.open("rb") as file:
            return cls(path, dtype, shape, header, header, hashlib.sha256(file.read(header)))

    def put(self, at: np.ndarray, rows: np.ndarray) -> None:
        """Rows (B, ...) to the places ``at`` (B,), each place once; those that follow each other in one write. They are
        on the disk afterwards: all of it at the end would keep the teacher's thread waiting."""
        assert rows.dtype == self.dtype and rows.shape == (len(at), *self.shape[1:]), "a part is as the first one was"
        if not len(at):
            return
        rows, ends = np.ascontiguousarray(rows), [*np.flatnonzero(np.diff(at) != 1) + 1, len(at)]
        wide = rows[:1].nbytes
        with naming(self.path), self.path.open("rb+") as file:
            for begin, end in pairwise([0, *ends]):
                piece, place = rows[begin:end].data, self.offset + int(at[begin]) * wide
                file.seek(place)
                file.write(piece)
                if place == self.hashed:
                    self.hash.update(rows[begin:end].reshape(-1).view(np.uint8))
                    self.hashed += piece.nbytes
            file.flush()
            os.fsync(file.fileno())

    def digest(self) -> str:
        """After the last row: the file's hash."""
        return self.hash.hexdigest() if self.hashed == self.path.stat().st_size else manifest.digest(self.path)

    def open(self) -> np.ndarray:
        """After the last row, for reading."""
        return np.load(self.path, mmap_mode="r")
