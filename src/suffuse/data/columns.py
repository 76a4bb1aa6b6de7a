"""Prepared columns -> batches. One gather per batch from contiguous columns; each distinct entry is gathered once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import SuffuseError
from ..files import parsing, read_array
from ..modalities.ragged import Ragged, open_column
from ..types import NUMBER, UNLABELLED, Batch, Spec, Split
from .resident_columns import Resident
from .training_views import Viewer

SPLITS = ("train", "validation", "test")
MAX_NUMBERS = 2**26  # in the entries of rows that are computed at once


@dataclass(frozen=True)
class Columns:
    """The prepared data of a run, memory-mapped. N rows, M modalities, U_m distinct entries."""

    spec: Spec
    entries: dict[str, Any]  # modality -> (U_m, ...), an array or :class:`suffuse.modalities.ragged.Ragged`
    entry: np.ndarray  # (N, M) int64, which entry a row has; 0 where it is absent
    present: np.ndarray  # (N, M) bool
    target: np.ndarray  # (N,) int64; -1 unlabelled, C for a label never seen in training; or (N, W) float32, see Spec
    split: np.ndarray  # (N,) int8, position in SPLITS
    group: np.ndarray  # (N,) int64, rows that belong together
    key: np.ndarray  # (N,) uint64, hash of row id and contents
    ready: frozenset[str] = frozenset()  # modalities whose entries are a frozen encoder's vectors (U, D)

    @classmethod
    def open(cls, folder: Path) -> Columns:
        """The folder that prepare wrote."""
        schema, spec = _described(folder)
        arrays = {n: read_array(folder / f"{n}.npy") for n in ("entry", "present", "target", "split", "group", "key")}
        for name, array in arrays.items():
            rows = len(arrays["key"]) if arrays["key"].ndim == 1 else -1
            if not array.ndim or len(array) != rows:
                got = f"an array {list(array.shape)}"
                raise SuffuseError("the prepared data don't fit together", where=folder / f"{name}.npy", got=got)
        # copy-on-write maps: torch wants writable memory, and nobody writes
        entries = {f["name"]: open_column(folder, f, "c") for f in schema["fields"]}
        return cls(spec, entries, **arrays)

    def rows(self, split: str) -> np.ndarray:
        """Positions of a split's rows, in order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def labelled(self, split: str) -> np.ndarray:
        """Positions of a split's rows that have a target."""
        rows = self.rows(split)
        return rows[self.spec.known(self.target[rows])]

    def of(self, names: Iterable[str]) -> Columns:
        """The same rows with some of the modalities; they keep their order."""
        kept = set(names)
        places = [m for m, name in enumerate(self.spec.names) if name in kept]
        if len(places) == len(self.spec.names):
            return self
        return replace(
            self,
            spec=replace(self.spec, fields=tuple(self.spec.fields[m] for m in places)),
            entries={self.spec.names[m]: self.entries[self.spec.names[m]] for m in places},
            entry=self.entry[:, places],
            present=self.present[:, places],
            ready=self.ready & kept,
        )

    def with_ready(self, vectors: Mapping[str, np.ndarray]) -> Columns:
        """The same rows, with a frozen encoder's vectors (U, D) in place of these modalities' entries."""
        return replace(self, entries={**self.entries, **vectors}, ready=self.ready | set(vectors))

    def hidden(self, allowed: np.ndarray) -> torch.Tensor:
        """Targets as :meth:`batch` takes them, with the labels of all but the allowed rows (N,) bool hidden."""
        target = self.target.copy()
        if self.spec.plain:
            target[~allowed] = UNLABELLED
            return torch.from_numpy(target)
        at = 0
        for head in self.spec.heads:
            target[~allowed, at : at + head.columns] = np.nan if head.kind == NUMBER else UNLABELLED
            at += head.columns
        return torch.from_numpy(target)

    def counts(self, rows: np.ndarray, target: torch.Tensor | None = None) -> tuple[int, ...]:
        """How many labels of each target these rows have. ``target`` as :meth:`batch` takes it."""
        targets = torch.from_numpy(self.target) if target is None else target
        row_targets = targets.index_select(0, torch.from_numpy(rows))
        return tuple(int(head.count(part)) for head, part in self.spec.targets(row_targets))

    def fitting(self, limit: int) -> int:
        """How many rows may be computed at once: at most ``limit``, fewer where their entries are large."""
        return max(min(limit, MAX_NUMBERS // max(self.numbers(), 1)), 1)

    def numbers(self) -> int:
        """The largest number of values in a row's entries, all modalities together."""
        return sum(math.prod(column.shape[1:]) for column in self.entries.values())

    def shared(self) -> np.ndarray:
        """(N,) what rows of a batch should share: the entry of the modality that costs most to encode.

        That is the modality with the largest entries among those that rows share.
        """
        dear = {n: a for n, a in self.entries.items() if n not in self.ready and 0 < len(a) < len(self.entry)}
        cost = [math.prod(dear[n].shape[1:]) if n in dear else 0 for n in self.entries]
        best = int(np.argmax(cost))
        alone = -1 - np.arange(len(self.entry))
        return np.where(self.present[:, best], self.entry[:, best], alone) if cost[best] else alone

    def batch(
        self,
        rows: np.ndarray,
        target: torch.Tensor | None = None,
        view: tuple[Viewer, int] | None = None,
        with_full: bool = False,
        split: Split | None = None,
    ) -> Batch:
        """Gather rows. ``target`` replaces the stored targets where labels are hidden; a view (viewer, pass) drops
        modalities and augments entries. ``with_full``: dropped entries are encoded too, and
        ``Batch.full_present`` marks them.
        ``split``: only this process's entries are gathered; vectors of frozen encoders are gathered by all."""
        inputs, index, counts = {}, {}, {}
        present = has = self.present[rows]
        masks = view[0].complementary_masks(view[1], rows, has) if view else None
        if view:
            present = view[0].present(view[1], rows, has, self.spec.names)
        for m, (name, column) in enumerate(self.entries.items()):
            is_encoded = has[:, m] if with_full else present[:, m]
            if is_encoded.all():
                distinct, inverse = np.unique(self.entry[rows, m], return_inverse=True)
            else:  # only what is present is encoded; the others point at entry 0, and are masked
                distinct, numbers = np.unique(self.entry[rows[is_encoded], m], return_inverse=True)
                inverse = np.zeros(len(rows), dtype=np.int64)
                inverse[is_encoded] = numbers
            if split and name not in self.ready:
                counts[name] = len(distinct)
                distinct = distinct[split.own(len(distinct))]
            is_viewed = view is not None and name not in self.ready and name in view[0].augmented
            if isinstance(column, Resident) and not is_viewed:
                inputs[name] = column.gather(distinct)
            else:
                gathered = column[distinct]
                if view and is_viewed:
                    gathered = _cut(view[0].entries(view[1], name, distinct, gathered), column)
                inputs[name] = _tensor(gathered)
            index[name] = torch.from_numpy(inverse)
        positions = torch.from_numpy(rows)
        labels = torch.from_numpy(self.target) if target is None else target
        mask = torch.from_numpy(present)
        row_labels = labels.index_select(0, positions)
        full_present = torch.from_numpy(has) if with_full else None
        shared = replace(split, entries=counts) if split else None
        parts, complete = None if masks is None else torch.from_numpy(masks), bool(present.all())
        batch = Batch(inputs, index, mask, row_labels, positions, complete, self.ready, full_present, shared)
        return batch if parts is None else replace(batch, complementary_masks=parts)


def _described(folder: Path) -> tuple[dict[str, Any], Spec]:
    """What prepare says of its columns. Raises SuffuseError that names the file which can't be read."""
    with parsing(folder / "statistics.json"):
        statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    with parsing(folder / "schema.json"):
        schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        fields = [{**f, "statistics": statistics[f["name"]]} for f in schema["fields"]]
        return schema, Spec.from_json({**schema, "fields": fields})


def _cut(gathered: np.ndarray, column: Any) -> np.ndarray:
    """No more steps than the longest stored entry has: what a view makes longer is cut as a longer clip would be."""
    return gathered[:, : column.shape[1]] if isinstance(column, Ragged) else gathered


def _tensor(gathered: np.ndarray) -> torch.Tensor:
    """Token ids as int64; frames (U, L, F + 1) as float32, as long as the longest: their last channel says where
    they are real."""
    if gathered.ndim == 3 and gathered.dtype.kind == "f":
        longest = int(gathered[:, :, -1].astype(bool).sum(1).max(initial=1))
        return torch.from_numpy(gathered[:, : max(longest, 1)].astype(np.float32))
    tensor = torch.from_numpy(gathered)
    return tensor.long() if tensor.dtype == torch.int32 else tensor
