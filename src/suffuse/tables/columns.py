"""One modality's cells -> distinct cleaned items. Each distinct cell is read and decoded once, in parallel.

Pictures go straight to a memory-mapped file, piece by piece; a journal says which pieces are done, so that a
killed preparation goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Cleaned:
    """N rows, U slots of items; slots of repeated or unreadable cells are never pointed at."""

    entry: np.ndarray  # (N,) int64 slot of each row's item, -1 where absent
    reasons: dict[int, str]  # row -> why it is absent
    digests: list[str | None]  # (U,) content hash
    items: Any  # (U, ...) array, or a list of strings


def clean(
    settings: PartSettings, cells: pa.ChunkedArray, root: Path, work: Path, tell: Callable[[float], None]
) -> Cleaned:
    """Read, decode and tell apart the cells of one column. ``work`` is a folder for files that may be resumed."""
    part = load_part(modalities.TABLE, settings.kind)
    cells, which = _distinct(cells)
    items, journal = _shelf(part.stored(settings), len(cells), work)
    found = _resume(journal) if isinstance(items, np.ndarray) else []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(len(found), len(cells), PIECE):
            values = cells.slice(start, PIECE).to_pylist()
            facts = list(pool.map(lambda value: _one(part, settings, value, root), values))
            for slot, (_, _, item) in enumerate(facts, start):
                if item is not None:
                    items[slot] = item
            piece = [(digest, reason) for digest, reason, _ in facts]
            if isinstance(items, np.memmap):
                items.flush()
                _append(journal, piece)
            found.extend(piece)
            tell(len(found) / len(cells))
    return _point(found, which, items)


def _one(part: Any, settings: PartSettings, value: Any, root: Path) -> tuple[str | None, str | None, Any]:
    """(digest, None, item), or (None, why not, None)."""
    try:
        digest, item = part.load(settings, value, root)
    except (Absent, Unreadable) as error:
        return None, str(error), None
    return digest, None, item


def _distinct(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray | pa.Array, np.ndarray]:
    """Distinct cells in order of appearance, and which of them each row has. Bytes are told apart later."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        coded = cells.combine_chunks().dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        return coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return cells, np.arange(len(cells), dtype=np.int64)


def _shelf(stored: tuple | None, count: int, work: Path) -> tuple[Any, Path]:
    """Where items go: a memory-mapped file for a fixed shape, a list otherwise."""
    journal = work / "journal.jsonl"
    if stored is None:
        return [None] * count, journal
    shape, dtype = stored
    work.mkdir(parents=True, exist_ok=True)
    file = work / "items.npy"
    if not journal.exists():
        new_array(file, dtype, (count, *shape))
        journal.touch()
    return np.lib.format.open_memmap(file, mode="r+"), journal


def _append(journal: Path, piece: list) -> None:
    with naming(journal), journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(piece) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _resume(journal: Path) -> list[tuple[str | None, str | None]]:
    """The pieces that an earlier attempt finished; a line that was cut off is taken away."""
    found: list[tuple[str | None, str | None]] = []
    whole = 0
    content = journal.read_bytes()
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        found.extend((digest, reason) for digest, reason in json.loads(line))
        whole += len(line)
    if whole < len(content):
        os.truncate(journal, whole)
    return found


def _point(found: list[tuple[str | None, str | None]], which: np.ndarray, items: Any) -> Cleaned:
    """Every row to the first slot that holds its content."""
    first: dict[str, int] = {}
    slots = np.array(
        [-1 if digest is None else first.setdefault(digest, slot) for slot, (digest, _) in enumerate(found)],
        dtype=np.int64,
    )
    reasons = {int(r): found[which[r]][1] or "" for r in np.flatnonzero(slots[which] < 0)}
    return Cleaned(slots[which], reasons, [digest for digest, _ in found], items)
