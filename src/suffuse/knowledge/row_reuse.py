"""Rows of a previous store that are still valid: the same key, the same prepared entries, the same teacher.

After rows were added to the table the teacher answers only the new ones; after views or subsets were added, only those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.columns import Columns
from ..data.training_views import mixed
from ..errors import SuffuseError
from ..progress import say
from . import manifest
from .chunks import PER_ROW, Block, Part
from .fingerprint import ANSWERS


@dataclass(frozen=True)
class PreviousStore:
    """A store that was moved to ``previous/``."""

    folder: Path
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path) -> PreviousStore:
        """Raises SuffuseError where it isn't whole."""
        facts = manifest.read(folder)
        return cls(folder, facts, manifest.load(folder, facts))

    def places(
        self, block: Block, rows: Mapping[str, np.ndarray], content_fingerprint: Mapping[str, Any]
    ) -> np.ndarray:
        """Positions of rows in this block of the store, -1 where it lacks them. ``rows``: per-row arrays (K,) of the
        new store; ``content_fingerprint``: its fingerprint."""
        count = len(rows["key"])
        number, compared = self.number(block), ["content"]
        if number is None or any(self.facts["fingerprint"].get(p) != content_fingerprint[p] for p in ANSWERS):
            return np.full(count, -1, dtype=np.int64)
        if block.view is not None:  # a view is drawn by the number of a row's entries
            stored_views, current_views = (
                {k: v for k, v in f["views"].items() if k != "count"}
                for f in (self.facts["fingerprint"], content_fingerprint)
            )
            if stored_views != current_views:
                return np.full(count, -1, dtype=np.int64)
            compared.append("drawn")
        positions = find_keys(self.arrays["key"], rows["key"])
        is_right = (positions >= 0) & (positions < self.facts["blocks"][number]["rows"])
        for name in compared:
            is_right &= self.arrays[name][np.maximum(positions, 0)] == rows[name]
        return np.where(is_right, positions, -1)

    def copy(self, block: Block, part: Part) -> dict[str, np.ndarray]:
        """A part's arrays."""
        number = self.number(block)
        assert number is not None and part.previous_rows is not None, "only a block that is there is copied"
        full = block.subset == tuple(self.facts["blocks"][0]["subset"])
        arrays = {}
        for name, array in self.arrays.items():
            if name not in PER_ROW and (full or self.has_own_rows(name, number)):
                arrays[name] = array[self.facts["arrays"][name]["starts"][number] + part.previous_rows]
        return {**arrays, "slot": part.slots}

    def has_own_rows(self, name: str, number: int) -> bool:
        """Whether a block has rows of its own in an array."""
        begin = self.facts["arrays"][name]["starts"]
        return begin[number] not in begin[:number]

    def number(self, block: Block) -> int | None:
        """The number of a block; None where the store lacks it."""
        blocks = manifest.blocks(self.facts)
        return blocks.index(block) if block in blocks else None


def newest(previous: Path, content_fingerprint: Mapping[str, Any], taps: Iterable[str]) -> Path | None:
    """The last store in ``previous/`` that holds these taps of the same teacher in the same form."""
    wanted_taps = set(taps)
    for folder in sorted(previous.glob("*/knowledge"), key=lambda p: p.parent.name, reverse=True):
        try:
            facts = manifest.read(folder)
        except SuffuseError:
            continue
        same = all(facts["fingerprint"].get(part) == content_fingerprint[part] for part in ANSWERS)
        if same and set(facts["taps"]) == wanted_taps:
            if broken := manifest.changed_arrays(folder, facts):
                say(f"notice: {folder} isn't used again: {broken[0]}.npy was changed after it was written")
                continue
            return folder
    return None


def content_hashes(columns: Columns, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(K,) uint64: hash of each row's prepared entries in these modalities."""
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for m, name in enumerate(columns.spec.names):
        if name not in names:
            continue
        column, is_present = columns.entries[name], columns.present[rows, m]
        column = column.view(np.ndarray) if isinstance(column, np.ndarray) else column  # a memmap's items cost more
        used, entry_numbers = np.unique(columns.entry[rows[is_present], m], return_inverse=True)
        entry_hashes = np.array([_hash(np.asarray(column[int(n)])) for n in used], dtype=np.uint64)
        modality_hashes = np.full(len(rows), m + 1, dtype=np.uint64)
        modality_hashes[is_present] = entry_hashes[entry_numbers]
        hashes = mixed(hashes ^ modality_hashes)
    return hashes


def draw_hashes(columns: Columns, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(K,) uint64: hash of each row's entry numbers in the modalities that views change."""
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for m, name in enumerate(columns.spec.names):
        if name in names:
            is_present = columns.present[rows, m]
            hashes = mixed(hashes ^ np.where(is_present, columns.entry[rows, m] + 1, 0).astype(np.uint64))
    return hashes


def find_keys(keys: np.ndarray, wanted_keys: np.ndarray) -> np.ndarray:
    """Position of each wanted key in ``keys``, -1 where it isn't there. (K,), (N,) uint64 -> (N,) int64."""
    if not len(keys):
        return np.full(len(wanted_keys), -1, dtype=np.int64)
    order = np.argsort(keys)
    positions = np.minimum(np.searchsorted(keys, wanted_keys, sorter=order), len(keys) - 1)
    return np.where(keys[order[positions]] == wanted_keys, order[positions], -1)


def _hash(entry: np.ndarray) -> int:
    digest = hashlib.blake2b(f"{entry.dtype} {entry.shape} ".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(entry).tobytes())
    return int.from_bytes(digest.digest(), "little")
