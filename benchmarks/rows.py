"""Tables in which a case hides labels, or has rows more."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, str]


def read(file: Path) -> list[Row]:
    """A CSV file's rows."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def write(file: Path, rows: Sequence[Row]) -> None:
    """Rows of the same columns -> a CSV file, whole or not at all; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}")
    with part.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    part.replace(file)
