"""How a source is read beyond its suffix: encoding and delimiter of a text table, and texts that are missing values."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from .row_stream import Rows

# compared as they stand, without white space around them: "Na" is sodium, "none" an answer
MISSING_VALUES = ("N/A", "n/a", "N.A.", "n.a.", "NA", "<NA>", "#N/A", "#NA", "NULL", "Null", "null", "#NULL!")
MISSING_VALUES += ("NaN", "nan", "NAN", "-NaN", "-nan", "#DIV/0!", "#NAME?", "#NUM!", "#REF!", "#VALUE!", "k.A.")
MISSING_VALUES += ("?", "-", "--", "–", "—", ".", "无", "無")


SHEET = re.compile(r"(.+?\.(?:xlsx|ods))#(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class TableFormat:
    """What a recipe says of a source, or an export of the tables that it reads. None: detected."""

    encoding: str | None = None
    delimiter: str | None = None
    missing_values: tuple[str, ...] = ()
    likely: str | None = None  # an encoding that is tried before others where it isn't given


AS_IS = TableFormat()


def split_sheet(source: str) -> tuple[Path, str]:
    """(the file, the name of a sheet in it), of ``file.xlsx#Sheet``; no name of any other source."""
    parts = SHEET.fullmatch(source)
    return (Path(parts[1]), parts[2]) if parts else (Path(source), "")


def is_missing(cell: Any, missing_values: Collection[str]) -> bool:
    """Whether a cell is a text that stands for a missing value."""
    return isinstance(cell, str) and len(cell) < 100 and cell.strip() in missing_values


def without_missing(rows: Rows, missing_values: Collection[str]) -> Rows:
    """The rows with empty cells in place of missing values; ``missing`` counts them by column and text."""
    from dataclasses import replace

    if not missing_values:
        return rows
    table, counts = rows.table, {}
    for position, name in enumerate(table.column_names):
        column = table.column(position)
        if counted := count_missing(column, missing_values):
            counts[name] = counted
            table = table.set_column(position, name, _emptied(column, missing_values))
    return replace(rows, table=table, missing=counts) if counts else rows


def count_missing(column: pa.ChunkedArray, missing_values: Collection[str]) -> dict[str, int]:
    """Text -> how many cells of a column hold it, of the texts that are missing values; the commonest first."""
    compute, found = _compute(), {}
    if not _is_text(column):
        return found
    trimmed = compute.utf8_trim_whitespace(column)
    hits = trimmed.filter(compute.is_in(trimmed, _set(column, missing_values)))
    for item in compute.value_counts(hits).to_pylist():
        found[item["values"]] = item["counts"]
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _emptied(column: pa.ChunkedArray, missing_values: Collection[str]) -> pa.ChunkedArray:
    import pyarrow as pa

    compute = _compute()
    hits = compute.is_in(compute.utf8_trim_whitespace(column), _set(column, missing_values))
    return compute.if_else(hits, pa.scalar(None, column.type), column)


def _set(column: pa.ChunkedArray, missing_values: Collection[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(sorted(missing_values), column.type)


def _is_text(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute
