"""JSON lines: one object a line; a line that isn't one is broken."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from ..object_store import ObjectPath
from .json import RecordColumns, check_text
from .row_stream import CHUNK_ROWS, Block, Broken, Stream, batches
from .table_format import TableFormat


def read(path: Path | ObjectPath, table_format: TableFormat) -> Stream:
    """All objects; a key that a row lacks is empty there."""
    reader = _Reader(path)
    return Stream(path.parent, lambda: reader.names, reader.blocks)


class _Reader:
    """The columns of a file are known once all of it was read, and so are the rows that are broken because another kind
    of cell stands among records. ``count`` finds both on the way."""

    def __init__(self, path: Path | ObjectPath):
        self.path = path
        self.keys: dict[str, None] = {}  # in the order in which they appear
        self.records = RecordColumns()
        self.is_counted = False

    @cached_property
    def names(self) -> list[str]:
        """All columns, without keys that only broken rows have."""
        if not self.is_counted:
            for _ in self.count(CHUNK_ROWS):
                pass
        if not self.records.mixed():
            return list(self.keys)
        kept = (self.records.split(objects, lines)[0] for objects, lines, _, _ in self._batches(CHUNK_ROWS))
        return list(dict.fromkeys(key for objects in kept for item in objects for key in item))

    def blocks(self, columns: Collection[str] | None, skip: int, size: int) -> Iterator[Block]:
        """As :class:`Stream` has them."""
        if columns is None:
            yield from islice(self.count(size), skip, None)
            return
        wanted = [name for name in self.names if name in columns]
        for objects, lines, broken, share in islice(self._batches(size), skip, None):
            kept, kept_lines, strays = self.records.split(objects, lines)
            yield Block(_columns(kept, wanted), kept_lines, sorted([*broken, *strays]), share)

    def count(self, size: int) -> Iterator[Block]:
        """Blocks with the columns that are known so far, and no verdict on cells among records."""
        self.keys, self.records = {}, RecordColumns()
        for objects, lines, broken, share in self._batches(size):
            for item in objects:
                if not item.keys() <= self.keys.keys():
                    self.keys |= dict.fromkeys(item)
            self.records.add(objects)
            yield Block(_columns(objects, self.keys), lines, broken, share)
        self.is_counted = True

    def _batches(self, size: int) -> Iterator[tuple[list[dict], list[int], Broken, float]]:
        total = max(self.path.stat().st_size, 1)
        with self.path.open("rb") as file:
            for objects, lines, broken in batches(_parse(file), size):
                yield objects, lines, broken, min(file.tell() / total, 1.0)


def _columns(objects: list[dict], names: Iterable[str]) -> dict[str, list]:
    return {name: [item.get(name) for item in objects] for name in names}


def _parse(file: Iterable[bytes]) -> Iterator[tuple[int, dict | str, int]]:
    """(line, object or why it is broken, bytes) of every line that isn't blank."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, _object(line), len(line)


def _object(line: bytes) -> dict | str:
    """An object, or why the line is none."""
    try:
        item = json.loads(line.removeprefix(BOM_UTF8).decode())  # of bytes alone the encoding would be guessed
        if b"\\u" in line and b"\\ud" in line.lower():
            check_text(item)
    except UnicodeDecodeError as error:
        return f"broken row: not UTF-8: byte 0x{error.object[error.start]:02x}"
    except (json.JSONDecodeError, UnicodeError) as error:
        return f"broken row: {error}"
    except RecursionError:
        return "broken row: nested too deep"
    except ValueError as error:  # an integer of more digits than Python reads
        return f"broken row: {str(error).split(';')[0]}"
    return item if isinstance(item, dict) else f"broken row: expected an object, got {type(item).__name__}"
