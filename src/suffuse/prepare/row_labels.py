"""Ids and labels of the rows."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from ..errors import SuffuseError
from ..types import UNLABELLED
from .quarantine import Quarantine
from .splits import TRAIN

MOST_CLASSES = 1000


def repeated(values: list) -> dict[int, int]:
    """Rows whose value (not None) stands in an earlier row: row -> that earlier row."""
    first: dict = {}
    found = {}
    for row, value in enumerate(values):
        if value is not None and first.setdefault(value, row) != row:
            found[row] = first[value]
    return found


def classes_of(labels: list[str | None], split: np.ndarray, column: str, most: int | None = None) -> tuple[str, ...]:
    """The labels of training rows, sorted (numbers by value); the ``most`` frequent ones and *other* where that is
    said and there are more.

    Raises SuffuseError where there are fewer than two, or so many that it is no classification.
    """
    seen = [x for x, s in zip(labels, split, strict=True) if s == TRAIN and x is not None]
    found = sorted(set(seen), key=_by_value)
    if len(found) < 2:
        got = f"only '{found[0]}'" if found else "no label at all"
        raise SuffuseError(
            "nothing to learn",
            where=f"column '{column}'",
            got=got,
            expected="two classes or more in training rows",
        )
    if most and len(found) > most:
        if "other" in found:
            raise SuffuseError(
                "a label has the name of the rest",
                where=f"column '{column}'",
                got="'other'",
                expected=f"another name, or no data.tasks.{column}.most",
            )
        counts = Counter(seen)
        kept = sorted(found, key=lambda label: -counts[label])[:most]
        return tuple(sorted({*kept, "other"}, key=_by_value))
    if len(found) > min(MOST_CLASSES, len(seen) / 2) and len(found) > 20:
        raise SuffuseError(
            "this target has no classes",
            where=f"column '{column}'",
            got=f"{len(found):,} different values in {len(seen):,} training rows",
            hint=f"data.tasks: {{{column}: {{kind: number}}}} learns a number; {{most: 100}} the most frequent classes",
        )
    return tuple(found)


def codes(values: Iterable[Hashable]) -> np.ndarray:
    """(N,) int64: equal values have equal codes, by their first appearance."""
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(v, len(seen)) for v in values), dtype=np.int64)


def ordered(values: Sequence[str]) -> np.ndarray:
    """(N,) int64: as :func:`codes`, in the order of the values, without an array as wide as the longest of them."""
    rank = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.fromiter((rank[v] for v in values), dtype=np.int64, count=len(values))


def keys(ids: Sequence, contents: np.ndarray) -> np.ndarray:
    """(N,) uint64 hash of a row's id and contents (N, B) uint8: the same row has the same key, wherever it stands."""
    wide, whole = contents.shape[1], contents.tobytes()
    hashes = (
        hashlib.blake2b(str(name).encode() + b"\0" + whole[row * wide : (row + 1) * wide], digest_size=8).digest()
        for row, name in enumerate(ids)
    )
    return np.fromiter((int.from_bytes(h, "little") for h in hashes), dtype=np.uint64, count=len(ids))


def note_targets(
    target: np.ndarray,
    labels: list[str | None],
    where: tuple[list[int], list],
    column: str,
    classes: int,
    q: Quarantine,
) -> None:
    """Write down the labels that training never saw, and the rows without one."""
    lines, ids = where
    for row in np.flatnonzero((target == classes) | (target == UNLABELLED)):
        if target[row] == classes:
            q.note(lines[row], ids[row], column, "other", f"label not in training: '{labels[row]}'")
        else:
            q.note(lines[row], ids[row], column, "unlabelled", "no label")


def _by_value(label: str) -> tuple:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (1, 0.0, label) if math.isnan(value) else (0, value, label)  # "nan" has no place among numbers
