"""Rows of an older store that are still right: the same key, the same prepared entries, the same teacher.

After rows were added to the table only the new ones are answered; after views or subsets were added, only those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..data.training_views import mixed
from ..errors import SuffuseError
from ..progress import say
from . import manifest
from .chunks import PER_ROW, Block, Part
from .fingerprint import ANSWERS


@dataclass(frozen=True)
class Older:
    """A store that an edit has put aside."""

    folder: Path
    facts: dict
    arrays: dict[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path) -> Older:
        """Raises SuffuseError where it isn't whole."""
        facts = manifest.read(folder)
        return cls(folder, facts, manifest.load(folder, facts))

    def places(self, block: Block, wanted: Mapping[str, np.ndarray], made: Mapping) -> np.ndarray:
        """Where rows stand in it for this block, -1 where they don't. ``wanted``: per-row arrays (K,) of the new store;
        ``made``: its fingerprint."""
        count = len(wanted["key"])
        number, same = self.number(block), ["content"]
        if number is None or any(self.facts["fingerprint"].get(p) != made[p] for p in ANSWERS):
            return np.full(count, -1, dtype=np.int64)
        if block.view is not None:  # a view is drawn by the number of a row's entries
            then, now = (
                {k: v for k, v in f["views"].items() if k != "count"} for f in (self.facts["fingerprint"], made)
            )
            if then != now:
                return np.full(count, -1, dtype=np.int64)
            same.append("drawn")
        place = find(self.arrays["key"], wanted["key"])
        right = (place >= 0) & (place < self.facts["blocks"][number]["rows"])
        for name in same:
            right &= self.arrays[name][np.maximum(place, 0)] == wanted[name]
        return np.where(right, place, -1)

    def copy(self, block: Block, part: Part) -> dict[str, np.ndarray]:
        """A part's arrays."""
        number = self.number(block)
        assert number is not None and part.old is not None, "only a block that is there is copied"
        full = block.subset == tuple(self.facts["blocks"][0]["subset"])
        found = {}
        for name, array in self.arrays.items():
            if name not in PER_ROW and (full or self.own(name, number)):
                found[name] = array[self.facts["arrays"][name]["starts"][number] + part.old]
        return {**found, "slot": part.slots}

    def own(self, name: str, number: int) -> bool:
        """Whether a block has rows of its own in an array."""
        begin = self.facts["arrays"][name]["starts"]
        return begin[number] not in begin[:number]

    def number(self, block: Block) -> int | None:
        """Which of its blocks this is."""
        there = manifest.blocks(self.facts)
        return there.index(block) if block in there else None


def newest(previous: Path, made: Mapping, taps: Iterable[str]) -> Path | None:
    """The last store put aside that holds these taps of the same teacher in the same form."""
    wanted = set(taps)
    for folder in sorted(previous.glob("*/knowledge"), key=lambda p: p.parent.name, reverse=True):
        try:
            facts = manifest.read(folder)
        except SuffuseError:
            continue
        same = all(facts["fingerprint"].get(part) == made[part] for part in ANSWERS)
        if same and set(facts["taps"]) == wanted:
            if broken := manifest.broken(folder, facts):
                say(f"notice: {folder} isn't used again: {broken[0]}.npy was changed after it was written")
                continue
            return folder
    return None


def contents(columns: Columns, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(K,) uint64: hash of what a teacher of these modalities sees of each row, as it is prepared."""
    found = np.zeros(len(rows), dtype=np.uint64)
    for m, name in enumerate(columns.spec.names):
        if name not in names:
            continue
        column, here = columns.entries[name], columns.present[rows, m]
        column = column.view(np.ndarray) if isinstance(column, np.ndarray) else column  # a memmap's items cost more
        used, which = np.unique(columns.entry[rows[here], m], return_inverse=True)
        hashes = np.array([_hash(np.asarray(column[int(n)])) for n in used], dtype=np.uint64)
        own = np.full(len(rows), m + 1, dtype=np.uint64)
        own[here] = hashes[which]
        found = mixed(found ^ own)
    return found


def drawn(columns: Columns, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(K,) uint64: hash of the numbers of each row's entries in the modalities that views change."""
    found = np.zeros(len(rows), dtype=np.uint64)
    for m, name in enumerate(columns.spec.names):
        if name in names:
            here = columns.present[rows, m]
            found = mixed(found ^ np.where(here, columns.entry[rows, m] + 1, 0).astype(np.uint64))
    return found


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position of each wanted key in ``keys``, -1 where it isn't there. (K,), (N,) uint64 -> (N,) int64."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order[at]] == wanted, order[at], -1)


def _hash(entry: np.ndarray) -> int:
    made = hashlib.blake2b(f"{entry.dtype} {entry.shape} ".encode(), digest_size=8)
    made.update(np.ascontiguousarray(entry).tobytes())
    return int.from_bytes(made.digest(), "little")
