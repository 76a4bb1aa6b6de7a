"""Rows that are Python objects: a pandas frame, a Hugging Face Dataset or DatasetDict, an Arrow table, records.

They are written once as Parquet, so that a run depends on no object in memory. A modality packs the cells that it
reads: pictures (Pillow, arrays, tensors) become PNG bytes, samples WAV, steps of numbers .npy, all of them lossless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..errors import UsageError
from ..modalities import load_modality
from ..modalities.cell import Absent, Unreadable
from ..registry import ModalitySettings, implements
from .huggingface import name_classes, with_split

Pack = Callable[[Any], Any]


def save_rows(rows: Any, file: str | Path, read: Mapping[str, ModalitySettings] | None = None) -> Path:
    """Write the rows as Parquet and return the file. ``read`` holds the modalities that will read them.

    Raises UsageError where ``rows`` is none of the kinds above, or a cell holds what its modality can't read.
    """
    table = to_table(rows, _packs(read or {}))
    if not table.num_rows:
        raise UsageError("there are no rows", got=type(rows).__name__)
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def to_table(rows: Any, packs: Mapping[str, Pack] | None = None) -> pa.Table:
    """Any of the kinds above -> Arrow; ``packs`` says what is done to a column's cells."""
    packs = packs or {}
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, dict):  # a DatasetDict, or tables by split
        parts = [with_split(to_table(part, packs), name) for name, part in rows.items()]
        return pa.concat_tables(parts, promote_options="default")
    if hasattr(rows, "features") and hasattr(rows, "with_format"):
        return name_classes(rows.with_format("arrow")[:], rows.features.to_dict())
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):  # a frame, without importing pandas
        return pa.table({str(name): _column(str(name), list(rows[name]), packs) for name in rows.columns})
    if isinstance(rows, Sequence) and rows and all(isinstance(r, Mapping) for r in rows):
        names = dict.fromkeys(str(key) for row in rows for key in row)
        return pa.table({name: _column(name, [row.get(name) for row in rows], packs) for name in names})
    raise UsageError(
        "these are no rows", got=type(rows).__name__, expected="a pandas frame, a dataset, an Arrow table or records"
    )


def _packs(read: Mapping[str, ModalitySettings]) -> dict[str, Pack]:
    """Column -> how the modality that reads it packs a cell."""
    packs: dict[str, Pack] = {}
    for modality in read.values():
        part = load_modality(modality.kind)
        if implements(part, "packed"):
            for column in modality.columns:
                packs.setdefault(column, partial(part.packed, modality))
    return packs


def _column(name: str, values: list, packs: Mapping[str, Pack]) -> pa.Array:
    """A column of cells, packed; missing values (None, NaN, NaT) as null."""
    pack, cells = packs.get(name, _unpacked), []
    for number, value in enumerate(values, 1):
        try:
            cells.append(None if _missing(value) else pack(value))
        except Absent:
            cells.append(None)
        except Unreadable as error:
            raise UsageError("a cell can't be read", where=f"column '{name}', row {number}", got=error) from None
    cells = _harmonised(cells)
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError):  # half a surrogate pair is no text
        return pa.array([c if c is None else str(c).encode("utf-8", "replace").decode("utf-8") for c in cells])


def _harmonised(cells: list) -> list:
    """Lists everywhere, where some cells are lists; the Hugging Face form of a file, where bytes stand beside paths."""
    lists = [None if c is None else c if isinstance(c, list) else [c] for c in cells]
    items = [item for c in lists if c is not None for item in c if item is not None]
    if len({isinstance(item, bytes) for item in items}) == 2:
        lists = [c and [_as_file(item) for item in c] for c in lists]
    elif any(isinstance(item, Path) for item in items):
        lists = [c and [str(item) if isinstance(item, Path) else item for item in c] for c in lists]
    return lists if any(isinstance(c, list) for c in cells) else [c and c[0] for c in lists]


def _as_file(cell: Any) -> Any:
    """The Hugging Face form of a file: its bytes, or its path."""
    if cell is None or isinstance(cell, dict):
        return cell and {"bytes": cell.get("bytes"), "path": cell.get("path")}
    return {"bytes": cell, "path": None} if isinstance(cell, bytes) else {"bytes": None, "path": str(cell)}


def _missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _unpacked(value: Any) -> Any:
    """A cell of a column that no modality packs."""
    picture = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3)
    if isinstance(value, Image.Image) or picture:
        return load_modality("image").packed(_PICTURE, value)
    return value.tolist() if isinstance(value, np.ndarray) else value


_PICTURE = load_modality("image").Settings.model_validate({"kind": "image", "column": ""})
