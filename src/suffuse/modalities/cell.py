"""Why a cell gives nothing: it is empty, or what stands in it can't be read."""

from __future__ import annotations

from typing import Any


class Absent(Exception):
    """There is nothing in this cell; the modality is absent in its row."""


class Unreadable(Exception):
    """There is something in this cell that can't be read; says why."""


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, or white space only."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    return isinstance(value, str) and not value.strip()
