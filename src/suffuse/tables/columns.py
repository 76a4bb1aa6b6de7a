"""One modality's cells -> distinct cleaned items. Each distinct cell is read and decoded once, in parallel.

Pictures go straight to a memory-mapped file, piece by piece; a journal says which pieces are done, so that a
killed preparation goes on from there. Texts are kept as an Arrow column, not as a million Python objects.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import modalities
from ..files import naming, new_array
from ..modalities.cell import Absent, Unreadable
from ..parts import PartSettings
from ..parts import load as load_part

PIECE = 512
DIGEST = 16  # bytes
Fact = tuple[str | None, str | None]  # a cell's content hash, or why it has none


@dataclass(frozen=True)
class Cleaned:
    """N rows, U slots of items; slots of repeated or unreadable cells are never pointed at."""

    entry: np.ndarray  # (N,) int64 slot of each row's item, -1 where absent
    reasons: dict[int, str]  # row -> why it is absent
    digests: np.ndarray  # (U, 16) uint8 content hash
    items: Any  # (U, ...) array, or an Arrow column of strings

    def contents(self, rows: np.ndarray) -> np.ndarray:
        """(K, 17) uint8: the content hash of each of some rows (K,) behind a 1, zeros where it is absent."""
        entry = self.entry[rows]
        found = np.zeros((len(rows), 1 + DIGEST), dtype=np.uint8)
        here = entry >= 0
        found[here, 0] = 1
        found[here, 1:] = self.digests[entry[here]]
        return found


@dataclass
class Found:
    """What was read so far of U cells."""

    digests: np.ndarray  # (U, 16) uint8
    here: np.ndarray  # (U,) bool, whether the cell has content
    reasons: dict[int, str] = field(default_factory=dict)  # slot -> why it has none
    count: int = 0

    @classmethod
    def of(cls, cells: int) -> Found:
        """Nothing yet."""
        return cls(np.zeros((cells, DIGEST), dtype=np.uint8), np.zeros(cells, dtype=bool))

    def add(self, facts: Iterable[Fact]) -> None:
        """The next cells' facts."""
        for digest, reason in facts:
            if digest is None:
                self.reasons[self.count] = sys.intern(reason or "")
            else:
                self.digests[self.count] = np.frombuffer(bytes.fromhex(digest), np.uint8)
                self.here[self.count] = True
            self.count += 1


def clean(
    settings: PartSettings, cells: pa.ChunkedArray, root: Path, work: Path, tell: Callable[[float], None]
) -> Cleaned:
    """Read, decode and tell apart the cells of one column. ``work`` is a folder for files that may be resumed."""
    part = load_part(modalities.TABLE, settings.kind)
    distinct, which = told_apart(cells)
    found, shelf = Found.of(len(distinct)), _shelf(part, settings, len(distinct), work)
    found.add(shelf.resume())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        each = pool.map if isinstance(shelf, Mapped) else map  # strings are read faster than they are handed over
        while found.count < len(distinct):
            values = distinct.slice(found.count, PIECE).to_pylist()
            facts = list(each(lambda value: _one(part, settings, value, root), values))
            piece = [(digest, reason) for digest, reason, _ in facts]
            shelf.put(found.count, [item for _, _, item in facts], piece)
            found.add(piece)
            tell(found.count / len(distinct))
    return _point(found, which, shelf.items())


def _one(part: Any, settings: PartSettings, value: Any, root: Path) -> tuple[str | None, str | None, Any]:
    """(digest, None, item), or (None, why not, None)."""
    try:
        digest, item = part.load(settings, value, root)
    except (Absent, Unreadable) as error:
        return None, str(error), None
    return digest, None, item


def told_apart(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, np.ndarray]:
    """Distinct cells in order of appearance, and which of them each row has. Bytes are told apart later."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        whole = cells.cast(pa.large_string()).combine_chunks()  # large: the others end at 2 GiB
        coded = whole.dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        return coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return cells, np.arange(len(cells), dtype=np.int64)


class Mapped:
    """Items of a fixed shape in a memory-mapped file, and the journal of the pieces that are done."""

    def __init__(self, shape: tuple[int, ...], dtype: str, count: int, work: Path):
        work.mkdir(parents=True, exist_ok=True)
        self.journal = work / "journal.jsonl"
        if not self.journal.exists():
            new_array(work / "items.npy", dtype, (count, *shape))
            self.journal.touch()
        self.array = np.lib.format.open_memmap(work / "items.npy", mode="r+")

    def resume(self) -> list[Fact]:
        """The pieces that an earlier attempt finished; a line that was cut off is taken away."""
        found: list[Fact] = []
        whole = 0
        content = self.journal.read_bytes()
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            found.extend((digest, reason) for digest, reason in json.loads(line))
            whole += len(line)
        if whole < len(content):
            os.truncate(self.journal, whole)
        return found

    def put(self, start: int, items: list, facts: list[Fact]) -> None:
        """Store a piece, then say so."""
        for slot, item in enumerate(items, start):
            if item is not None:
                self.array[slot] = item
        self.array.flush()
        with naming(self.journal), self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def items(self) -> np.ndarray:
        """(U, ...)"""
        return self.array


class Strings:
    """Items that are strings, as an Arrow column; where a cell has none stands the blank one."""

    def __init__(self, blank: str):
        self.blank, self.chunks = blank, []

    def resume(self) -> list[Fact]:
        """Texts are read anew: that takes seconds."""
        return []

    def put(self, start: int, items: list, facts: list[Fact]) -> None:
        """Store a piece."""
        self.chunks.append(pa.array([self.blank if i is None else i for i in items], pa.large_string()))

    def items(self) -> pa.ChunkedArray:
        """(U,)"""
        return pa.chunked_array(self.chunks, pa.large_string())


def _shelf(part: Any, settings: PartSettings, count: int, work: Path) -> Mapped | Strings:
    """Where items go: a memory-mapped file for a fixed shape, an Arrow column otherwise."""
    stored = part.stored(settings)
    return Strings(part.blank(settings)) if stored is None else Mapped(stored[0], stored[1], count, work)


def _point(found: Found, which: np.ndarray, items: Any) -> Cleaned:
    """Every row to the first slot that holds its content."""
    slots = np.full(len(found.here), -1, dtype=np.int64)
    used = np.flatnonzero(found.here)
    halves = found.digests[used].view(np.uint64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ones the first slot goes first
    new = np.ones(len(order), dtype=bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    slots[used[order]] = used[order[new]][np.cumsum(new) - 1]
    entry = slots[which]
    reasons = {int(row): found.reasons[int(which[row])] for row in np.flatnonzero(entry < 0)}
    return Cleaned(entry, reasons, found.digests, items)
