"""CSV and TSV (RFC 4180), UTF-8, every cell as text: '007' stays '007'.

The file is read in pieces, so that a large table never stands in memory as Python objects.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from . import Rows

LARGEST_CELL = 10_000_000  # characters
PIECE = 8192  # rows
LARGEST_PIECE = 2**24  # characters after which a piece ends early


def read(path: Path) -> Rows:
    """Rows with as many cells as the header; what has more or fewer is noted as broken."""
    csv.field_size_limit(LARGEST_CELL)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = _header(reader, path)
            chunks: list[list[pa.Array]] = [[] for _ in header]
            lines = array("q")  # numbers that don't stand between the cells in memory
            broken: list[tuple[int, str]] = []
            for rows, where in _pieces(reader, len(header), broken):
                for chunk, cells in zip(chunks, zip(*rows, strict=True), strict=True):
                    chunk.append(pa.array(cells, pa.string()))
                lines.extend(where)
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    columns = [pa.chunked_array(c, pa.string()) for c in chunks]
    return Rows(pa.Table.from_arrays(columns, names=header), lines.tolist(), path.parent, broken)


def _header(reader: Any, path: Path) -> list[str]:
    try:
        header = next(reader)
    except StopIteration:
        raise UsageError("the table is empty", where=path, expected="a header line and rows") from None
    except csv.Error as error:
        raise UsageError("can't read the header line", where=path, got=error) from None
    twice = sorted({h for h in header if header.count(h) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")
    return header


def _pieces(reader: Any, width: int, broken: list[tuple[int, str]]) -> Iterator[tuple[list[list[str]], list[int]]]:
    """(rows, the line that each begins in), some thousand at a time; other rows are noted in ``broken``."""
    cells: list[list[str]] = []
    lines: list[int] = []
    size, before = 0, reader.line_num
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            broken.append((before + 1, f"broken row: {error}"))
            before = reader.line_num
            continue
        if row is None or len(cells) == PIECE or size > LARGEST_PIECE:
            if cells:
                yield cells, lines
            cells, lines, size = [], [], 0
        if row is None:
            return
        if len(row) == width:
            cells.append(row)
            lines.append(before + 1)
            size += sum(map(len, row))
        elif row:
            broken.append((before + 1, f"broken row: got {len(row)} cells, expected {width}"))
        before = reader.line_num


def _not_utf8(path: Path) -> SuffuseError:
    """Where the file stops to be UTF-8."""
    start, number = 0, 1
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                start = error.object[error.start]
                break
            number += 1
    hint = "save it as UTF-8"
    return SuffuseError("the table is not UTF-8", where=f"{path}:{number}", got=f"byte 0x{start:02x}", hint=hint)
