"""JSON lines, a few rows at a time. The file is read once before, for its keys; cells stay what they are in JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from .json_rows import RecordColumns, pieces
from .row_stream import BLOCK, LARGEST_BLOCK, Block, Stream


def stream(path: Path) -> Stream:
    """Rows of all objects; a key that a row lacks is empty there."""
    names: dict[str, None] = {}
    columns = RecordColumns()
    count, lines, broken = 0, [], []
    for rows in pieces(path, lines, broken, (BLOCK, LARGEST_BLOCK)):
        names |= dict.fromkeys(key for row in rows for key in row)
        columns.add(rows)
        count += len(rows)
        lines.clear()
        broken.clear()

    def read(wanted: Collection[str], skipped: int) -> Iterator[Block]:
        chosen, done = [n for n in names if n in wanted], 0
        line: list[int] = []
        broken: list[tuple[int, str]] = []
        for rows in pieces(path, line, broken, (BLOCK, LARGEST_BLOCK)):
            done += len(rows)
            if skipped <= 0:
                kept, where, strays = columns.parted(rows, line)
                cells = {name: [row.get(name) for row in kept] for name in chosen}
                yield Block(cells, where, sorted([*broken, *strays]), done / count)
            line.clear()
            broken.clear()
            skipped -= 1
        if broken and skipped <= 0:
            yield Block({name: [] for name in chosen}, [], broken, 1.0)

    return Stream(list(names), path.parent, read)
