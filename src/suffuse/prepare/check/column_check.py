"""Every column of the table: its type, what stands in it, how much of it, and what it is used for.

Derived columns that are quick are made; of slow ones (a transcript) a few cells are, to measure how long it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ... import derive, sources
from ...errors import visible
from ...modalities.cell import Root
from ...recipe import Data, Recipe
from ...registry import DeriveSettings, implements
from .. import column_types, derived_columns, table_rows
from ..derived_columns import Derived, Maker
from .findings import Column

ARROW: Any = pyarrow.compute  # its functions are made at import, which type checkers don't see
USED_ROWS = 50_000  # that are inspected of a column that is used
UNUSED_ROWS = 2_000  # of a column that isn't
FEW = 8  # cells of a slow column that are made
SECONDS = 10.0  # after which no further one is


def column_uses(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Column -> what the recipe uses it for, in the order in which the recipe names them."""
    uses: dict[str, tuple[str, ...]] = {}
    for key, column in table_rows.used_columns(recipe):
        uses[column] = (*uses.get(column, ()), key)
    return uses


def sample_rows(rows: int, max_rows: int) -> np.ndarray:
    """Positions of at most ``max_rows`` rows, in order, drawn with a fixed seed."""
    return (
        np.sort(np.random.default_rng(0).choice(rows, max_rows, replace=False)) if rows > max_rows else np.arange(rows)
    )


def inspect_columns(
    rows: sources.Rows, names: list[str], partial_rows: np.ndarray, root: Root
) -> list[column_types.Column]:
    """These columns, judged by some of the rows."""
    table = rows.table.select(names)
    if len(partial_rows) < table.num_rows:
        table = table.take(pa.array(partial_rows))
    return column_types.inspect(replace(rows, table=table), root)


def column_facts(column: column_types.Column, cells: pa.ChunkedArray, use: tuple[str, ...]) -> Column:
    """Facts of a column; coverage and number of values are those of all rows."""
    return Column(
        visible(column.name),
        use,
        str(cells.type),
        visible(f"{column.role}: {column.reason}"),
        coverage(cells),
        count_distinct(cells),
        tuple(visible(e) for e in column.examples),
    )


def coverage(cells: pa.ChunkedArray) -> float:
    """Share of the rows that have a value."""
    if not len(cells):
        return 0.0
    empty = cells.null_count
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        empty += ARROW.sum(ARROW.equal(ARROW.utf8_trim_whitespace(cells), "")).as_py() or 0
    elif pa.types.is_floating(cells.type):
        empty += ARROW.sum(ARROW.is_nan(cells)).as_py() or 0
    return 1 - empty / len(cells)


def count_distinct(cells: pa.ChunkedArray) -> int | None:
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


@dataclass
class DerivedCheck:
    """The table with its derived columns, and facts about them."""

    derived: Derived
    partial_rows: dict[str, np.ndarray] = field(default_factory=dict)  # column -> the only rows that were derived
    derivations: list[dict[str, Any]] = field(default_factory=list)


def derive_columns(
    data: Data, rows: sources.Rows, labels: list[str], root: Root, tell: Callable[[float, str], None]
) -> DerivedCheck:
    """All derived columns, in the recipe's order; nothing is written. Raises UsageError as prepare would."""
    derived = DerivedCheck(Derived(rows))
    for name, settings in data.derive.items():
        part = derive.load_derivation(settings.kind)
        source, previous = settings.column, derived.derived
        start = time.perf_counter()
        if implements(part, "content") or source in derived.partial_rows:
            part.ready(settings)
            fitted = part.fit(settings, labels)
            rows_made = _derive_few(derived, name, Maker(part, settings, fitted, root, None))
            cells, extent = len(rows_made), f"{len(rows_made):,} cells were made here, to see how long it takes"
        else:
            extended = derived_columns.add(previous.rows, {name: settings}, labels, root, Path(), tell)
            derived.derived = Derived(extended.rows, previous.facts | extended.facts, previous.failed + extended.failed)
            cells, extent = len(rows.line), "all cells"
        seconds_per_cell = (time.perf_counter() - start) / max(cells, 1)
        derived.derivations.append(_derivation(name, settings, extent, seconds_per_cell * len(rows.line)))
    return derived


def _derivation(name: str, settings: DeriveSettings, extent: str, seconds: float) -> dict[str, Any]:
    return {"name": name, "kind": settings.kind, "from": settings.column, "made": extent, "seconds": seconds}


def _derive_few(derived: DerivedCheck, name: str, maker: Maker) -> np.ndarray:
    """Make a few cells, of the rows that have a source; the others stay empty."""
    rows, start = derived.derived.rows, time.perf_counter()
    cells = rows.table.column(maker.settings.column)
    with_source = derived.partial_rows.get(
        maker.settings.column, np.flatnonzero(np.array(cells.is_valid().to_pylist(), dtype=bool))
    )
    order = np.sort(np.random.default_rng(0).permutation(with_source)[:FEW])
    values: list[str | None] = [None] * len(cells)
    derived_rows = []
    for row in order:
        values[row], reason = maker(cells[int(row)].as_py())
        derived_rows.append(row)
        if reason:
            derived.derived.failed.append((int(row), name, reason))
        if time.perf_counter() - start > SECONDS:
            break
    table = rows.table.append_column(name, pa.array(values, pa.large_string()))
    derived.derived.rows = replace(rows, table=table)
    derived.partial_rows[name] = np.array(derived_rows, dtype=np.int64)
    return derived.partial_rows[name]
