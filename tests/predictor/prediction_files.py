"""Files of predictions, read back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def read_predictions(
    file: Path, convert: Callable[[str, str], Any] = lambda column, text: text
) -> list[dict[str, Any]]:
    """The rows of a file in any of the three formats. ``convert(column, text)``: of a cell of CSV, which is a text."""
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with file.open(encoding="utf-8", newline="") as lines:
        return [{column: convert(column, text) for column, text in row.items()} for row in csv.DictReader(lines)]
