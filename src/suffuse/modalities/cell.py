"""What modalities share about cells: why one gives nothing, and items in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PIECE = 4096  # items that are Python objects at the same time


class Absent(Exception):
    """There is nothing in this cell; the modality is absent in its row."""


class Unreadable(Exception):
    """There is something in this cell that can't be read; says why."""


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, NaT, or white space only."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    if isinstance(value, str):
        return not value.strip()
    return type(value).__name__ in ("NaTType", "NAType")


def pieces(items: Any) -> Iterator[list]:
    """A list, or a column of an Arrow table, as lists of some thousand items."""
    for start in range(0, len(items), PIECE):
        piece = items[start : start + PIECE]
        yield piece.to_pylist() if hasattr(piece, "to_pylist") else list(piece)
