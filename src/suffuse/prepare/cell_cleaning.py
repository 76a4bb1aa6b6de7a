"""One modality's cells -> distinct cleaned items. Each distinct cell is read and decoded once, in parallel.

Items of a known shape are written to a file, piece by piece. A journal lists the finished pieces, so that a killed
preparation resumes there.
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

from ..files import naming
from ..modalities import ModalityPart, load_modality
from ..modalities.cell import Absent, Root, Unreadable
from ..registry import ModalitySettings
from .item_storage import make_storage

PIECE = 512  # cells between two lines of the journal
TASK = 8  # cells that a thread is handed at once: one at a time costs a fifth of a small picture's decoding
DIGEST = 16  # bytes
ABSENT, UNREADABLE, PARTLY = "absent", "unreadable", "partly"

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
        hashes = np.zeros((len(rows), 1 + DIGEST), dtype=np.uint8)
        has_content = entry >= 0
        hashes[has_content, 0] = 1
        hashes[has_content, 1:] = self.digests[entry[has_content]]
        return hashes


@dataclass
class ReadCells:
    """The facts that were read of U cells so far."""

    digests: np.ndarray  # (U, 16) uint8
    has_content: np.ndarray  # (U,) bool, whether the cell has content
    reasons_by_slot: dict[int, str] = field(default_factory=dict)  # slot -> why it has none, or what of it was left out
    count: int = 0

    @classmethod
    def of(cls, count: int) -> ReadCells:
        """Nothing yet."""
        return cls(np.zeros((count, DIGEST), dtype=np.uint8), np.zeros(count, dtype=bool))

    def add(self, facts: Iterable[tuple]) -> None:
        """The next cells' facts."""
        for digest, reason, *_ in facts:
            if digest is not None:
                self.digests[self.count] = np.frombuffer(bytes.fromhex(digest), np.uint8)
                self.has_content[self.count] = True
            if digest is None or reason:
                self.reasons_by_slot[self.count] = sys.intern(reason)
            self.count += 1


def clean(
    settings: ModalitySettings,
    cells: pa.ChunkedArray,
    root: Path | Root,
    work: Path,
    tell: Callable[[float], None],
) -> Cleaned:
    """Read and decode the distinct cells of one column. ``work`` is a folder for files that may be resumed."""
    part = load_modality(settings.kind)
    cells, which = distinct_cells(cells)
    storage = make_storage(part.stored(settings), len(cells), work / "items.npy", part.blank(settings))
    journal, cells_read = work / "journal.jsonl", ReadCells.of(len(cells))
    first: dict[str | None, int] = {}  # content hash -> the first slot that holds it, of what lasts
    for fact in _resume(storage, journal):
        _note_first_slots(first, cells_read.count, [fact])
        cells_read.add([fact])

    def read(slot: int, value: Any) -> Fact:
        _, digest, reason, item = load_cell(part, settings, value, root)
        if digest is not None:
            storage.put(slot, item)
        return digest, reason

    readers = root.readers() if isinstance(root, Root) else os.cpu_count()
    with warnings.catch_warnings(), ThreadPoolExecutor(readers) as pool:
        warnings.simplefilter("ignore")  # decoders warn of what becomes a reason
        # a thread costs more than reading a text
        in_threads = _read_in_threads(pool, read, cells, cells_read.count)
        pieces = in_threads if storage.persistent else _read_serially(read, cells)
        for start, facts in pieces:
            new: set[int] = set()
            if storage.persistent:
                _note_first_slots(first, start, facts)
                new = {slot for slot, (digest, _) in enumerate(facts, start) if digest and first[digest] == slot}
            lengths = storage.commit(range(start, start + len(facts)), new)
            if storage.persistent:
                _append(journal, [(*fact, length) for fact, length in zip(facts, lengths, strict=True)])
            cells_read.add(facts)
            tell(cells_read.count / len(cells))
    return assign_slots(cells_read, which, storage.items())


def _read_serially(read: Callable, cells: Any) -> Iterator[tuple[int, list[Fact]]]:
    """As :func:`_read_in_threads`, without threads."""
    for start in range(0, len(cells), PIECE):
        yield start, [read(slot, value) for slot, value in enumerate(cells.slice(start, PIECE).to_pylist(), start)]


