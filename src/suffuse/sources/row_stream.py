"""A source, a few rows at a time: for what must take no more memory for a million rows than for a thousand.

A block ends after BLOCK rows or LARGEST_BLOCK characters or bytes, so where it ends depends on the source alone. What
is no row is in the block that is read when it is met.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..registry import load
from . import Rows, exists, inline, locate

BLOCK = 256  # rows
LARGEST_BLOCK = 2**24  # characters or bytes after which a block ends early

STREAMS = {
    "suffuse.sources.csv": "suffuse.sources.csv_stream",
    "suffuse.sources.jsonl": "suffuse.sources.jsonl_stream",
    "suffuse.sources.parquet": "suffuse.sources.parquet_stream",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a source, in order."""

    cells: dict[str, list]  # column -> a cell for each row
    line: list[int]  # where each row stands
    broken: list[tuple[int, str]]  # (line, reason) of what is no row
    share: float  # of the source that was read when this block ended


@dataclass(frozen=True, slots=True)
class Stream:
    """A source that is read when it is asked for."""

    names: list[str]  # of all columns
    root: Path  # what relative file paths start from
    read: Callable[[Collection[str], int], Iterator[Block]]  # columns, blocks to leave out at the start -> the others


def stream(source: str) -> Stream:
    """Rows of a file, a saved dataset or a known set, or of records as JSON. JSON, a saved dataset and a known set are
    read whole.

    Raises UsageError where there is no such source, SuffuseError where it can't be read.
    """
    if inline.is_inline(source) and not exists(source):
        return whole(inline.read(source))
    module, path = locate(source, "rows")
    if module in STREAMS and path is not None:
        return load(STREAMS, module).stream(path)
    found = load({module: module}, module)
    return whole(found.read() if path is None else found.read(path))


def whole(rows: Rows) -> Stream:
    """What is in memory, or mapped to it, already."""

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        table, count = rows.table.select([n for n in rows.table.column_names if n in wanted]), rows.table.num_rows
        for start in range(skipped * BLOCK, count, BLOCK):
            cells = table.slice(start, BLOCK).to_pydict()
            line = rows.line[start : start + BLOCK]
            yield Block(cells, line, [] if start else list(rows.broken), (start + len(line)) / count)

    return Stream(rows.table.column_names, rows.root, read)
