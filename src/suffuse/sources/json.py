"""JSON: a file that holds a list of objects, or objects on the command line, ``'{"column": "value"}'``.

A column for each key, empty where an object lacks it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from ..files import plain_file
from ..object_store import ObjectPath
from .arrow_types import inferred_or_text
from .row_stream import Broken, Rows
from .table_format import TableFormat

INLINE_FORM = """'{"COLUMN": "VALUE"}'"""


def read(path: Path | ObjectPath, table_format: TableFormat) -> Rows:
    """The objects of a list, by their number in it; an item that is no object is broken."""
    objects, numbers, broken = read_objects(path)
    records = RecordColumns()
    records.add(objects)
    objects, numbers, strays = records.split(objects, numbers)
    return Rows(to_table(objects, path), numbers, path.parent, sorted([*broken, *strays]))


def is_inline(source: str) -> bool:
    """Whether a source is JSON, and no file's name."""
    return source.lstrip()[:1] in ("{", "[")


def read_inline(source: str) -> Rows:
    """A record, or a list of them; file paths in them start from the working folder.

    Raises UsageError where the text is no JSON, or holds anything else.
    """
    try:
        value = json.loads(source)
        check_text(value)
    except (ValueError, RecursionError) as error:
        got = str(error).split(";")[0] if isinstance(error, ValueError) else "too many brackets in each other"
        hint = "a shell keeps the quotes of JSON where single quotes stand around it: "
        hint += f"{INLINE_FORM}; a table is a file's name"
        raise UsageError("this record is not JSON", where="rows", got=got, hint=hint) from None
    objects = value if isinstance(value, list) else [value]
    strays = [type(item).__name__ for item in objects if not isinstance(item, dict)]
    if strays or not objects:
        got = f"a list with {strays[0]}" if strays else "an empty list"
        raise UsageError("these are no records", where="rows", got=got, expected=f"{INLINE_FORM}, or a list of such")
    return Rows(to_table(objects, Path("rows")), list(range(1, len(objects) + 1)), Path.cwd())


def read_objects(path: Path | ObjectPath) -> tuple[list[dict], list[int], Broken]:
    """The objects, the number of each in the list from 1, and what is broken.

    Raises SuffuseError where the file is no JSON in UTF-8, UsageError where it isn't a list.
    """
    content = (path if isinstance(path, ObjectPath) else plain_file(path)).read_bytes()
    has_surrogates = b"\\ud" in content.lower()
    objects: list[dict] = []
    numbers: list[int] = []
    broken: Broken = []
    for number, item in enumerate(_parsed_list(content, path), 1):
        try:
            if has_surrogates:
                check_text(item)
        except UnicodeError as error:
            broken.append((number, f"broken row: {error}"))
            continue
        if not isinstance(item, dict):
            broken.append((number, f"broken row: expected an object, got {type(item).__name__}"))
            continue
        objects.append(item)
        numbers.append(number)
    return objects, numbers, broken


def _parsed_list(content: bytes, path: Path | ObjectPath) -> list[Any]:
    try:
        value = json.loads(content.decode("utf-8-sig"))
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
    if not isinstance(value, list):
        raise UsageError("this file is no table", where=path, got=type(value).__name__, expected="a list of objects")
    return value


def to_table(objects: Sequence[dict], path: Path | ObjectPath) -> pa.Table:
    """Columns in the order in which keys appear. One whose cells disagree about their type is of texts.

    Raises SuffuseError, naming the file, where Arrow can't hold them.
    """
    names = list(dict.fromkeys(key for item in objects for key in item))
    try:
        columns = [inferred_or_text([item.get(name) for item in objects]) for name in names]
    except pa.ArrowException as error:
        raise SuffuseError("can't read the table", where=path, got=error) from None
    return pa.Table.from_arrays(columns, names=names)


def check_text(value: object) -> None:
    """Raise UnicodeError where a text in a value can't be encoded: half a surrogate pair is JSON, and no text."""
    json.dumps(value, ensure_ascii=False).encode()


class RecordColumns:
    """The columns in which most filled cells are records. A row that has another cell there is broken: a network reads
    such a column as records, and one stray cell must not turn all of them into texts."""

    def __init__(self) -> None:
        self.filled: Counter[str] = Counter()
        self.records: Counter[str] = Counter()

    def add(self, objects: Sequence[dict]) -> None:
        """Count the cells of some rows."""
        self.filled.update(name for item in objects for name, cell in item.items() if cell is not None)
        self.records.update(name for item in objects for name, cell in item.items() if isinstance(cell, dict))

    def mixed(self) -> list[str]:
        """Columns of records in which other cells stand too, once all rows are counted."""
        return [name for name, count in self.records.items() if count < self.filled[name] < 2 * count]

    def split(self, objects: list[dict], lines: list[int]) -> tuple[list[dict], list[int], Broken]:
        """(the rows that aren't broken, their lines, what is broken), once all rows are counted."""
        names = self.mixed()
        if not names:
            return objects, lines, []
        kept: list[dict] = []
        kept_lines: list[int] = []
        broken: Broken = []
        for item, line in zip(objects, lines, strict=True):
            stray = next((name for name in names if not isinstance(item.get(name), (dict, type(None)))), None)
            if stray is not None:
                broken.append((line, f"broken row: '{stray}' is no record, as it is in other rows"))
                continue
            kept.append(item)
            kept_lines.append(line)
        return kept, kept_lines, broken
