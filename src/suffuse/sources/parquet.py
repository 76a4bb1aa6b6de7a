"""Parquet, row group by row group; a row with a text that isn't UTF-8 is broken. Class labels become their names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SuffuseError, UsageError
from ..object_store import ObjectPath
from . import row_stream
from .arrow_types import plain, plain_type
from .huggingface import name_classes, schema_features
from .row_stream import Block, KnownRoles, Stream
from .table_format import TableFormat

ORIGIN_KEY = b"suffuse.origin"  # of a schema's metadata: columns that say where files came from, as `fetch` writes it
BUFFER = 2**20  # bytes of a column that are read ahead


def read(path: Path | ObjectPath, table_format: TableFormat) -> Stream:
    """All rows. Columns of text are read whether they are wanted or not: which rows are broken doesn't depend on that.

    Raises SuffuseError where the file isn't Parquet or is cut off, UsageError where a column's name occurs twice.
    """
    try:
        with _opened(path) as file:
            schema = file.schema_arrow
        names, features, known = schema.names, schema_features(schema), KnownRoles(origin=_origin(schema))
        texts = {field.name for field in schema if _has_text(plain_type(field.type))}
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError("two columns have the same name", where=path, got=f"'{repeated[0]}' twice")

    def blocks(columns: Collection[str] | None, skip: int, size: int) -> Iterator[Block]:
        kept: Collection[str] = names if columns is None else columns
        wanted = [name for name in names if name in kept or name in texts]
        try:
            with _opened(path) as file:
                for table, start, share in _batches(file, wanted, skip, size):
                    yield _block(name_classes(plain(table), features), kept, start, share)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None

    return Stream(path.parent, lambda: names, blocks, known=known)


def _opened(path: Path | ObjectPath) -> pq.ParquetFile:
    """This file alone, whatever its folder is called."""
    content: Any = path.open(buffering=BUFFER) if isinstance(path, ObjectPath) else path
    return pq.ParquetFile(content, buffer_size=BUFFER, pre_buffer=False)


def _origin(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that the metadata calls the files' origin."""
    try:
        columns = json.loads((schema.metadata or {}).get(ORIGIN_KEY, b"[]"))
    except (ValueError, RecursionError):  # another program's key
        return ()
    return tuple(name for name in schema.names if isinstance(columns, list) and name in columns)


def _batches(file: pq.ParquetFile, columns: list[str], skip: int, size: int) -> Iterator[tuple[pa.Table, int, float]]:
    """(rows, number of rows before them, share of the file that is read when they end) of each block. Row groups that
    are skipped whole are not read."""
    metadata = file.metadata
    count, start = max(metadata.num_rows, 1), 0
    for group in range(metadata.num_row_groups):
        rows, block_rows = metadata.row_group(group).num_rows, _block_rows(metadata.row_group(group), size)
        group_blocks = -(-rows // block_rows)
        if skip >= group_blocks:
            skip, start = skip - group_blocks, start + rows
            continue
        for batch in file.iter_batches(block_rows, [group], columns, use_threads=False):
            if skip:
                skip -= 1
            else:
                yield pa.Table.from_batches([batch]), start, (start + batch.num_rows) / count
            start += batch.num_rows


def _block_rows(group: pq.RowGroupMetaData, size: int) -> int:
    """How many rows of a group make a block: fewer where cells are large."""
    row_bytes = group.total_byte_size / max(group.num_rows, 1)
    return max(1, min(size, int(row_stream.MAX_BLOCK_SIZE / max(row_bytes, 1))))


def _block(table: pa.Table, columns: Collection[str], start: int, share: float) -> Block:
    reasons: dict[int, str] = {}
    for name in table.column_names:
        for row in _undecodable(table.column(name)):
            reasons.setdefault(row, f"broken row: '{name}' is not UTF-8")
    lines = list(range(start + 1, start + 1 + table.num_rows))
    table = table.select([name for name in table.column_names if name in columns])
    if reasons:
        kept = [row not in reasons for row in range(len(lines))]
        lines, table = [line for line, keep in zip(lines, kept, strict=True) if keep], table.filter(pa.array(kept))
    return Block(table, lines, [(start + row + 1, reason) for row, reason in sorted(reasons.items())], share)


def _unreadable(path: Path | ObjectPath, error: Exception) -> SuffuseError:
    return SuffuseError("can't read the table", where=path, got=next(iter(str(error).splitlines()), ""))


def _undecodable(column: pa.ChunkedArray) -> list[int]:
    """Rows with a text, on its own or in a list or record, that isn't UTF-8: a writer may call any bytes text."""
    if not _has_text(column.type):
        return []
    try:
        column.validate(full=True)
        return []
    except pa.ArrowInvalid:
        return [row for row, cell in enumerate(column) if not _decodes(cell)]


def _has_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts, on their own or in lists or records."""
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(position).type) for position in range(kind.num_fields))
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _decodes(cell: pa.Scalar) -> bool:
    try:
        cell.as_py()
    except UnicodeDecodeError:
        return False
    return True
