"""CSV (RFC 4180) that people open in a spreadsheet or print in a terminal. Every CSV file of suffuse is written here.

A text from a table is data, yet a spreadsheet evaluates ``=HYPERLINK(...)`` in a cell, and a terminal obeys ESC. So a
text that a spreadsheet could take for a formula gets an apostrophe before it (OWASP, "CSV Injection"), and control
characters stand as escapes, ``\\x1b``. Numbers such as -1.5 and texts of one character stay as they are. With ``raw``
nothing is changed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .errors import escape_controls

# what a spreadsheet may evaluate: OWASP's list, also behind white space, and the full-width forms of its signs
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠].", re.DOTALL)
PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
DELIMITER = re.compile(r"[;\t\r]")  # a spreadsheet may cut a row there too, unless the cell is quoted


def csv_lines(rows: Iterable[Sequence[Any]], raw: bool = False) -> Iterator[str]:
    """Rows of cells -> a line for each, with its line feed. A row with a text in which a spreadsheet may see another
    delimiter has all its texts quoted. ``raw``: texts stay as they are."""
    out = io.StringIO()
    plain = csv.writer(out, lineterminator="\n")
    quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in rows:
        cells = row if raw else [safe_cell(cell) if isinstance(cell, str) else cell for cell in row]
        delimited = any(isinstance(cell, str) and DELIMITER.search(cell) for cell in cells)
        (quoting if delimited else plain).writerow(cells)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def safe_cell(text: str) -> str:
    """A text as a spreadsheet and a terminal may show it."""
    found = escape_controls(text)
    return f"'{found}" if FORMULA.match(text) and not PLAIN_NUMBER.fullmatch(text) else found
