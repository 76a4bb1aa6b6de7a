"""JSON: one file that holds a list of objects; an item that is none is noted as broken."""

from __future__ import annotations

from pathlib import Path

from . import Rows
from .json_records import objects, to_table, without_strangers


def read(path: Path) -> Rows:
    """Rows of all objects, by their number in the list; a key that a row lacks is empty there."""
    rows, numbers, broken = objects(path)
    rows = without_strangers(rows, numbers, broken)
    return Rows(to_table(rows, path), numbers, path.parent, broken)
