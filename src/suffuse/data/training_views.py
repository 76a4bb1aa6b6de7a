"""Views: how a training sees its rows in one pass, reproducible from a seed and the number of the pass.

A view may drop modalities from a row (modality dropout; Neverova et al. 2016) and augment entries. Every random number
is a hash of (seed, pass, row or entry): there is no state, and the order of rows doesn't matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..modalities import load_modality
from ..recipe import Training
from ..registry import ModalitySettings

DROP, AUGMENT = 1, 2  # what numbers are drawn for
# nothing is dropped: a row is used three times, with all modalities, with a random subset, and with its complement
COMPLEMENTARY = "complementary_subsets"


@dataclass(frozen=True)
class Viewer:
    """What a training changes in its rows; the view of a pass is made from the seed and the pass's number."""

    seed: int
    drop: float | str | dict[str, float] = 0.0  # as :attr:`suffuse.recipe.Training.modality_dropout`
    augmented: Mapping[str, ModalitySettings] = field(default_factory=dict)
    stored: tuple[int, int] | None = None  # (seed, V): entries are augmented as in one of V views that others see too

    @classmethod
    def of(cls, training: Training, modalities_: Mapping[str, ModalitySettings], seed: int) -> Viewer | None:
        """The viewer that a recipe asks for; None where rows are seen as they are."""
        drop = 1.0 if training.modality_dropout == "uniform" else training.modality_dropout
        chosen = {n: s for n, s in modalities_.items() if training.augment and s.get("augment")}
        return cls(seed, drop, chosen) if drop or chosen else None

    def present(self, number: int, rows: np.ndarray, present: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """present (B, M) bool of these rows, less what pass ``number`` drops; never all that a row has."""
        if not self.drop or self.drop == COMPLEMENTARY:
            return present
        if isinstance(self.drop, dict):
            rates = np.array([self.drop.get(name, 0.0) for name in names])
            numbers = uniform((self.seed, number, DROP), rows, len(names) + 1)
            kept = present & (numbers[:, :-1] >= rates)
            empty = ~kept.any(1)
            kept[empty] = _random_modality(present[empty], numbers[empty, -1])
            return kept
        chance, which = uniform((self.seed, number, DROP), rows, 2).T
        kept = _subset(present, which, 2.0 ** present.sum(1) - 1)  # any but the empty one
        return np.where((chance < self.drop)[:, None], kept, present)

    def complementary_masks(self, number: int, rows: np.ndarray, present: np.ndarray) -> np.ndarray | None:
        """(2, B, M) bool: a part of what each row has, drawn from all that are neither empty nor whole, and the rest; a
        row with one modality has it in both. None where the viewer drops modalities otherwise."""
        if self.drop != COMPLEMENTARY:
            return None
        several = (present.sum(1) > 1)[:, None]
        which = uniform((self.seed, number, DROP), rows, 1)[:, 0]
        first = np.where(several, _subset(present, which, np.maximum(2.0 ** present.sum(1) - 2, 1)), present)
        return np.stack([first, np.where(several, present & ~first, present)])

    def entries(self, number: int, name: str, ids: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """Entries (U, ...) of a modality, with their numbers (U,), augmented as pass ``number`` does."""
        settings = self.augmented.get(name)
        if settings is None:
            return entries
        part = load_modality(settings.kind)
        seed, number = (self.stored[0], number % self.stored[1]) if self.stored else (self.seed, number)
        return part.augment(settings, entries, uniform((seed, number, AUGMENT, tag(settings)), ids, part.DRAWS))


def tag(settings: ModalitySettings) -> int:
    """Whose draws they are: modalities of one kind over the same columns share them, whatever form they read."""
    name = f"{settings.kind} {' '.join(map(repr, settings.columns))}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "little")


def uniform(stream: tuple[int, ...], ids: np.ndarray, count: int) -> np.ndarray:
    """(N, count) float64 in [0, 1): a hash (SplitMix64, Steele et al. 2014) of the stream, the id and the place."""
    state = np.uint64(0x9E3779B97F4A7C15)
    for part in stream:
        state = mixed(state ^ np.uint64(part & 0xFFFFFFFFFFFFFFFF))
    rows = mixed(ids.astype(np.uint64) ^ state)
    with np.errstate(over="ignore"):
        places = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed(rows[:, None] + places) >> np.uint64(11)) * 2.0**-53


def mixed(x: Any) -> Any:
    """uint64 -> uint64 with every bit depending on every bit (SplitMix64's finaliser)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _subset(present: np.ndarray, number: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Of each row's non-empty subsets, in their order, one of the first ``count`` (B,), by a number in [0, 1)."""
    rank = np.cumsum(present, 1) - 1
    subset = 1 + np.minimum(number * count, count - 1).astype(np.int64)
    return present & ((subset[:, None] >> np.maximum(rank, 0)) & 1).astype(bool)


def _random_modality(present: np.ndarray, number: np.ndarray) -> np.ndarray:
    """One of each row's present modalities, by a number in [0, 1)."""
    count = present.sum(1)
    rank = np.minimum((number * count).astype(np.int64), count - 1)
    return present & (np.cumsum(present, 1) - 1 == rank[:, None])
