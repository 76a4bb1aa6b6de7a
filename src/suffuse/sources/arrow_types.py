"""Arrow types of columns: Python cells -> a column, and other layouts of the same values -> the plain ones.

Views, dictionaries and run-end encoding are a matter of how a file's writer laid its values out. Nothing behind the
sources meets them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

NO_COMMON_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)  # mixed types, or a number beyond 64 bits


def inferred(cells: Sequence) -> pa.Array | None:
    """Cells as an array of the type that they have; None where they have no type in common."""
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError):
        return None


def inferred_or_text(cells: Sequence) -> pa.Array:
    """Cells as an array of the type that they have, or of texts where they have none in common."""
    try:
        return pa.array(cells)
    except NO_COMMON_TYPE:
        return pa.array([_text(cell) for cell in cells])


def _text(cell: Any) -> str | None:
    """A cell of a column of mixed types, as a modality reads it where it stands alone."""
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, ensure_ascii=False)
    return None if cell is None else str(cell)


def concatenated(chunks: Sequence[pa.Array | pa.ChunkedArray | None]) -> pa.ChunkedArray | None:
    """Chunks of a column as one; None where their types differ by more than nulls, or integers and floats."""
    kinds = {None if chunk is None else chunk.type for chunk in chunks} - {pa.null()}
    if None in kinds or (len(kinds) > 1 and kinds != {pa.int64(), pa.float64()}):
        return None
    tables = [pa.table([chunk], names=["column"]) for chunk in chunks]
    try:
        return pa.concat_tables(tables, promote_options="permissive").column(0) if tables else pa.chunked_array([[]])
    except pa.ArrowException:  # an integer that no float equals
        return None


def plain(table: pa.Table) -> pa.Table:
    """A table with texts as strings, bytes as binary and lists as lists.

    Raises ArrowException where a column can't be laid out so.
    """
    for position, field in enumerate(table.schema):
        kind = plain_type(field.type)
        if kind != field.type:
            table = table.set_column(position, field.with_type(kind), _converted(table.column(position), kind))
    return table


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if "list_view" not in str(column.type):
        return column.cast(kind)
    try:
        return pa.array(column.to_pylist(), kind)  # Arrow 26's cast loses items of a list view
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a text in a list is not UTF-8: {error.reason}") from None


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that holds the same values without a layout of its own."""
    if pa.types.is_dictionary(kind) or _has_layout("run_end_encoded", kind):
        return plain_type(kind.value_type)
    if _has_layout("string_view", kind):
        return pa.large_string()  # views have no limit of 2 GiB
    if _has_layout("binary_view", kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(position)) for position in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind) or _has_layout("list_view", kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind) or _has_layout("large_list_view", kind):
        return pa.large_list(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def _has_layout(name: str, kind: pa.DataType) -> bool:
    """Whether a type is of a layout that an older Arrow doesn't know."""
    test = getattr(pa.types, f"is_{name}", None)
    return test is not None and test(kind)
