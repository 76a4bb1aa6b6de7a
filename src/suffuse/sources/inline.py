"""Records that stand on the command line as JSON, ``'{"column": "value"}'``, in place of a table's name."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UsageError
from . import Rows
from .json_records import to_table
from .json_rows import check_text

FORM = """'{"COLUMN": "VALUE"}'"""


def is_inline(source: str) -> bool:
    """Whether a source is JSON, and no file's name."""
    return source.lstrip()[:1] in ("{", "[")


def read(source: str) -> Rows:
    """A record, or a list of them; file paths in them start from the working folder.

    Raises UsageError where the text is no JSON, or holds anything else.
    """
    try:
        value = json.loads(source)
        check_text(value)
    except (ValueError, RecursionError) as error:
        got = str(error).split(";")[0] if isinstance(error, ValueError) else "too many brackets in each other"
        hint = f"a shell keeps the quotes of JSON where single quotes stand around it: {FORM}; a table is a file's name"
        raise UsageError("this record is not JSON", where="rows", got=got, hint=hint) from None
    rows = value if isinstance(value, list) else [value]
    strays = [type(row).__name__ for row in rows if not isinstance(row, dict)]
    if strays or not rows:
        got = f"a list with {strays[0]}" if strays else "an empty list"
        raise UsageError("these are no records", where="rows", got=got, expected=f"{FORM}, or a list of such")
    return Rows(to_table(rows, Path("rows")), list(range(1, len(rows) + 1)), Path.cwd())
