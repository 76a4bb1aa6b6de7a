"""The rows of CSV and TSV (RFC 4180) as lists of texts.

A quote that is opened and never closed would swallow the rows after it: such a row is broken, and reading goes on in
the line after its first. So is a row that isn't UTF-8, which costs only itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import SuffuseError, UsageError

LARGEST_CELL = 10_000_000  # characters
SAVE = "save it as UTF-8"
Row = tuple[int, list[str] | str]  # the line that it begins in, and its cells or why it is none


def text_of(file: IO[bytes]) -> IO[str]:
    """A table's bytes as text; a byte that isn't UTF-8 is a lone surrogate, so that its row can be told."""
    return io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")


def rows_of(file: IO[str], path: Path) -> Iterator[Row]:
    """(the line that it begins in, a row's cells or why it is none), in order; the header first.

    ``file`` is one that :func:`text_of` returns. Raises SuffuseError where the header isn't UTF-8.
    """
    csv.field_size_limit(LARGEST_CELL)
    rows = _rows(_Lines(file), "\t" if path.suffix.lower() == ".tsv" else ",")
    named = False  # whether the header stands before this row
    for line, cells in rows:
        byte = next(filter(None, map(_not_utf8, cells)), "") if isinstance(cells, list) else ""
        if byte and not named:
            raise SuffuseError("the table is not UTF-8", where=f"{path}:{line}", got=f"byte {byte}", hint=SAVE)
        named = named or bool(cells)
        yield line, f"broken row: not UTF-8: byte {byte}" if byte else cells


def header(rows: Iterator[Row], path: Path) -> list[str]:
    """The columns' names, in the first line that isn't blank. Raises UsageError where there are none, or two are the
    same."""
    names = next((cells for _, cells in rows if cells), None)
    if names is None:
        raise UsageError("the table is empty", where=path, expected="a header line and rows")
    if isinstance(names, str):
        raise UsageError("can't read the header line", where=path, got=names.removeprefix("broken row: "))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")
    return names


def pieces(
    rows: Iterator[Row], width: int, broken: list[tuple[int, str]], most: tuple[int, int]
) -> Iterator[tuple[list[list[str]], list[int]]]:
    """(rows, the line that each begins in), at ``most`` so many, or fewer beyond so many characters; other rows are
    noted in ``broken``."""
    cells: list[list[str]] = []
    lines: list[int] = []
    size = 0
    for line, row in rows:
        if isinstance(row, str):
            broken.append((line, row))
        elif len(row) == width:
            cells.append(row)
            lines.append(line)
            size += sum(map(len, row))
        elif row:
            broken.append((line, f"broken row: got {len(row)} cells, expected {width}"))
        if len(cells) == most[0] or size > most[1]:
            yield cells, lines
            cells, lines, size = [], [], 0
    if cells:
        yield cells, lines


class _Lines:
    """The file's lines, some of which may be put back; ``taken`` are those that were read for the current row."""

    def __init__(self, file: IO[str]):
        self.file = iter(file)
        self.waiting: list[str] = []  # put back, the next one last
        self.taken: list[str] = []
        self.number, self.ended = 0, False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.waiting.pop() if self.waiting else next(self.file, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        self.number += 1
        return line

    def back(self) -> None:
        """All but the first line of the current row are read again."""
        self.waiting.extend(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        self.ended = False


def _rows(lines: _Lines, delimiter: str) -> Iterator[Row]:
    reader, again = csv.reader(lines, delimiter=delimiter), 0
    while True:
        lines.taken.clear()
        row: list[str] | str | None
        try:
            row = next(reader, None)
        except csv.Error as error:
            row = f"broken row: {error}"
        if row is None:
            return
        start = lines.number - len(lines.taken) + 1
        if (len(lines.taken) > 1 or lines.ended) and not _closed(lines.taken, delimiter):
            again = max(again, lines.number)
            lines.back()
            row = "broken row: a quote that is opened here is not closed"
        elif start <= again and row and sum(line.count('"') for line in lines.taken) % 2:
            row = "broken row: an odd number of quotes"  # perhaps the end of what wasn't closed
        yield start, row


def _closed(lines: list[str], delimiter: str) -> bool:
    """Whether these lines are one row in which every quote is closed, and nothing stands behind it in its cell."""
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


def _not_utf8(cell: str) -> str:
    """The first byte that isn't UTF-8, or ""."""
    if cell.isascii():
        return ""
    return next((f"0x{ord(c) & 0xFF:02x}" for c in cell if "\udc80" <= c <= "\udcff"), "")
