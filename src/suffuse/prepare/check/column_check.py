"""Every column of the table: its type, what stands in it, how much of it, and what it is used for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ... import sources
from ...errors import visible
from ...modalities.cell import Root
from ...recipe import Recipe
from .. import column_types, table_rows
from .findings import Column

ARROW: Any = pyarrow.compute  # whose functions are made when it is loaded, unseen by type checkers
LOOKED = 50_000  # rows of a column that is used
GLANCED = 2_000  # rows of one that isn't


def uses(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Column -> what the recipe uses it for, in the order in which the recipe names them."""
    found: dict[str, tuple[str, ...]] = {}
    for key, column in table_rows.named(recipe):
        found[column] = (*found.get(column, ()), key)
    return found


def picked(rows: int, most: int) -> np.ndarray:
    """Positions of at most so many rows, drawn by chance with a fixed seed, in order."""
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False)) if rows > most else np.arange(rows)


def inspected(rows: sources.Rows, names: list[str], some: np.ndarray, root: Root) -> list[column_types.Column]:
    """These columns, judged by some of the rows."""
    table = rows.table.select(names)
    if len(some) < table.num_rows:
        table = table.take(pa.array(some))
    return column_types.inspect(replace(rows, table=table), root)


def facts(column: column_types.Column, cells: pa.ChunkedArray, use: tuple[str, ...]) -> Column:
    """What is told of a column; coverage and number of values are those of all rows."""
    return Column(
        visible(column.name),
        use,
        str(cells.type),
        visible(f"{column.role}: {column.reason}"),
        filled(cells),
        different(cells),
        tuple(visible(e) for e in column.examples),
    )


def filled(cells: pa.ChunkedArray) -> float:
    """Share of the rows in which something stands."""
    if not len(cells):
        return 0.0
    empty = cells.null_count
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        empty += ARROW.sum(ARROW.equal(ARROW.utf8_trim_whitespace(cells), "")).as_py() or 0
    elif pa.types.is_floating(cells.type):
        empty += ARROW.sum(ARROW.is_nan(cells)).as_py() or 0
    return 1 - empty / len(cells)


def different(cells: pa.ChunkedArray) -> int | None:
    """Number of different values; None for lists, records and contents of files, and where Arrow compares no values of
    this type."""
    kind = cells.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return None
    if pa.types.is_null(kind):
        return 0
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        cells = ARROW.utf8_trim_whitespace(cells)
        cells = cells.filter(ARROW.not_equal(cells, ""))
    try:
        return ARROW.count_distinct(cells, mode="only_valid").as_py()
    except pa.ArrowNotImplementedError:  # an extension type, such as arrow.uuid
        return None
