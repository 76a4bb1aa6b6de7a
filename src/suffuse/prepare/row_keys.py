"""Codes and hashes of rows: which values repeat, which row is which, and which rows a set holds."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from typing import TypedDict

import numpy as np

from .splits import NAMES


class Summary(TypedDict):
    """The rows of a set that are in one split."""

    rows: int
    groups: int
    hash: str  # of their keys, sorted


def first_occurrences(values: Sequence[Hashable]) -> dict[int, int]:
    """Rows whose value (not None) stands in an earlier row: row -> the first row with that value."""
    first: dict[Hashable, int] = {}
    repeated = {}
    for row, value in enumerate(values):
        if value is not None and first.setdefault(value, row) != row:
            repeated[row] = first[value]
    return repeated


def codes(values: Iterable[Hashable]) -> np.ndarray:
    """(N,) int64: equal values have equal codes, by their first appearance."""
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(value, len(known)) for value in values), dtype=np.int64)


def ordered_codes(values: Sequence[str]) -> np.ndarray:
    """(N,) int64: as :func:`codes`, in the order of the values, without an array as wide as the longest of them."""
    rank = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.fromiter((rank[value] for value in values), dtype=np.int64, count=len(values))


def row_keys(ids: Sequence, contents: np.ndarray) -> np.ndarray:
    """(N,) uint64 hash of a row's id and contents (N, B) uint8: the same row has the same key, wherever it stands."""
    width, content = contents.shape[1], contents.tobytes()
    hashes = (
        hashlib.blake2b(str(id_).encode() + b"\0" + content[row * width : (row + 1) * width], digest_size=8).digest()
        for row, id_ in enumerate(ids)
    )
    return np.fromiter((int.from_bytes(h, "little") for h in hashes), dtype=np.uint64, count=len(ids))


def summarise(rows: np.ndarray, split: np.ndarray, group: np.ndarray, key: np.ndarray) -> dict[str, Summary]:
    """Split -> summary, of the splits that any of these rows is in. Summaries are equal where the sets of rows are, in
    any order. ``rows``: positions, or (N,) bool; ``split``, ``group`` and ``key``: (N,) each, of all rows; a key is a
    hash of a row's id and contents."""
    picked = np.unique(np.flatnonzero(rows) if rows.dtype == bool else rows)
    summaries: dict[str, Summary] = {}
    for code, name in enumerate(NAMES):
        in_split = picked[split[picked] == code]
        if len(in_split):
            keys = np.sort(key[in_split]).astype("<u8")
            digest = hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()
            summaries[name] = {"rows": len(in_split), "groups": len(np.unique(group[in_split])), "hash": digest}
    return summaries
