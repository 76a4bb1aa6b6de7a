"""The knowledge store of a run as a map-style PyTorch dataset, for a training loop of one's own."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.columns import Columns
from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import parsing
from .chunks import FACTS, PER_ROW
from .logit_encoding import INDEX, LOGITS, VALUES
from .store import Knowledge as Store

SPLITS = ("train", "validation")


class KnowledgeDataset(Dataset[dict[str, Any]]):
    """Rows of a store in one subset of the modalities and one view, in the store's order.

    ``dataset[n]`` is row number n, ``dataset[id]`` the row with this id: ``id``, ``label`` (as in ``data/target.npy``:
    the class's number, -1 without a label), ``present`` (M,) bool in the order of ``modalities``, and the teacher's
    taps as float32: ``logits`` (C,) in the order of ``classes``, ``fused`` (D,), ``gates`` (M,) and a feature (D_m,)
    for each modality, as far as the store has them. Logits are NaN where the teacher abstained; the feature of an
    absent modality is NaN. Worker processes open the store by themselves.
    """

    def __init__(self, folder: Path, subset: tuple[str, ...] | None, view: int | None, split: str | None, taps: Any):
        self.folder, self._arguments = folder, (subset, view, split, taps)
        columns = Columns.open(folder / "data")
        self._columns, self._store = columns, Store.open(folder / "knowledge", columns)
        self._block = self._store.block(subset, view)
        self.subset, self.view = self._store.blocks[self._block].subset, view
        self.subsets = tuple(block.subset for block in self._store.blocks if block.view is None)
        self.views = int(self._store.manifest["fingerprint"]["views"]["count"])
        self.classes: tuple[str, ...] = columns.spec.classes
        self.modalities: tuple[str, ...] = tuple(self._store.manifest["fingerprint"]["modalities"])
        self.taps = self._chosen(taps)
        place = self._store.place.numpy()
        kept = (place >= 0) & (place < self._store.manifest["blocks"][self._block]["rows"])
        if split is not None:
            kept &= np.isin(columns.split, SPLITS.index(split))
        rows = np.flatnonzero(kept)
        self._rows = torch.from_numpy(rows[np.argsort(place[rows], kind="stable")])
        with parsing(folder / "data" / "rows.parquet"):
            names = pq.read_table(folder / "data" / "rows.parquet", columns=["id"])["id"].to_pylist()
        self.ids: tuple[str, ...] = tuple(str(names[int(row)]) for row in self._rows.numpy())
        self._position = {name: n for n, name in enumerate(self.ids)}

    @classmethod
    def open(
        cls,
        folder: str | Path,
        subset: Sequence[str] | None = None,
        view: int | None = None,
        split: str | None = None,
        taps: Sequence[str] | None = None,
    ) -> KnowledgeDataset:
        """The store of a run folder. ``subset``: the modalities that the teacher saw, by default all of its own;
        ``view``: an augmented view, 0 to ``views`` - 1, of the training rows; ``split``: train or validation, by
        default both; ``taps``: by default all.

        Raises SuffuseError where there is no whole store, or it lacks the subset or view; UsageError where it lacks the
        taps, or the split is no split.
        """
        if split is not None and split not in SPLITS:
            raise UsageError("no such split", where="split", got=split, expected=" or ".join(SPLITS))
        place = Path(folder).resolve()
        if not (place / "knowledge").is_dir() and place.name == "knowledge":
            place = place.parent
        if not (place / "data").is_dir():
            raise SuffuseError("no run with a knowledge store", where=place, hint="`suffuse extract` makes it")
        chosen = None if subset is None else tuple(subset)
        return cls(place, chosen, view, split, None if taps is None else tuple(taps))

    def _chosen(self, taps: tuple[str, ...] | None) -> tuple[str, ...]:
        stored = [name for name in self._store.manifest["arrays"] if name not in (*FACTS, *PER_ROW, VALUES, INDEX)]
        known = tuple(dict.fromkeys([LOGITS, *stored]))
        for name in taps or ():
            if name not in known:
                raise UsageError(
                    "the knowledge store lacks a tap", where="taps", got=name, hint=did_you_mean(name, known)
                )
        return known if taps is None else taps

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | str) -> dict[str, Any]:
        return self.__getitems__([self.position(key)])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Several rows by their numbers, as a DataLoader asks for a batch."""
        batch = self.gather([self.ids[position] for position in positions])
        return [{name: values[n] for name, values in batch.items()} for n in range(len(positions))]

    def position(self, key: int | str) -> int:
        """The number of a row by its id, or by its number. Raises KeyError, or IndexError as a list does."""
        if isinstance(key, str):
            return self._position[key]
        return range(len(self.ids))[key]

    def gather(self, ids: Sequence[str]) -> dict[str, Any]:
        """Ids (B) -> ``id``, ``label``, ``present`` and the taps (B, ...) of these rows, in their order.

        Raises KeyError for an id that the store lacks.
        """
        rows = self._rows[[self._position[name] for name in ids]]
        arrays: dict[str, Tensor] = self._store.gather(rows, self.taps, self._block)
        number, names = rows.numpy(), self._columns.spec.names
        present = torch.from_numpy(self._columns.present[number][:, [names.index(m) for m in self.modalities]])
        batch: dict[str, Any] = {"id": list(ids), "label": torch.from_numpy(self._columns.target[number])}
        batch["present"] = present & torch.tensor([name in self.subset for name in self.modalities])
        for name, values in arrays.items():
            values = values.float()
            modality = name.partition(".")[0]
            if modality in self.modalities:
                absent = ~present[:, self.modalities.index(modality)]
                values[absent] = torch.nan
            batch[name] = values
        return batch

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, *self._arguments)


Knowledge = KnowledgeDataset  # as ``suffuse.Knowledge``
