"""A Hugging Face dataset, as ``save_to_disk`` wrote it, read as Arrow; the library itself isn't needed.

A DatasetDict gives a column ``split``. A ClassLabel becomes its name.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from ..files import plain_file
from . import Rows, class_labels
from .arrow_types import plain
from .frame import with_split


def read(folder: Path) -> Rows:
    """All rows of a saved Dataset or DatasetDict."""
    try:
        if (folder / "dataset_dict.json").exists():
            names = json.loads(plain_file(folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
            parts = [with_split(_table(folder / name), name) for name in names]
            table = pa.concat_tables(parts, promote_options="default")
        elif (folder / "state.json").exists():
            table = _table(folder)
        else:
            wanted = "a dataset saved by save_to_disk, or a .json file of questions"
            raise UsageError("this folder is no table", where=folder, expected=wanted)
    except (pa.ArrowException, OSError, KeyError, json.JSONDecodeError) as error:
        raise SuffuseError("can't read the dataset", where=folder, got=error) from None
    return Rows(table, list(range(1, table.num_rows + 1)), folder)


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
    return class_labels.named(plain(table), features)