def _note_first_slots(first: dict[str | None, int], start: int, facts: Sequence[tuple]) -> None:
    for slot, (digest, *_) in enumerate(facts, start):
        first.setdefault(digest, slot)


def _read_in_threads(
    pool: ThreadPoolExecutor, read: Callable, cells: Any, start: int
) -> Iterator[tuple[int, list[Fact]]]:
    """(first slot, facts) of each piece; the next one is read while a piece is written."""

    def submit(position: int) -> tuple[int, list[Future]]:
        values = cells.slice(position, PIECE).to_pylist()
        tasks = [pool.submit(read_task, position + n, values[n : n + TASK]) for n in range(0, len(values), TASK)]
        return position, tasks

    def read_task(first_slot: int, values: list) -> list[Fact]:
        return [read(slot, value) for slot, value in enumerate(values, first_slot)]

    def finish(piece: tuple[int, list[Future]]) -> tuple[int, list[Fact]]:
        return piece[0], [fact for task in piece[1] for fact in task.result()]

    upcoming = None
    try:
        for position in range(start, len(cells), PIECE):
            current, upcoming = upcoming, submit(position)
            if current:
                yield finish(current)
        if upcoming:
            yield finish(upcoming)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def load_cell(
    part: ModalityPart, settings: ModalitySettings, value: Any, root: Path | Root
) -> tuple[str, str | None, str, Any]:
    """("" or the kind of problem, content hash, reason, item); hash and item are None where there is no content."""
    try:
        digest, item, *remark = part.load(settings, value, root)
    except Absent as error:
        return ABSENT, None, str(error), None
    except Unreadable as error:
        return UNREADABLE, None, str(error), None
    return PARTLY if any(remark) else "", digest, "".join(remark), item


def distinct_cells(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, np.ndarray]:
    """Distinct cells in order of appearance, and which of them each row has. Bytes are compared later, by hash."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        joined = cells.cast(pa.large_string()).combine_chunks()  # large: the others end at 2 GiB
        encoded = joined.dictionary_encode(null_encoding="encode")
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        return encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return cells, np.arange(len(cells), dtype=np.int64)


def _resume(storage: Any, journal: Path) -> list[Read]:
    """What an earlier attempt finished; the storage is restored to that state."""
    if not storage.persistent:
        return []
    journal.parent.mkdir(parents=True, exist_ok=True)
    if not journal.exists():
        storage.restore(None)
        journal.touch()
    facts = _read_journal(journal)
    storage.restore([length for _, _, length in facts])
    return facts


def _append(journal: Path, piece: list) -> None:
    with naming(journal), journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(piece) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read_journal(journal: Path) -> list[Read]:
    """The pieces that an earlier attempt finished; an incomplete last line is cut off."""
    facts: list[Read] = []
    complete = 0
    content = journal.read_bytes()
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        facts.extend((digest, reason, length) for digest, reason, length in json.loads(line))
        complete += len(line)
    if complete < len(content):
        os.truncate(journal, complete)
    return facts


def assign_slots(cells_read: ReadCells, which: np.ndarray, items: Any) -> Cleaned:
    """Point every row to the first slot that holds its content."""
    slots = np.full(len(cells_read.has_content), -1, dtype=np.int64)
    used = np.flatnonzero(cells_read.has_content)
    words = cells_read.digests[used].view(np.uint64)
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable: of equal ones the first slot goes first
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (words[order[1:]] != words[order[:-1]]).any(1)
    slots[used[order]] = used[order[is_first]][np.cumsum(is_first) - 1]
    entry = slots[which]
    has_reason = np.zeros(len(cells_read.has_content), dtype=bool)
    has_reason[list(cells_read.reasons_by_slot)] = True
    rows = np.flatnonzero(has_reason[which])
    by_row = {int(row): cells_read.reasons_by_slot[int(slot)] for row, slot in zip(rows, which[rows], strict=True)}
    reasons = {row: reason for row, reason in by_row.items() if entry[row] < 0}
    remarks = {row: reason for row, reason in by_row.items() if entry[row] >= 0}
    return Cleaned(entry, reasons, cells_read.digests, items, remarks)
