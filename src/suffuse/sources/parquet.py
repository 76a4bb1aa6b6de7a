"""Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SuffuseError, UsageError
from . import Rows


def read(path: Path) -> Rows:
    """All rows; one with a text that is no UTF-8 is noted as broken.

    Raises SuffuseError where the file is no Parquet or is cut off.
    """
    try:
        table = pq.read_table(path)
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
    """Rows whose text can't be decoded: who writes a file may call anything text."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return []
    try:
        column.validate(full=True)
        return []
    except pa.ArrowInvalid:
        plain = column.cast(kind) if pa.types.is_dictionary(column.type) else column
        cells = (cell for chunk in plain.chunks for cell in _as_bytes(chunk).to_pylist())
        return [row for row, cell in enumerate(cells) if cell is not None and not _decodes(cell)]


def _as_bytes(texts: pa.Array) -> pa.Array:
    wide = pa.types.is_large_string(texts.type)
    return texts.view(pa.large_binary() if wide else pa.binary())


def _decodes(cell: bytes) -> bool:
    try:
        cell.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
