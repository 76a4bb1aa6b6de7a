"""JSON lines: one object a line; a line that isn't one is noted as broken.

The file is read in pieces, so that a large table never stands in memory as Python objects; where its rows don't
agree about a column's type, it is read once more as a whole.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from . import Rows
from .json_records import to_table, without_strangers
from .json_rows import pieces

PIECE = 8192  # rows
LARGEST_PIECE = 2**24  # bytes after which a piece ends early


def read(path: Path) -> Rows:
    """Rows of all objects; a key that a row lacks is empty there."""
    lines: list[int] = []
    broken: list[tuple[int, str]] = []
    try:
        table = _joined([_table(rows) for rows in pieces(path, lines, broken, (PIECE, LARGEST_PIECE))])
    except (pa.ArrowException, OverflowError):
        lines.clear()
        broken.clear()
        rows = without_strangers(
            [row for rows in pieces(path, lines, broken, (PIECE, LARGEST_PIECE)) for row in rows], lines, broken
        )
        table = to_table(rows, path)
    return Rows(table, lines, path.parent, broken)


def _table(rows: list[dict]) -> pa.Table:
    names = dict.fromkeys(key for row in rows for key in row)
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def _joined(tables: list[pa.Table]) -> pa.Table:
    """The pieces as one table. Raises ArrowException where their types are more than a little different."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    for name, found in types.items():
        kinds = found - {pa.null()}
        if len(kinds) > 1 and kinds != {pa.int64(), pa.float64()}:
            raise pa.ArrowInvalid(f"column '{name}' has several types")
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
