"""An array of the store while it is being made: rows are put in their places, piece by piece, in any order.

By plain writes: through mapped memory each page costs a fault and a look through the whole mapping at every flush,
some eight times the processor's time, beside a teacher that is asked meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..files import naming, new_array


@dataclass(frozen=True)
class RowFile:
    """A .npy file of a known size; ``offset``: bytes before its first row."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def new(cls, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> RowFile:
        """Its space is taken at once."""
        return cls(path, dtype, shape, new_array(path, dtype, shape).offset)

    def put(self, at: np.ndarray, rows: np.ndarray) -> None:
        """Rows (B, ...) to the places ``at`` (B,); places that follow each other in one write."""
        assert rows.dtype == self.dtype and rows.shape == (len(at), *self.shape[1:]), "a part is as the first one was"
        if not len(at):
            return
        rows, ends = np.ascontiguousarray(rows), [*np.flatnonzero(np.diff(at) != 1) + 1, len(at)]
        wide = rows[:1].nbytes
        with naming(self.path), self.path.open("rb+") as file:
            for begin, end in pairwise([0, *ends]):
                file.seek(self.offset + int(at[begin]) * wide)
                file.write(rows[begin:end].data)

    def open(self) -> np.ndarray:
        """After the last row, for reading."""
        return np.load(self.path, mmap_mode="r")
