"""CSV and TSV (RFC 4180), every cell as text: '007' stays '007'. Encoding and delimiter are given or detected.

A row with more or fewer cells than the header, or bytes that can't be decoded, is broken and costs only itself. An
unclosed quote would swallow the rows after it: its row is broken, and reading continues in the line after the row's
first.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from ..errors import SuffuseError, UsageError
from ..object_store import ObjectPath
from .row_stream import Block, Stream, batches
from .table_format import TableFormat
from .text_format import ESCAPE, TextFormat, detect, encoding_name

MAX_CELL = 10_000_000  # characters
ParsedRow = tuple[int, list[str] | str]  # the line that a row begins in, and its cells or why it is broken


def read(path: Path | ObjectPath, table_format: TableFormat) -> Stream:
    """The rows that have as many cells as the header.

    Raises SuffuseError where the header can't be decoded, UsageError where there is none or a name occurs twice.
    """
    form = detect(path, table_format.encoding, table_format.delimiter, table_format.likely)
    with path.open("rb") as file, _decoded(file, form) as text:
        names = _header(_parse(text, form), path, form)

    def blocks(columns: Collection[str] | None, skip: int, size: int) -> Iterator[Block]:
        positions = {name: position for position, name in enumerate(names) if columns is None or name in columns}
        total = max(path.stat().st_size, 1)
        with path.open("rb") as file, _decoded(file, form) as text:
            parsed = _parse(text, form)
            _header(parsed, path, form)
            checked = _checked(parsed, len(names), encoding_name(form.encoding))
            for number, (rows, lines, broken) in enumerate(batches(checked, size)):
                if number >= skip:
                    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(names)
                    cells = {name: list(by_column[position]) for name, position in positions.items()}
                    yield Block(cells, lines, broken, min(file.tell() / total, 1.0))

    return Stream(path.parent, lambda: names, blocks, form)


def _decoded(file: IO[bytes], form: TextFormat) -> IO[str]:
    """A file's text, in which a byte that can't be decoded is a lone surrogate."""
    encoding = "utf-8-sig" if form.encoding.lower() in ("utf-8", "utf8", "utf_8") else form.encoding
    return io.TextIOWrapper(file, encoding, ESCAPE, newline="")


def _header(rows: Iterator[ParsedRow], path: Path | ObjectPath, form: TextFormat) -> list[str]:
    """The column names, from the first line that isn't blank and doesn't name the delimiter, as Excel's ``sep=;``."""
    lines = ((line, cells) for line, cells in rows if cells and cells != ["sep=", ""])
    line, names = next(lines, (0, None))
    if names is None:
        raise UsageError("the table is empty", where=path, expected="a header line and rows")
    if isinstance(names, str):
        raise UsageError("can't read the header line", where=path, got=names.removeprefix("broken row: "))
    if byte := _invalid_byte("".join(names)):
        message, got = f"the table is not {encoding_name(form.encoding)}", f"byte {byte}"
        raise SuffuseError(message, where=f"{path}:{line}", got=got, hint="data.encoding names another encoding")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError("two columns have the same name", where=path, got=f"'{repeated[0]}' twice")
    return names


def _checked(rows: Iterator[ParsedRow], width: int, encoding: str) -> Iterator[tuple[int, list[str] | str, int]]:
    """(line, cells or why the row is broken, characters) of the rows behind the header; blank lines are skipped."""
    for line, cells in rows:
        if isinstance(cells, str):
            yield line, cells, 0
        elif cells:
            text = "".join(cells)
            if byte := _invalid_byte(text):
                yield line, f"broken row: not {encoding}: byte {byte}", 0
            elif len(cells) != width:
                yield line, f"broken row: got {len(cells)} cells, expected {width}", 0
            else:
                yield line, cells, len(text)


def _invalid_byte(text: str) -> str:
    """The first byte that can't be decoded in a text that :func:`_decoded` gave, or ""."""
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"0x{ord(text[error.start]) & 0xFF:02x}"
    return ""


class _Lines:
    """A file's lines, some of which can be read again. ``consumed`` are the lines of the current row."""

    def __init__(self, file: IO[str]):
        self.file = iter(file)
        self.pending: list[str] = []  # to be read again, the next one last
        self.consumed: list[str] = []
        self.number, self.ended = 0, False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.pending.pop() if self.pending else next(self.file, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.consumed.append(line)
        self.number += 1
        return line

    def rewind(self) -> None:
        """Return to the line after the current row's first."""
        self.pending.extend(reversed(self.consumed[1:]))
        self.number -= len(self.consumed) - 1
        self.ended = False


def _parse(file: IO[str], form: TextFormat) -> Iterator[ParsedRow]:
    """All rows in order, the header first. The cells of a blank line are an empty list."""
    csv.field_size_limit(MAX_CELL)
    delimiter, lines = form.delimiter, _Lines(file)
    reader, last_reread = csv.reader(lines, delimiter=delimiter), 0
    while True:
        lines.consumed.clear()
        row: list[str] | str | None
        try:
            row = next(reader, None)
        except csv.Error as error:
            row = f"broken row: {error}"
        if row is None:
            return
        start = lines.number - len(lines.consumed) + 1
        if (len(lines.consumed) > 1 or lines.ended) and not _is_complete(lines.consumed, delimiter):
            last_reread = max(last_reread, lines.number)
            lines.rewind()
            row = "broken row: a quote that is opened here is not closed"
        elif start <= last_reread and row and sum(line.count('"') for line in lines.consumed) % 2:
            row = "broken row: an odd number of quotes"  # perhaps the end of the cell with the unclosed quote
        yield start, row


def _is_complete(lines: list[str], delimiter: str) -> bool:
    """Whether these lines are one row in which every quote is closed, with nothing behind it in its cell."""
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False
