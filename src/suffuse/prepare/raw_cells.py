"""The raw cells of a run's prepared rows, for readers with their own preprocessing: external teachers.

A row is found by its place in the source and its id is compared, so that a source that was changed since is an error.
The table is read once; its cells become Python objects a piece at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import sources
from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import parsing
from ..modalities.cell import Absent, Root, Unreadable, content, is_empty
from ..run import Run
from . import derived_columns, synthetic_rows, table_rows


class RawRows:
    """N prepared rows of a run as its source has them, read on demand."""

    def __init__(self, run: Run):
        self.run = run

    @cached_property
    def ids(self) -> list[str]:
        """(N,) of the rows."""
        return self._prepared["id"].to_pylist()

    @cached_property
    def root(self) -> Root:
        """Where file paths in cells start, and the folder that they may not lead out of."""
        return table_rows.root(self.run.recipe.data, self._source)

    @property
    def columns(self) -> list[str]:
        """The table's own columns; those that the recipe derives stand beside them."""
        return self._source.table.column_names

    def cells(self, column: str, rows: np.ndarray, key: str = "teacher") -> list:
        """The cells (B,) of some rows in a column of the table, or in one that the recipe derives.

        Raises UsageError, naming the recipe's ``key``, where there is no such column.
        """
        source = self._source
        if column not in self.columns:
            known = self.run.recipe.data.derive
            if column not in known:
                hint = did_you_mean(column, [*self.columns, *known])
                raise UsageError("no such column", where=key, got=f"'{column}'", hint=hint)
            source = self._derived
        cells = source.table.column(column).take(pa.array(self._place[rows])).to_pylist()
        own = self._synthetic[f"cell {column}"] if f"cell {column}" in self._synthetic.column_names else None
        if own is None:
            return cells
        first, kind = len(self.ids) - len(own), source.table.schema.field(column).type
        positions = np.flatnonzero(rows >= first)
        changed = own.take(pa.array(rows[positions] - first))
        for position, text, cell in zip(positions, changed.to_pylist(), _as_type(changed, kind), strict=True):
            if text is not None:
                cells[position] = cell
        return cells

    def records(
        self, columns: Sequence[str], rows: np.ndarray, hidden: Collection[str] = (), files: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        """Of each row column -> cell; None where it is empty, or its modality is among the ``hidden`` ones. Of the
        columns in ``files`` the bytes of the file that a cell names; None where it can't be read."""
        columns_of_cells: dict[str, list] = {}
        for column in columns:
            if self.modality(column) in hidden:
                columns_of_cells[column] = [None] * len(rows)
                continue
            cells = [None if is_empty(cell) else cell for cell in self.cells(column, rows)]
            columns_of_cells[column] = [self._file(cell) for cell in cells] if column in files else cells
        return [
            dict(zip(columns_of_cells, cells, strict=True)) for cells in zip(*columns_of_cells.values(), strict=True)
        ]

    def modality(self, column: str) -> str:
        """The run's modality that reads a column; the column's own name where none does."""
        return next((n for n, m in self.run.recipe.modalities.items() if column in m.columns), column)

    def named(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The modalities of some columns, each once."""
        return tuple(dict.fromkeys(self.modality(column) for column in columns))

    def _file(self, cell: Any) -> bytes | None:
        try:
            return content(cell, self.root)
        except (Absent, Unreadable):
            return None

    @cached_property
    def _prepared(self) -> pa.Table:
        with parsing(self.run.path("data", "rows.parquet")):
            return pq.read_table(self.run.path("data", "rows.parquet"), columns=["line", "id"])

    @cached_property
    def _synthetic(self) -> pa.Table:
        """The synthetic rows, which are the last of the prepared rows; none in a run that makes none."""
        file = self.run.path("data", synthetic_rows.FILE)
        if not file.exists():
            return pa.table({"source": pa.array([], pa.int64())})
        with parsing(file):
            return pq.read_table(file)

    @cached_property
    def _source(self) -> sources.Rows:
        data = self.run.recipe.data
        return sources.read(data.source, table_format=data.table_format)

    @cached_property
    def _derived(self) -> sources.Rows:
        """The table with the recipe's derived columns; slow ones were stored when it was prepared."""
        data, rows = self.run.recipe.data, self._source
        names = table_rows.roles(self.run.recipe, rows).names()
        return derived_columns.add(rows, data.derive, names, self.root, self.run.path(".memory"), lambda *_: None).rows

    @cached_property
    def _place(self) -> np.ndarray:
        """(N,) where each row stands in the table."""
        row_of_line = {line: positions for positions, line in enumerate(self._source.line)}
        positions = np.array([row_of_line.get(line, -1) for line in self._prepared["line"].to_pylist()], dtype=np.int64)
        mismatches = int((positions < 0).sum())
        column, count = self.run.recipe.data.id, len(self.ids) - len(self._synthetic)
        if column and not mismatches:
            current = sources.texts(
                sources.column(self._source, column, "data.id").take(pa.array(positions[:count])).to_pylist()
            )
            mismatches = sum(a != b for a, b in zip(current, self.ids[:count], strict=True))
        if mismatches:
            where = self.run.recipe.data.source
            got = f"{mismatches:,} prepared rows that aren't where they were"
            raise SuffuseError(
                "the table was changed since", where=where, got=got, hint="`suffuse run` prepares it again"
            )
        return positions


def _as_type(texts: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    """Cells that are texts as cells of a column's type; as texts where that type has none like them."""
    texts = pc.if_else(pc.equal(texts, ""), None, texts)  # an empty cell
    try:
        return texts.cast(kind).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return texts.to_pylist()
