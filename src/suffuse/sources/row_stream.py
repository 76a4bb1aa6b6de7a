"""A source as a stream of blocks, and all of its blocks as one table.

``predict`` reads block by block, so that a million rows take no more memory than a thousand. ``prepare`` reads the
blocks of the same stream one behind the other. A block ends after a number of rows or ``MAX_BLOCK_SIZE`` characters or
bytes, so where it ends depends on the source alone. A broken row is listed in the block that is read when it is met.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from .text_format import TextFormat

BLOCK_ROWS = 256  # of a block that predict reads
CHUNK_ROWS = 8192  # of a block of a table that is read whole
MAX_BLOCK_SIZE = 2**24  # characters or bytes after which a block ends early
Broken = list[tuple[int, str]]  # (line, reason) of what is no row
Row = TypeVar("Row", list[str], dict)


@dataclass(frozen=True)
class KnownRoles:
    """What a source itself says about its columns, however their cells look."""

    id: str | None = None  # identifies rows
    target: str | None = None  # classes
    origin: tuple[str, ...] = ()  # say where files came from; no model reads them


@dataclass(frozen=True)
class Rows:
    """A source's rows. ``line[i]`` is where row i stands (a line of the file, or a row number from 1)."""

    table: pa.Table
    line: list[int]
    root: Path | str  # folder that relative file paths start from, or its URL
    broken: Broken = field(default_factory=list)
    changed: list[tuple[int, str, str]] = field(default_factory=list)  # (line, column, how) of cells changed by a rule
    rules: dict[str, str] = field(default_factory=dict)  # column -> that rule, in words
    text_format: TextFormat | None = None  # of a text table
    missing: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> text that is missing -> cells
    known: KnownRoles = KnownRoles()


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a source."""

    columns: pa.Table | Mapping[str, list[Any]]  # column -> a cell for each row
    line: list[int]  # where each row stands
    broken: Broken
    share: float  # of the source that is read when this block ends, 0 to 1

    def names(self) -> Iterable[str]:
        """The columns that were read."""
        return self.columns if isinstance(self.columns, Mapping) else self.columns.column_names

    def cells(self, name: str) -> list[Any]:
        """A column's cells as Python objects."""
        column = self.columns[name]
        return column if isinstance(column, list) else column.to_pylist()


@dataclass(frozen=True)
class Stream:
    """A source that is read on demand.

    ``blocks(columns, skip, size)`` yields these columns in blocks of at most ``size`` rows, without the first ``skip``
    blocks. Which rows are broken doesn't depend on the columns. With None it yields all columns that are known so far.
    """

    root: Path | str  # folder that relative file paths start from, or its URL
    list_names: Callable[[], list[str]]
    blocks: Callable[[Collection[str] | None, int, int], Iterator[Block]]
    text_format: TextFormat | None = None  # of a text table
    known: KnownRoles = KnownRoles()

    @cached_property
    def names(self) -> list[str]:
        """All columns."""
        return self.list_names()

    def read(self, columns: Collection[str], skip: int) -> Iterator[Block]:
        """Blocks of ``BLOCK_ROWS`` rows, without the first ``skip`` ones."""
        return self.blocks(columns, skip, BLOCK_ROWS)

    def read_all(self) -> Rows:
        """All blocks as one table. Where cells of a column don't agree about their type, the source is read again.

        Raises ArrowException where Arrow can't hold a column.
        """
        import pyarrow as pa

        columns, lines, broken = self._concatenate(None, ())
        if mixed := [name for name, column in columns.items() if column is None]:
            columns, lines, broken = self._concatenate(self.names, mixed)
        table = pa.table(columns)
        return Rows(table, lines.tolist(), self.root, broken, text_format=self.text_format, known=self.known)

    def _concatenate(
        self, names: Collection[str] | None, mixed: Collection[str]
    ) -> tuple[dict[str, pa.ChunkedArray | pa.Array | None], array, Broken]:
        """(columns, lines, broken rows) of all blocks; None for a column of several types that isn't in ``mixed``."""
        import pyarrow as pa

        from .arrow_types import concatenated, inferred, inferred_or_text

        parts: dict[str, list] = {}  # column -> chunks, or cells of a mixed one
        lines, broken = array("q"), []  # numbers that don't stand between the cells in memory
        for block in self.blocks(names, 0, CHUNK_ROWS):
            for name in block.names():
                column, chunks = block.columns[name], parts.setdefault(name, [pa.nulls(len(lines))] if lines else [])
                if name in mixed:
                    chunks += block.cells(name)
                else:
                    chunks.append(inferred(column) if isinstance(column, list) else column)
            lines.extend(block.line)
            broken += block.broken
        columns = {n: inferred_or_text(part) if n in mixed else concatenated(part) for n, part in parts.items()}
        return columns, lines, broken


def batches(rows: Iterable[tuple[int, Row | str, int]], max_rows: int) -> Iterator[tuple[list[Row], list[int], Broken]]:
    """(line, row or why it is broken, size) of rows -> (rows, their lines, broken rows) of blocks."""
    kept: list[Row] = []
    lines: list[int] = []
    broken: Broken = []
    total = 0
    for line, row, size in rows:
        if isinstance(row, str):
            broken.append((line, row))
            continue
        kept.append(row)
        lines.append(line)
        total += size
        if len(kept) == max_rows or total > MAX_BLOCK_SIZE:
            yield kept, lines, broken
            kept, lines, broken, total = [], [], [], 0
    if kept or broken:
        yield kept, lines, broken


def in_memory(rows: Rows) -> Stream:
    """A stream of rows that are in memory, or mapped to it, already."""

    names = rows.table.column_names

    def blocks(columns: Collection[str] | None, skip: int, size: int) -> Iterator[Block]:
        count = rows.table.num_rows
        table = rows.table.select([name for name in names if columns is None or name in columns])
        for start in range(skip * size, count, size):
            line = rows.line[start : start + size]
            broken = [] if start else list(rows.broken)
            yield Block(table.slice(start, size), line, broken, (start + len(line)) / count)

    return Stream(rows.root, lambda: names, blocks)
