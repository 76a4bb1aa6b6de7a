"""Prepared columns -> batches. One gather per batch from contiguous columns; a shared content goes in once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .types import UNLABELLED, Batch, Spec

SPLITS = ("train", "validation", "test")
MOST_TOGETHER = 16  # rows of one content side by side: more would make batches of one kind


@dataclass(frozen=True)
class Columns:
    """The prepared data of a run, memory-mapped. N rows, M modalities, U_m distinct entries."""

    spec: Spec
    entries: dict[str, np.ndarray]  # modality -> (U_m, ...)
    entry: np.ndarray  # (N, M) int64, which entry a row has; 0 where it is absent
    present: np.ndarray  # (N, M) bool
    target: np.ndarray  # (N,) int64; -1 unlabelled, C for a label never seen in training
    split: np.ndarray  # (N,) int8, position in SPLITS
    group: np.ndarray  # (N,) int64, rows that belong together
    key: np.ndarray  # (N,) uint64, hash of row id and contents

    @classmethod
    def open(cls, folder: Path) -> Columns:
        """The folder that prepare wrote."""
        schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
        spec = Spec.from_json(
            {**schema, "fields": [{**f, "statistics": statistics[f["name"]]} for f in schema["fields"]]}
        )
        arrays = {n: np.load(folder / f"{n}.npy") for n in ("entry", "present", "target", "split", "group", "key")}
        # copy-on-write maps: torch wants writable memory, and nobody writes
        entries = {f["name"]: np.load(folder / f["file"], mmap_mode="c") for f in schema["fields"]}
        return cls(spec, entries, **arrays)

    def rows(self, split: str) -> np.ndarray:
        """Positions of a split's rows, in order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def labelled(self, split: str) -> np.ndarray:
        """Positions of a split's rows that have a target."""
        rows = self.rows(split)
        return rows[self.target[rows] != UNLABELLED]

    def only(self, name: str) -> Columns:
        """The same rows with one modality."""
        m = self.spec.names.index(name)
        return replace(
            self,
            spec=replace(self.spec, fields=(self.spec.fields[m],)),
            entries={name: self.entries[name]},
            entry=self.entry[:, m : m + 1],
            present=self.present[:, m : m + 1],
        )

    def shared(self) -> np.ndarray:
        """(N,) what to keep together in a batch: the entry of the modality whose entries cost most to encode.

        That is the modality with the largest entries among those that rows share.
        """
        cost = [a[0].size if len(a) and len(a) < len(self.entry) else 0 for a in self.entries.values()]
        best = int(np.argmax(cost))
        alone = -1 - np.arange(len(self.entry))
        return np.where(self.present[:, best], self.entry[:, best], alone) if cost[best] else alone

    def batch(self, rows: np.ndarray, target: torch.Tensor | None = None) -> Batch:
        """Gather rows. ``target`` (N,) stands in for the stored targets where a training hides some labels."""
        inputs, index, present = {}, {}, self.present[rows]
        for m, (name, column) in enumerate(self.entries.items()):
            here = present[:, m]
            if here.all():
                distinct, inverse = np.unique(self.entry[rows, m], return_inverse=True)
            else:  # only what is present is encoded; the others point at entry 0, and are masked
                distinct, some = np.unique(self.entry[rows[here], m], return_inverse=True)
                inverse = np.zeros(len(rows), dtype=np.int64)
                inverse[here] = some
            inputs[name] = _gather(column, distinct)
            index[name] = torch.from_numpy(inverse)
        positions = torch.from_numpy(rows)
        labels = torch.from_numpy(self.target) if target is None else target
        mask = torch.from_numpy(present)
        return Batch(inputs, index, mask, labels.index_select(0, positions), positions, bool(present.all()))


def _gather(column: np.ndarray, entries: np.ndarray) -> torch.Tensor:
    picked = torch.from_numpy(column[entries])
    return picked.long() if picked.dtype == torch.int32 else picked


@dataclass(frozen=True)
class Sampler:
    """(seed, step) -> rows, with no state to save: the order of an epoch is made from the seed and its number.

    Rows that share a picture stay together (16 at the most), so that it is encoded once; pictures, and the rows of
    each, are shuffled anew every epoch.
    """

    rows: np.ndarray  # (N,) positions to draw from
    together: np.ndarray  # (N,) equal where rows stay together
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches in one pass."""
        return -(-len(self.rows) // self.batch)

    def order(self, epoch: int) -> np.ndarray:
        """All rows, in the order of this pass."""
        random = np.random.default_rng([self.seed, epoch])
        _, which = np.unique(self.together, return_inverse=True)
        shuffled = random.permutation(len(which))
        rows = shuffled[np.argsort(which[shuffled], kind="stable")]  # by picture, shuffled within
        new = np.diff(which[rows], prepend=-1) != 0
        rank = np.arange(len(rows)) - np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        piece = np.cumsum(rank % MOST_TOGETHER == 0) - 1
        place = random.permutation(piece[-1] + 1)[piece]
        return self.rows[rows[np.argsort(place, kind="stable")]]
