"""Parquet, a few rows at a time, group by group, so that groups which are done are not read again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from .parquet import cant, not_utf8
from .stream import BLOCK, LARGEST_BLOCK, Block, Stream

BUFFER = 2**20  # bytes that are read ahead of a column


def stream(path: Path) -> Stream:
    """All rows; one with a text that is no UTF-8 is noted as broken. Raises SuffuseError where the file is no Parquet
    or is cut off."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise cant(path, error) from None
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        try:
            with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
                yield from _blocks(file, [n for n in names if n in wanted], skipped)
        except (pa.ArrowException, OSError) as error:
            raise cant(path, error) from None

    return Stream(names, path.parent, read)


def _blocks(file: pq.ParquetFile, wanted: list[str], skipped: int) -> Iterator[Block]:
    facts = file.metadata
    count, start = max(facts.num_rows, 1), 0
    for group in range(facts.num_row_groups):
        rows, each = facts.row_group(group).num_rows, _rows(facts.row_group(group))
        within = -(-rows // each)  # blocks of this group
        if skipped >= within:
            skipped, start = skipped - within, start + rows
            continue
        for batch in file.iter_batches(each, [group], wanted, use_threads=False):
            if skipped:
                skipped -= 1
            else:
                yield _block(batch, start, (start + batch.num_rows) / count)
            start += batch.num_rows


def _rows(group: pq.RowGroupMetaData) -> int:
    """How many rows of a group make a block: of large cells fewer."""
    each = group.total_byte_size / max(group.num_rows, 1)
    return max(1, min(BLOCK, int(LARGEST_BLOCK / max(each, 1))))


def _block(batch: pa.RecordBatch, start: int, share: float) -> Block:
    lost: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for row in not_utf8(pa.chunked_array([column])):
            lost.setdefault(row, f"broken row: '{name}' is not UTF-8")
    line = [start + row + 1 for row in range(batch.num_rows) if row not in lost]
    if lost:
        batch = batch.filter(pa.array([row not in lost for row in range(batch.num_rows)]))
    return Block(batch.to_pydict(), line, [(start + row + 1, why) for row, why in sorted(lost.items())], share)
