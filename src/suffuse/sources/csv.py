"""CSV and TSV (RFC 4180), UTF-8, every cell as text: '007' stays '007'."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa

from ..errors import SuffuseError, UsageError
from . import Rows

LARGEST_CELL = 10_000_000  # characters


def read(path: Path) -> Rows:
    """Rows with as many cells as the header; what has more or fewer is noted as broken."""
    csv.field_size_limit(LARGEST_CELL)
    content = _text(path)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = next(reader)
    except StopIteration:
        raise UsageError("the table is empty", where=path, expected="a header line and rows") from None
    twice = sorted({h for h in header if header.count(h) > 1})
    if twice:
        raise UsageError("two columns have the same name", where=path, got=f"'{twice[0]}' twice")
    cells, lines, broken = _rows(reader, len(header))
    columns = [pa.array(c, pa.string()) for c in zip(*cells, strict=True)] or [pa.array([], pa.string())] * len(header)
    return Rows(pa.Table.from_arrays(columns, names=header), lines, path.parent, broken)


def _rows(reader, width: int) -> tuple[list[list[str]], list[int], list[tuple[int, str]]]:
    cells: list[list[str]] = []
    lines: list[int] = []
    broken: list[tuple[int, str]] = []
    before = reader.line_num
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            broken.append((before + 1, f"broken row: {error}"))
            before = reader.line_num
            continue
        if row is None:
            return cells, lines, broken
        if len(row) == width:
            cells.append(row)
            lines.append(before + 1)
        elif row:
            broken.append((before + 1, f"broken row: got {len(row)} cells, expected {width}"))
        before = reader.line_num


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SuffuseError(
            "the table is not UTF-8",
            where=f"{path}:{line}",
            got=f"byte 0x{error.object[error.start]:02x}",
            hint="save it as UTF-8",
        ) from None
