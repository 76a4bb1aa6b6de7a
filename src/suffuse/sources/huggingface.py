"""Hugging Face datasets as ``save_to_disk`` wrote them, read as Arrow; the library itself isn't needed.

A DatasetDict gives a column ``split``. A ``ClassLabel`` is stored as a number and becomes its name: ``save_to_disk``
writes the names into ``dataset_info.json``, ``to_parquet`` into the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from ..files import plain_file
from .arrow_types import plain
from .row_stream import Rows
from .table_format import TableFormat

METADATA_KEY = b"huggingface"  # of an Arrow schema


def read(folder: Path, table_format: TableFormat) -> Rows:
    """All rows of a saved Dataset or DatasetDict."""
    try:
        if (folder / "dataset_dict.json").exists():
            names = json.loads(plain_file(folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
            parts = [with_split(_table(folder / name), name) for name in names]
            table = pa.concat_tables(parts, promote_options="default")
        else:
            table = _table(folder)
    except (pa.ArrowException, OSError, KeyError, json.JSONDecodeError) as error:
        raise SuffuseError("can't read the dataset", where=folder, got=error) from None
    return Rows(table, list(range(1, table.num_rows + 1)), folder)


def with_split(table: pa.Table, name: str) -> pa.Table:
    """A dataset's part with its name in a column ``split``, unless there is one."""
    return table if "split" in table.column_names else table.append_column("split", pa.array([name] * table.num_rows))


def _table(folder: Path) -> pa.Table:
    state = json.loads(plain_file(folder / "state.json").read_text(encoding="utf-8"))
    if state.get("_indices_data_files"):
        raise UsageError(
            "this dataset was saved with an index",
            where=folder,
            hint="call flatten_indices() before save_to_disk",
        )
    parts = []
    for file in state["_data_files"]:
        with pa.memory_map(str(plain_file(folder / file["filename"]))) as source:
            parts.append(pa.ipc.open_stream(source).read_all())
    if not parts:  # a split without rows
        return pa.table({})
    table = pa.concat_tables(parts)
    features = json.loads(plain_file(folder / "dataset_info.json").read_text(encoding="utf-8")).get("features") or {}
    return name_classes(plain(table), features)


def schema_features(schema: pa.Schema) -> dict[str, Any]:
    """Column -> its feature as plain JSON, from a schema's metadata; nothing where there is none that can be read."""
    try:
        metadata = json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except (ValueError, RecursionError):  # another program's key
        return {}
    info = metadata.get("info") if isinstance(metadata, dict) else None
    columns = info.get("features") if isinstance(info, dict) else None
    return columns if isinstance(columns, dict) else {}


def name_classes(table: pa.Table, features: Mapping[str, Any]) -> pa.Table:
    """Class numbers -> names, in columns of class labels and of lists of them; a negative number is no label.

    Raises ArrowException where a number has no name.
    """
    for position, column in enumerate(table.column_names):
        names, kind = _class_names(features.get(column)), table.schema.field(position).type
        if names and _holds_codes(kind):
            cells = [_named(cell, names, column) for cell in table.column(position).to_pylist()]
            named_type = pa.list_(pa.string()) if pa.types.is_nested(kind) else pa.string()
            table = table.set_column(position, column, pa.array(cells, named_type))
    return table.replace_schema_metadata(None)


def _class_names(feature: Any) -> Sequence[str]:
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
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return pa.types.is_integer(kind.value_type if is_list else kind)


def _named(cell: Any, names: Sequence[str], column: str) -> Any:
    if isinstance(cell, list):
        return [name for code in cell if (name := _named(code, names, column)) is not None]
    if cell is None or cell < 0:
        return None
    if cell >= len(names):
        raise pa.ArrowInvalid(f"class {cell} of column '{column}' has no name, of {len(names):,} that the file names")
    return names[cell]
