"""Items of different length, end to end in one flat array; padded to a common length when they are picked.

A step of an item is F numbers. Selection items are (N, L, F + 1) float32, L the longest among them: the numbers, zeros
after an item's end, and a last channel that is 1 where a step is real. Disk and memory hold no padding, so that
100,000 clips of a second, of which one lasts a minute, take the room of 100,060 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_array
from ..paths import inside

LAYOUT = "float32 (rows, length, {features} + 1), the last is 1 where a step is real; shorter rows end in zeros"


def traced(statistics: dict[str, Any]) -> np.ndarray:
    """Three entries for the export, so long that no stride leaves one step: it would be taken for the only length."""
    return np.ones((3, 16 * statistics["length"] + 1, statistics["features"] + 1), dtype=np.float32)


def axes(statistics: dict[str, Any]) -> tuple[int | None, ...]:
    """Of an entry: (L, F + 1)."""
    return (None, statistics["features"] + 1)


@dataclass(frozen=True)
class Ragged:
    """U items. Indexed by a number or an array of numbers it gives padded entries, as an array of them would."""

    flat: np.ndarray  # (T, F) as stored
    start: np.ndarray  # (U,) int64, first step of each item
    length: np.ndarray  # (U,) int64, steps of each item

    def __len__(self) -> int:
        return len(self.start)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of all items, were they padded together."""
        return len(self), int(self.length.max(initial=1)), self.flat.shape[1] + 1

    @property
    def dtype(self) -> np.dtype:
        """Of what is picked."""
        return np.dtype(np.float32)

    @property
    def filename(self) -> str | None:
        """Of what is memory-mapped."""
        return getattr(self.flat, "filename", None)

    def __getitem__(self, which: Any) -> np.ndarray:
        """A number -> (L, F + 1); an array of them (N,) -> (N, longest of these, F + 1)."""
        if isinstance(which, (int, np.integer)):
            return padded([self.item(int(which))], self.flat.shape[1])[0]
        return padded([self.item(int(n)) for n in which], self.flat.shape[1])

    def item(self, number: int) -> np.ndarray:
        """(L, F) as stored, without a copy."""
        start = self.start[number]
        return self.flat[start : start + self.length[number]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.item(number) for number in range(len(self)))

    def bounds(self) -> np.ndarray:
        """(U, 2) int64: start and length, as :func:`open_column` reads them."""
        return np.stack([self.start, self.length], axis=1)

    def take(self, which: np.ndarray) -> Ragged:
        """Some of the items."""
        return replace(self, start=self.start[which], length=self.length[which])

    def cut(self, length: int) -> Ragged:
        """The same items, of at most so many steps."""
        return replace(self, length=np.minimum(self.length, length))


@dataclass(frozen=True)
class Selection:
    """Some entries of an array, read from the disk when a slice of them is asked for."""

    array: np.ndarray  # (U, ...)
    which: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.array[self.which[part]]


def padded(items: Sequence[np.ndarray], features: int) -> np.ndarray:
    """N x (L_i, F) -> (N, L, F + 1) float32; L is 1 at least."""
    longest = max((len(item) for item in items), default=0)
    out = np.zeros((len(items), max(longest, 1), features + 1), dtype=np.float32)
    for row, item in zip(out, items, strict=True):
        row[: len(item), :features] = item
        row[: len(item), features] = 1
    return out


def moments(pieces: Iterator[np.ndarray], features: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces (n, F) -> mean and standard deviation (F,) over all of them, in one pass (Chan et al. 1983).

    A column that never changes gets a deviation of 1: what is divided by it becomes 0.
    """
    count, mean, spread = 0, np.zeros(features), np.zeros(features)
    for piece in pieces:
        if not len(piece):
            continue
        values = np.asarray(piece, dtype=np.float64)
        own, total = values.mean(0), count + len(values)
        spread += ((values - own) ** 2).sum(0) + (own - mean) ** 2 * (count * len(values) / total)
        mean += (own - mean) * (len(values) / total)
        count = total
    deviation = np.sqrt(spread / max(count, 1))
    return mean, np.where(deviation > 1e-6 * (1e-6 + np.abs(mean)), deviation, 1.0)


def changed(entries: np.ndarray, change: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """Padded entries (U, L, F + 1) whose real steps (L_i, F) went through ``how(number, steps)``, which may give fewer
    or more of them; L grows where one needs it."""
    changed_steps = [change(number, entry[: int(entry[:, -1].sum()), :-1]) for number, entry in enumerate(entries)]
    longest = max([entries.shape[1], *map(len, changed_steps)])
    out = np.zeros((len(entries), longest, entries.shape[2]), dtype=entries.dtype)
    for row, steps in zip(out, changed_steps, strict=True):
        row[: len(steps), :-1] = steps
        row[: len(steps), -1] = 1
    return out


def between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values (L, F) at places (N,) from 0 to L - 1: (N, F), by linear interpolation."""
    low = np.minimum(places.astype(np.int64), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low)[:, None].astype(values.dtype)
    return values[low] * (1 - share) + values[high] * share


def masked(values: np.ndarray, share: float, draws: np.ndarray, fill: float | np.ndarray) -> np.ndarray:
    """Stretches of the first axis hidden: each as long as chance says, ``share`` of the whole at the most.

    ``draws`` (2 n,) in [0, 1): length and place of each of n stretches (Park et al. 2019).
    """
    out = values.copy()
    for wide, place in draws.reshape(-1, 2):
        length = int(wide * (share * len(values) + 1))
        start = int(place * (len(values) - length + 1))
        out[start : start + length] = fill
    return out


def open_column(folder: Path, field: dict, mode: Any = "r") -> Any:
    """One modality's entries as prepare wrote them: an array (U, ...) or :class:`Ragged`, memory-mapped."""
    entries = read_array(inside(folder, field["file"], plain=True), mode)
    if "bounds" not in field:
        return entries
    bounds = read_array(inside(folder, field["bounds"], plain=True))
    return Ragged(entries, bounds[:, 0], bounds[:, 1])
