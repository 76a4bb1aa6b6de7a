"""Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SuffuseError, UsageError
from . import Rows, class_labels
from .arrow_types import plain


def read(path: Path) -> Rows:
    """All rows; one with a text that isn't UTF-8 is noted as broken. Of class labels the names are read.

    Raises SuffuseError where the file isn't Parquet or is cut off.
    """
    try:
        with pq.ParquetFile(path) as file:  # this file alone, whatever its folder is called
            table = file.read()
        table = class_labels.named(plain(table), class_labels.features(table.schema))
    except (pa.ArrowException, OSError) as error:
        raise cant(path, error) from None
    twice = sorted({n for n in table.column_names if table.column_names.count(n) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")
    kept, broken = np.ones(table.num_rows, dtype=bool), []
    for name in table.column_names:
        for row in not_utf8(table.column(name)):
            if kept[row]:
                broken.append((row + 1, f"broken row: '{name}' is not UTF-8"))
            kept[row] = False
    lines = (np.flatnonzero(kept) + 1).tolist()
    return Rows(table.filter(pa.array(kept)) if broken else table, lines, path.parent, sorted(broken))


def cant(path: Path, error: Exception) -> SuffuseError:
    """That a file is no Parquet, or is cut off."""
    return SuffuseError("can't read the table", where=path, got=next(iter(str(error).splitlines()), ""))


def not_utf8(column: pa.ChunkedArray) -> list[int]:
    """Rows with a text, on its own or in a list or record, that can't be decoded: who writes a file may call anything
    text."""
    if not has_text(column.type):
        return []
    try:
        column.validate(full=True)
        return []
    except pa.ArrowInvalid:
        return [row for row, cell in enumerate(column) if not _decodes(cell)]


def has_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts, on their own or in lists or records."""
    if pa.types.is_nested(kind):
        return any(has_text(kind.field(place).type) for place in range(kind.num_fields))
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _decodes(cell: pa.Scalar) -> bool:
    try:
        cell.as_py()
    except UnicodeDecodeError:
        return False
    return True
