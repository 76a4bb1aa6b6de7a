"""CSV and TSV (RFC 4180), UTF-8, every cell as text: '007' stays '007'.

The file is read in pieces, so that a large table never stands in memory as Python objects.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import pyarrow as pa

from . import Rows
from .csv_rows import header, pieces, rows_of, text_of

PIECE = 8192  # rows
LARGEST_PIECE = 2**24  # characters after which a piece ends early


def read(path: Path) -> Rows:
    """Rows with as many cells as the header; what has more or fewer, or isn't UTF-8, is noted as broken."""
    with path.open("rb") as raw, text_of(raw) as file:
        rows = rows_of(file, path)
        names = header(rows, path)
        chunks: list[list[pa.Array]] = [[] for _ in names]
        lines = array("q")  # numbers that don't stand between the cells in memory
        broken: list[tuple[int, str]] = []
        for piece, where in pieces(rows, len(names), broken, (PIECE, LARGEST_PIECE)):
            for chunk, cells in zip(chunks, zip(*piece, strict=True), strict=True):
                chunk.append(pa.array(cells, pa.string()))
            lines.extend(where)
    columns = [pa.chunked_array(c, pa.string()) for c in chunks]
    return Rows(pa.Table.from_arrays(columns, names=names), lines.tolist(), path.parent, broken)
