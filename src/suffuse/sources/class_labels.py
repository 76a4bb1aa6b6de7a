"""Hugging Face features: a ``ClassLabel`` is stored as a number, and its names stand beside the rows.

``save_to_disk`` writes the features into ``dataset_info.json``, ``to_parquet`` into the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

KEY = b"huggingface"  # of the schema's metadata


def features(schema: pa.Schema) -> dict[str, Any]:
    """Column -> its feature as plain JSON, from a schema's metadata; nothing where there is none that can be read."""
    try:
        metadata = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    except (ValueError, RecursionError):  # another program's key
        return {}
    info = metadata.get("info") if isinstance(metadata, dict) else None
    columns = info.get("features") if isinstance(info, dict) else None
    return columns if isinstance(columns, dict) else {}


def named(rows: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """Class numbers -> names, in columns of class labels and of lists of them; a negative number is no label.

    Raises ArrowException where a number has no name.
    """
    for place, name in enumerate(rows.column_names):
        names, kind = _names(columns.get(name)), rows.schema.field(place).type
        if names and _holds_codes(kind):
            cells = [_name(cell, names, name) for cell in rows.column(place).to_pylist()]
            wanted = pa.list_(pa.string()) if pa.types.is_nested(kind) else pa.string()
            rows = rows.set_column(place, name, pa.array(cells, wanted))
    return rows.replace_schema_metadata(None)


def _names(feature: Any) -> Sequence[str]:
    """The names of a class label, or of a list of class labels; none of anything else."""
    if isinstance(feature, list) and len(feature) == 1:  # a short form of a list
        feature = {"feature": feature[0]}
    if isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _holds_codes(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return pa.types.is_integer(kind.value_type if lists else kind)


def _name(cell: Any, names: Sequence[str], column: str) -> Any:
    if isinstance(cell, list):
        return [name for code in cell if (name := _name(code, names, column)) is not None]
    if cell is None or cell < 0:
        return None
    if cell >= len(names):
        raise pa.ArrowInvalid(f"class {cell} of column '{column}' has no name, of {len(names):,} that the file names")
    return names[cell]
