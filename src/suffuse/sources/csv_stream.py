"""CSV and TSV, a few rows at a time: as :mod:`suffuse.sources.csv` reads them, but that a row which is no UTF-8 is
broken and the others are read."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path

from .csv_rows import Row, header, not_utf8, pieces, rows_of
from .stream import BLOCK, LARGEST_BLOCK, Block, Stream


def stream(path: Path) -> Stream:
    """Rows with as many cells as the header; what has more or fewer is noted as broken."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        names = header(rows_of(file, path), path)
    if any(_strange(name) for name in names):
        raise not_utf8(path)

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        chosen = [(place, name) for place, name in enumerate(names) if name in wanted]
        size = max(path.stat().st_size, 1)
        with path.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as file:
            rows, broken = rows_of(file, path), []
            next(rows, None)  # the header
            found = pieces(map(_checked, rows), len(names), broken, (BLOCK, LARGEST_BLOCK))
            for cells, line in found:
                if skipped <= 0:
                    columns = {name: list(map(itemgetter(place), cells)) for place, name in chosen}
                    yield Block(columns, line, broken.copy(), min(raw.tell() / size, 1.0))
                skipped -= 1
                broken.clear()
            if broken and skipped <= 0:
                yield Block({name: [] for _, name in chosen}, [], broken, 1.0)

    return Stream(names, path.parent, read)


def _checked(row: Row) -> Row:
    """A row; broken where bytes of it are no UTF-8."""
    line, cells = row
    strange = next(filter(None, map(_strange, cells)), "") if isinstance(cells, list) else ""
    return (line, f"broken row: not UTF-8: byte {strange}") if strange else row


def _strange(cell: str) -> str:
    """The first byte that is no UTF-8, or ""."""
    if cell.isascii():
        return ""
    return next((f"0x{ord(c) & 0xFF:02x}" for c in cell if "\udc80" <= c <= "\udcff"), "")
