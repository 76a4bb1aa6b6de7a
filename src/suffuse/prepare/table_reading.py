"""How a table is read: what stands for missing values in it, and lines for the screen about that and its format."""

from __future__ import annotations

from pathlib import Path

from ..errors import visible
from ..recipe import Data
from ..sources import Rows, texts
from ..sources.table_format import MISSING_VALUES, count_missing
from .column_types import percent, short

MAX_COLUMNS = 5  # that are named
MAX_TEXTS = 3  # of a column
SIGNS = {"?", "-", "--", "–", "—", ".", "无", "無"}  # that may also be a value: of `+` and `-`, of `有` and `无`


def missing_values(rows: Rows) -> tuple[str, ...]:
    """The texts that stand for missing values in a table: the usual ones, without a sign that is one of two values of
    some column, and without names that the source itself gives to classes."""
    values: set[str] = set()
    if rows.known.target:
        values |= {text for text in texts(rows.table.column(rows.known.target).to_pylist()) if text}
    for column in rows.table.columns:
        signs = set(count_missing(column, MISSING_VALUES)) & SIGNS
        if signs and len({text for text in texts(column.to_pylist()) if text} - set(MISSING_VALUES)) == 1:
            values |= signs
    return tuple(text for text in MISSING_VALUES if text not in values)


def reading_lines(rows: Rows, data: Data | None = None) -> list[str]:
    """Lines about a table. ``data``: the recipe's section, which may give the format itself."""
    lines: list[str] = []
    form = rows.text_format
    if form and not (data and ((data.encoding and data.delimiter) or form.is_usual(Path(data.source)))):
        lines.append(f"read as {form}")
    return [*lines, *missing_lines(rows)]


def missing_lines(rows: Rows) -> list[str]:
    """One line that counts the cells that are read as missing values."""
    counts = sorted(rows.missing.items(), key=lambda pair: -sum(pair[1].values()))
    parts = [missing_text(name, found, rows.table.num_rows) for name, found in counts[:MAX_COLUMNS]]
    rest = f"; {len(counts) - MAX_COLUMNS} more columns" if len(counts) > MAX_COLUMNS else ""
    return [f"missing values: {'; '.join(parts)}{rest}"] if parts else []


def missing_text(name: str, counts: dict[str, int], rows: int) -> str:
    """``income: 51 cells (5 %) 'NULL'``."""
    total = sum(counts.values())
    written = ", ".join(f"'{short(text)}'" for text in list(counts)[:MAX_TEXTS])
    return visible(f"{name}: {total:,} cells ({percent(total / rows)}) {written}")
