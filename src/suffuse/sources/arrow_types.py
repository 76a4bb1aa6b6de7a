"""Arrow's other layouts of the same values -> the plain ones, so that nothing behind the sources meets them.

Views, dictionaries and run-end encoding say how a file's writer laid its values out, and nothing of what they are.
"""

from __future__ import annotations

import pyarrow as pa


def plain(rows: pa.Table) -> pa.Table:
    """A table with texts as strings, bytes as binary and lists as lists.

    Raises ArrowException where a column can't be laid out so.
    """
    for place, field in enumerate(rows.schema):
        kind = plain_type(field.type)
        if kind != field.type:
            rows = rows.set_column(place, field.with_type(kind), _converted(rows.column(place), kind))
    return rows


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if "list_view" not in str(column.type):
        return column.cast(kind)
    try:
        return pa.array(column.to_pylist(), kind)  # Arrow 26's cast loses items of a list view
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a text in a list is not UTF-8: {error.reason}") from None


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that holds the same values without a layout of its own."""
    if pa.types.is_dictionary(kind) or _is("run_end_encoded", kind):
        return plain_type(kind.value_type)
    if _is("string_view", kind):
        return pa.large_string()  # views have no limit of 2 GiB
    if _is("binary_view", kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(place)) for place in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind) or _is("list_view", kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind) or _is("large_list_view", kind):
        return pa.large_list(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def _is(name: str, kind: pa.DataType) -> bool:
    """Whether a type is of a layout that an older Arrow doesn't know."""
    known = getattr(pa.types, f"is_{name}", None)
    return known is not None and known(kind)
