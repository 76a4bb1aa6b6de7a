"""One modality's cells -> distinct cleaned items. Each distinct cell is read and decoded once, in parallel.

Items whose form is known go straight to a file, piece by piece; a journal says which pieces are done, so that a
killed preparation goes on from there.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import modalities
from ..files import naming
from ..modalities.cell import Absent, Root, Unreadable
from ..registry import PartSettings
from ..registry import load as load_part
from .item_storage import shelf

PIECE = 512  # cells between two lines of the journal
TASK = 8  # cells that a thread is handed at once: one at a time costs a fifth of a small picture's decoding
DIGEST = 16  # bytes

Fact = tuple[str | None, str]  # hash of the content (None: there is none), and what was wrong
Read = tuple[str | None, str, int]  # and its length on the disk


@dataclass(frozen=True)
class Cleaned:
    """N rows, U slots of items; slots of repeated or unreadable cells are never pointed at."""

    entry: np.ndarray  # (N,) int64 slot of each row's item, -1 where absent
    reasons: dict[int, str]  # row -> why it is absent
    digests: np.ndarray  # (U, 16) uint8 content hash
    items: Any  # (U, ...) array, Ragged, or an Arrow column of strings
    remarks: dict[int, str] = field(default_factory=dict)  # row -> what of its item was left out

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
    said: dict[int, str] = field(default_factory=dict)  # slot -> why it has none, or what of it was left out
    count: int = 0

    @classmethod
    def of(cls, cells: int) -> Found:
        """Nothing yet."""
        return cls(np.zeros((cells, DIGEST), dtype=np.uint8), np.zeros(cells, dtype=bool))

    def add(self, facts: Iterable[tuple]) -> None:
        """The next cells' facts."""
        for digest, reason, *_ in facts:
            if digest is not None:
                self.digests[self.count] = np.frombuffer(bytes.fromhex(digest), np.uint8)
                self.here[self.count] = True
            if digest is None or reason:
                self.said[self.count] = sys.intern(reason)
            self.count += 1


def clean(
    settings: PartSettings,
    cells: pa.ChunkedArray,
    root: Path | Root,
    work: Path,
    tell: Callable[[float], None],
) -> Cleaned:
    """Read, decode and tell apart the cells of one column. ``work`` is a folder for files that may be resumed."""
    part = load_part(modalities.TABLE, settings.kind)
    cells, which = told_apart(cells)
    place = shelf(part.stored(settings), len(cells), work / "items.npy", part.blank(settings))
    journal, found = work / "journal.jsonl", Found.of(len(cells))
    first: dict[str | None, int] = {}  # content hash -> the first slot that holds it, of what lasts
    for done in _begin(place, journal):
        _note(first, found.count, [done])
        found.add([done])

    def read(slot: int, value: Any) -> Fact:
        digest, reason, item = _one(part, settings, value, root)
        if digest is not None:
            place.put(slot, item)
        return digest, reason

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # decoders warn of what is told as a reason
        # texts are read faster than they are handed over to a thread
        pieces = _pieces(pool, read, cells, found.count) if place.lasting else _alone(read, cells)
        for start, facts in pieces:
            new: set[int] = set()
            if place.lasting:
                _note(first, start, facts)
                new = {slot for slot, (digest, _) in enumerate(facts, start) if digest and first[digest] == slot}
            lengths = place.settle(range(start, start + len(facts)), new)
            if place.lasting:
                _append(journal, [(*fact, length) for fact, length in zip(facts, lengths, strict=True)])
            found.add(facts)
            tell(found.count / len(cells))
    return point(found, which, place.items())


def _alone(read: Callable, cells: Any) -> Iterator[tuple[int, list[Fact]]]:
    """As :func:`_pieces`, without threads."""
    for start in range(0, len(cells), PIECE):
        yield start, [read(slot, value) for slot, value in enumerate(cells.slice(start, PIECE).to_pylist(), start)]


def _note(first: dict[str | None, int], start: int, facts: Sequence[tuple]) -> None:
    for slot, (digest, *_) in enumerate(facts, start):
        first.setdefault(digest, slot)


def _pieces(pool: ThreadPoolExecutor, read: Callable, cells: Any, start: int) -> Iterator[tuple[int, list[Fact]]]:
    """First slot of a piece and what was found in it; the next piece is read while one is written down."""

    def begin(at: int) -> tuple[int, list[Future]]:
        values = cells.slice(at, PIECE).to_pylist()
        tasks = [pool.submit(some, at + n, values[n : n + TASK]) for n in range(0, len(values), TASK)]
        return at, tasks

    def some(first: int, values: list) -> list[Fact]:
        return [read(slot, value) for slot, value in enumerate(values, first)]

    def done(piece: tuple[int, list[Future]]) -> tuple[int, list[Fact]]:
        return piece[0], [fact for task in piece[1] for fact in task.result()]

    ahead = None
    try:
        for at in range(start, len(cells), PIECE):
            now, ahead = ahead, begin(at)
            if now:
                yield done(now)
        if ahead:
            yield done(ahead)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _one(part: Any, settings: PartSettings, value: Any, root: Path | Root) -> tuple[str | None, str, Any]:
    """(digest, what was left out, item), or (None, why not, None)."""
    try:
        digest, item, *remark = part.load(settings, value, root)
    except (Absent, Unreadable) as error:
        return None, str(error), None
    return digest, "".join(remark), item


def told_apart(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, np.ndarray]:
    """Distinct cells in order of appearance, and which of them each row has. Bytes are told apart later."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        whole = cells.cast(pa.large_string()).combine_chunks()  # large: the others end at 2 GiB
        coded = whole.dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        return coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return cells, np.arange(len(cells), dtype=np.int64)


def _begin(place: Any, journal: Path) -> list[Read]:
    """What an earlier attempt finished; the shelf is as it was then."""
    if not place.lasting:
        return []
    journal.parent.mkdir(parents=True, exist_ok=True)
    if not journal.exists():
        place.reset(None)
        journal.touch()
    found = _resume(journal)
    place.reset([length for _, _, length in found])
    return found


def _append(journal: Path, piece: list) -> None:
    with naming(journal), journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(piece) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _resume(journal: Path) -> list[Read]:
    """The pieces that an earlier attempt finished; a line that was cut off is taken away."""
    found: list[Read] = []
    whole = 0
    content = journal.read_bytes()
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        found.extend((digest, reason, length) for digest, reason, length in json.loads(line))
        whole += len(line)
    if whole < len(content):
        os.truncate(journal, whole)
    return found


def point(found: Found, which: np.ndarray, items: Any) -> Cleaned:
    """Every row to the first slot that holds its content."""
    slots = np.full(len(found.here), -1, dtype=np.int64)
    used = np.flatnonzero(found.here)
    halves = found.digests[used].view(np.uint64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ones the first slot goes first
    new = np.ones(len(order), dtype=bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    slots[used[order]] = used[order[new]][np.cumsum(new) - 1]
    entry = slots[which]
    told = np.zeros(len(found.here), dtype=bool)
    told[list(found.said)] = True
    rows = np.flatnonzero(told[which])
    said = [(int(row), found.said[int(slot)]) for row, slot in zip(rows, which[rows], strict=True)]
    reasons, remarks = ({r: why for r, why in said if (entry[r] < 0) is absent} for absent in (np.True_, np.False_))
    return Cleaned(entry, reasons, found.digests, items, remarks)
