"""Rows that are Python objects: a pandas frame, a Hugging Face Dataset or DatasetDict, an Arrow table, records.

They are written once as Parquet, so that a run stands on its own. Pictures in cells (Pillow, NumPy) become PNG
bytes, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..errors import UsageError
from ..modalities.image import as_png


def save_rows(rows: Any, file: str | Path) -> Path:
    """Write the rows as Parquet and return the file.

    Raises UsageError where ``rows`` is none of the kinds above.
    """
    table = to_table(rows)
    if not table.num_rows:
        raise UsageError("there are no rows", got=type(rows).__name__)
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def to_table(rows: Any) -> pa.Table:
    """Any of the kinds above -> Arrow."""
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, dict):  # a DatasetDict, or tables by split
        parts = [with_split(to_table(part), name) for name, part in rows.items()]
        return pa.concat_tables(parts, promote_options="default")
    if hasattr(rows, "features") and hasattr(rows, "with_format"):
        return _named(rows.with_format("arrow")[:], rows.features)
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):  # a frame, without importing pandas
        return pa.table({str(name): _column(list(rows[name])) for name in rows.columns})
    if isinstance(rows, Sequence) and rows and all(isinstance(r, Mapping) for r in rows):
        names = dict.fromkeys(str(key) for row in rows for key in row)
        return pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    raise UsageError(
        "these are no rows", got=type(rows).__name__, expected="a pandas frame, a dataset, an Arrow table or records"
    )


def with_split(table: pa.Table, name: str) -> pa.Table:
    """A dataset's part with its name in a column ``split``, unless there is one."""
    return table if "split" in table.column_names else table.append_column("split", pa.array([name] * table.num_rows))


def named_classes(table: pa.Table, name: str, names: Sequence[str]) -> pa.Table:
    """Class numbers -> names; a negative number is no label."""
    codes = [None if c is None or c < 0 else c for c in table[name].to_pylist()]
    made = pa.array(names).take(pa.array(codes, pa.int64()))
    return table.set_column(table.column_names.index(name), name, made)


def _named(table: pa.Table, features: Mapping[str, Any]) -> pa.Table:
    for name, feature in features.items():
        if type(feature).__name__ == "ClassLabel":
            table = named_classes(table, name, feature.names)
    return table.replace_schema_metadata(None)


def _column(values: list) -> pa.Array:
    """A column of cells; pictures as PNG, missing values (None, NaN, NaT) as null."""
    cells = [as_png(v) if isinstance(v, (np.ndarray, Image.Image)) else None if v != v else v for v in values]
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([c if c is None else str(c) for c in cells])
