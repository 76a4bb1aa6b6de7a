"""One modality's cells -> distinct cleaned items. Each distinct cell is read and decoded once, in parallel.

Items whose form is known go straight to a file, piece by piece; a journal says which pieces are done, so that a
killed preparation goes on from there.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import modalities
from ..files import naming
from ..modalities.cell import Absent, Root, Unreadable
from ..parts import PartSettings
from ..parts import load as load_part
from .shelf import shelf

PIECE = 512

Fact = tuple[str | None, str]  # hash of the content (None: there is none), and what was wrong
Found = tuple[str | None, str, int]  # and its length on the disk


@dataclass(frozen=True)
class Cleaned:
    """N rows, U slots of items; slots of repeated or unreadable cells are never pointed at."""

    entry: np.ndarray  # (N,) int64 slot of each row's item, -1 where absent
    reasons: dict[int, str]  # row -> why it is absent
    digests: list[str | None]  # (U,) content hash
    items: Any  # (U, ...) array, Ragged, or a list of strings
    remarks: dict[int, str] = field(default_factory=dict)  # row -> what of its item was left out


def clean(
    settings: PartSettings,
    cells: pa.ChunkedArray,
    root: Path | Root,
    work: Path,
    tell: Callable[[float], None],
) -> Cleaned:
    """Read, decode and tell apart the cells of one column. ``work`` is a folder for files that may be resumed."""
    part = load_part(modalities.TABLE, settings.kind)
    cells, which = _distinct(cells)
    place, journal = shelf(part.stored(settings), len(cells), work / "items.npy"), work / "journal.jsonl"
    found = _begin(place, journal)
    first: dict[str | None, int] = {}  # content hash -> the first slot that holds it
    _note(first, 0, found)

    def read(slot: int, value: Any) -> Fact:
        digest, reason, item = _one(part, settings, value, root)
        if digest is not None:
            place.put(slot, item)
        return digest, reason

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # decoders warn of what is told as a reason
        for start, facts in _pieces(pool, read, cells, len(found)):
            _note(first, start, facts)
            new = [slot for slot, (digest, _) in enumerate(facts, start) if digest and first[digest] == slot]
            lengths = place.settle(range(start, start + len(facts)), set(new))
            piece = [(*fact, length) for fact, length in zip(facts, lengths, strict=True)]
            if place.lasting:
                _append(journal, piece)
            found.extend(piece)
            tell(len(found) / len(cells))
    return _point(found, first, which, place.items())


def _note(first: dict[str | None, int], start: int, facts: Sequence[tuple]) -> None:
    for slot, (digest, *_) in enumerate(facts, start):
        first.setdefault(digest, slot)


def _pieces(pool: ThreadPoolExecutor, read: Callable, cells: Any, start: int) -> Iterator[tuple[int, list[Fact]]]:
    """First slot of a piece and what was found in it; the next piece is read while one is written down."""

    def begin(at: int) -> tuple[int, list[Future]]:
        return at, [pool.submit(read, slot, value) for slot, value in enumerate(cells.slice(at, PIECE).to_pylist(), at)]

    ahead = None
    try:
        for at in range(start, len(cells), PIECE):
            now, ahead = ahead, begin(at)
            if now:
                yield now[0], [one.result() for one in now[1]]
        if ahead:
            yield ahead[0], [one.result() for one in ahead[1]]
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


def _distinct(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, np.ndarray]:
    """Distinct cells in order of appearance, and which of them each row has. Bytes are told apart later."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        coded = cells.combine_chunks().dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        return coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return cells, np.arange(len(cells), dtype=np.int64)


def _begin(place: Any, journal: Path) -> list[Found]:
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


def _resume(journal: Path) -> list[Found]:
    """The pieces that an earlier attempt finished; a line that was cut off is taken away."""
    found: list[Found] = []
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


def _point(found: list[Found], first: dict[str | None, int], which: np.ndarray, items: Any) -> Cleaned:
    """Every row to the first slot that holds its content."""
    slots = np.array([-1 if digest is None else first[digest] for digest, _, _ in found], dtype=np.int64)
    absent = slots[which] < 0
    remarked = np.array([bool(reason) for _, reason, _ in found])[which] & ~absent
    reasons, remarks = ({int(row): found[which[row]][1] for row in np.flatnonzero(rows)} for rows in (absent, remarked))
    return Cleaned(slots[which], reasons, [digest for digest, _, _ in found], items, remarks)
