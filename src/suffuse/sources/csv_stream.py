"""CSV and TSV, a few rows at a time, with the same verdict on each row as :mod:`suffuse.sources.csv`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path

from .csv_rows import header, pieces, rows_of, text_of
from .row_stream import BLOCK, LARGEST_BLOCK, Block, Stream


def stream(path: Path) -> Stream:
    """Rows with as many cells as the header; what has more or fewer, or isn't UTF-8, is noted as broken."""
    with path.open("rb") as raw, text_of(raw) as file:
        names = header(rows_of(file, path), path)

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        chosen = [(place, name) for place, name in enumerate(names) if name in wanted]
        size = max(path.stat().st_size, 1)
        with path.open("rb") as raw, text_of(raw) as file:
            rows, broken = rows_of(file, path), []
            header(rows, path)
            found = pieces(rows, len(names), broken, (BLOCK, LARGEST_BLOCK))
            for cells, line in found:
                if skipped <= 0:
                    columns = {name: list(map(itemgetter(place), cells)) for place, name in chosen}
                    yield Block(columns, line, broken.copy(), min(raw.tell() / size, 1.0))
                skipped -= 1
                broken.clear()
            if broken and skipped <= 0:
                yield Block({name: [] for _, name in chosen}, [], broken, 1.0)

    return Stream(names, path.parent, read)
