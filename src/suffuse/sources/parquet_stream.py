"""Parquet, a few rows at a time, group by group, so that groups which are done are not read again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from . import class_labels
from .arrow_types import plain, plain_type
from .parquet import cant, has_text, not_utf8
from .row_stream import BLOCK, LARGEST_BLOCK, Block, Stream

BUFFER = 2**20  # bytes that are read ahead of a column


def stream(path: Path) -> Stream:
    """All rows; one with a text that isn't UTF-8, in whatever column, is noted as broken. Of class labels the names are
    read. Raises SuffuseError where the file isn't Parquet or is cut off."""
    try:
        schema = pq.read_schema(path)
        names, features = schema.names, class_labels.features(schema)
        texts = {field.name for field in schema if has_text(plain_type(field.type))}
    except (pa.ArrowException, OSError) as error:
        raise cant(path, error) from None
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        try:
            with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
                for rows, start, share in _pieces(file, [n for n in names if n in wanted or n in texts], skipped):
                    yield _block(class_labels.named(plain(rows), features), wanted, start, share)
        except (pa.ArrowException, OSError) as error:
            raise cant(path, error) from None

    return Stream(names, path.parent, read)


def _pieces(file: pq.ParquetFile, columns: list[str], skipped: int) -> Iterator[tuple[pa.Table, int, float]]:
    """(rows, how many stand before them, the share of the file that was read when they end) of each block."""
    facts = file.metadata
    count, start = max(facts.num_rows, 1), 0
    for group in range(facts.num_row_groups):
        rows, each = facts.row_group(group).num_rows, _rows(facts.row_group(group))
        within = -(-rows // each)  # blocks of this group
        if skipped >= within:
            skipped, start = skipped - within, start + rows
            continue
        for batch in file.iter_batches(each, [group], columns, use_threads=False):
            if skipped:
                skipped -= 1
            else:
                yield pa.Table.from_batches([batch]), start, (start + batch.num_rows) / count
            start += batch.num_rows


def _rows(group: pq.RowGroupMetaData) -> int:
    """How many rows of a group make a block: of large cells fewer."""
    each = group.total_byte_size / max(group.num_rows, 1)
    return max(1, min(BLOCK, int(LARGEST_BLOCK / max(each, 1))))


def _block(table: pa.Table, wanted: Collection[str], start: int, share: float) -> Block:
    lost: dict[int, str] = {}
    for name in table.column_names:
        for row in not_utf8(table.column(name)):
            lost.setdefault(row, f"broken row: '{name}' is not UTF-8")
    line = [start + row + 1 for row in range(table.num_rows) if row not in lost]
    table = table.select([name for name in table.column_names if name in wanted])
    if lost:
        table = table.filter(pa.array([row not in lost for row in range(table.num_rows)]))
    return Block(table.to_pydict(), line, [(start + row + 1, why) for row, why in sorted(lost.items())], share)
