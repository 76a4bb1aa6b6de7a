"""Objects in JSON, and objects -> an Arrow table: a column for each key, empty where an object lacks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from ..files import plain_file
from .json_rows import RecordColumns, check_text

UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)  # mixed types, or a number beyond 64 bits


def objects(path: Path) -> tuple[list[dict], list[int], list[tuple[int, str]]]:
    """The objects, the number of each in the list from 1, and what is broken.

    Raises SuffuseError where the file is no JSON in UTF-8, UsageError where it isn't a list.
    """
    items, doubtful = _items(path)
    rows: list[dict] = []
    numbers: list[int] = []
    broken: list[tuple[int, str]] = []
    for number, item in enumerate(items, 1):
        try:
            if doubtful:
                check_text(item)
        except UnicodeError as error:
            broken.append((number, f"broken row: {error}"))
            continue
        if not isinstance(item, dict):
            broken.append((number, f"broken row: expected an object, got {type(item).__name__}"))
            continue
        rows.append(item)
        numbers.append(number)
    return rows, numbers, broken


def to_table(rows: Sequence[dict], path: Path) -> pa.Table:
    """Columns in the order in which keys appear. One whose cells disagree about their type is of texts.

    Raises SuffuseError, naming the file, where Arrow can't hold them.
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    try:
        columns = [_column([row.get(name) for row in rows]) for name in names]
    except pa.ArrowException as error:
        raise SuffuseError("can't read the table", where=path, got=error) from None
    return pa.Table.from_arrays(columns, names=names)


def without_strangers(rows: list[dict], lines: list[int], broken: list[tuple[int, str]]) -> list[dict]:
    """The rows without those that are broken as :class:`RecordColumns` says, which are noted in ``broken``."""
    columns = RecordColumns()
    columns.add(rows)
    kept, lines[:], strays = columns.parted(rows, lines)
    broken.extend(strays)
    broken.sort()
    return kept


def _column(values: list) -> pa.Array:
    try:
        return pa.array(values)
    except UNFIT:
        return pa.array([_text(value) for value in values])


def _text(value: Any) -> str | None:
    """A cell of a column of mixed types, as a modality reads it where it stands alone."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else str(value)


def _items(path: Path) -> tuple[list[Any], bool]:
    """The list, and whether some text in it may be none."""
    content = plain_file(path).read_bytes()
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SuffuseError(
            "the table is not UTF-8",
            where=f"{path}:{error.object[: error.start].count(10) + 1}",
            got=f"byte 0x{error.object[error.start]:02x}",
            hint="save it as UTF-8",
        ) from None
    except json.JSONDecodeError as error:
        got = error.msg if content.strip() else "nothing"
        raise SuffuseError("the table is not JSON", where=f"{path}:{error.lineno}", got=got) from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise SuffuseError("the table is not JSON", where=path, got=str(error).split(";")[0]) from None
    except RecursionError:
        raise SuffuseError("the table is not JSON", where=path, got="too many brackets in each other") from None
    if not isinstance(found, list):
        raise UsageError("this file is no table", where=path, got=type(found).__name__, expected="a list of objects")
    return found, b"\\ud" in content.lower()
