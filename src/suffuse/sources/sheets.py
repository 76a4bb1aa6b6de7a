"""Spreadsheets: the first sheet of an .xlsx or .ods file, or another one as ``file.xlsx#Sheet name``.

The first row that isn't blank is the header. Numbers, truths, dates and times keep their types; a number without a
fraction is whole. A formula gives the value that was stored with it. Blank rows, and columns without a name or a
value, are no rows and no columns. ``line`` is the row's number in the sheet.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SuffuseError, UsageError, did_you_mean
from ..object_store import ObjectPath
from ..registry import optional
from .arrow_types import inferred_or_text
from .row_stream import Rows
from .table_format import TableFormat, split_sheet

EXTRA = "sheets"
LARGEST_WHOLE = 2**53  # a float beyond it may not be the whole number that it looks like


def read(path: Path | ObjectPath, table_format: TableFormat) -> Rows:
    """All rows of a sheet. ``path`` may end in ``#`` and the sheet's name.

    Raises UsageError where python-calamine isn't installed, there is no such sheet or no header, or a name occurs
    twice; SuffuseError where the file is no spreadsheet.
    """
    calamine: Any = optional("python_calamine", EXTRA)
    file, name = (path, path.sheet) if isinstance(path, ObjectPath) else split_sheet(str(path))
    content: Any = io.BytesIO(file.read_bytes()) if isinstance(file, ObjectPath) else str(file)
    try:
        with calamine.load_workbook(content) as book:
            names = list(book.sheet_names)
            if not names or (name and name not in names):
                hint = did_you_mean(name, names) if names else ""
                raise UsageError("no such sheet", where=file, got=name or "no sheet at all", hint=hint)
            sheet = book.get_sheet_by_name(name or names[0])
            start = (sheet.start or (0, 0))[0]
            rows = [(start + n, row) for n, row in enumerate(sheet.iter_rows(), 1) if any(cell != "" for cell in row)]
    except (calamine.CalamineError, OSError) as error:
        got = next(iter(str(error).splitlines()), type(error).__name__)
        raise SuffuseError("can't read the spreadsheet", where=file, got=got) from None
    return _rows(rows, path, file)


def _rows(rows: list[tuple[int, list[Any]]], path: Path | ObjectPath, file: Path | ObjectPath) -> Rows:
    """Numbered rows, the header first, as a table."""
    if not rows:
        raise UsageError("the table is empty", where=path, expected="a header row and rows")
    (_, header), *body = rows
    names = [str(_whole(cell)).strip() for cell in header]
    cells = [[_cell(row[position]) for _, row in body] for position in range(len(names))]
    columns = dict(_columns(names, cells, path))
    return Rows(pa.table(columns), [line for line, _ in body], file.parent)


def _columns(names: list[str], cells: list[list[Any]], path: Path | ObjectPath) -> Iterator[tuple[str, pa.Array]]:
    """(name, cells) of each column that has a name, or else a value; that is named by its letter."""
    seen: set[str] = set()
    for position, (name, column) in enumerate(zip(names, cells, strict=True)):
        if not name and all(cell is None for cell in column):
            continue
        name = name or f"column {_letters(position)}"
        if name in seen:
            raise UsageError("two columns have the same name", where=path, got=f"'{name}' twice")
        seen.add(name)
        yield name, inferred_or_text(_with_time(column))


def _with_time(cells: list[Any]) -> list[Any]:
    """Days as their midnights where other cells have a time: midnight itself is read as a day."""
    if not any(isinstance(cell, datetime) for cell in cells):
        return cells
    return [datetime(c.year, c.month, c.day) if type(c) is date else c for c in cells]


def _cell(value: Any) -> Any:
    return None if value == "" else _whole(value)


def _whole(value: Any) -> Any:
    """A number without a fraction as a whole one: a spreadsheet stores all numbers as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_WHOLE else value


def _letters(position: int) -> str:
    """A, B, ... Z, AA, ..."""
    text, number = "", position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text
