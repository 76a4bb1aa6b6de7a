"""Synthetic rows: unlabelled training rows, made of training rows, for the teacher to answer.

A student with few rows learns little of what its teacher knows. More inputs that the teacher answers help more than
more epochs on the same ones (Bucila, Caruana & Niculescu-Mizil 2006; Ba & Caruana 2014). ``synthesise`` of a modality
says how its items vary: a text is cut to a run of its words, in a row of a table some cells become those of a near row.
Items of other modalities (pictures, sounds, sequences) stay as they are.

A synthetic row has no label and is in the group of its source. Preprocessing is fitted without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.training_views import tag
from ..files import new_file
from ..modalities import load_modality
from ..registry import ModalitySettings, implements
from . import row_keys, splits
from .cell_cleaning import DIGEST, Cleaned
from .row_state import Draft

FILE = "synthetic.parquet"
SEED = 0x53594E  # apart from the draws of other parts


@dataclass(frozen=True)
class SyntheticRows:
    """S rows, in the order of their copies."""

    source: np.ndarray  # (S,) position of the row that each is made of
    ids: list[str]
    columns: dict[str, Cleaned]  # every modality's items, those of the table first; ``entry`` is (S,)
    cells: dict[str, list[str | None]]  # column -> S cells; None where a cell is the source's

    def entries(self) -> np.ndarray:
        """(S, M) slot of each row's item, -1 where absent."""
        return np.stack([column.entry for column in self.columns.values()], axis=1)

    def keys(self) -> np.ndarray:
        """(S,) uint64 hash of the id and all contents."""
        rows = np.arange(len(self.ids))
        contents = np.concatenate([column.contents(rows) for column in self.columns.values()], axis=1)
        return row_keys.row_keys(self.ids, contents)

    def write(self, folder: Path, rows: np.ndarray) -> None:
        """``synthetic.parquet``: position of each row's source among the prepared ``rows``, and the cells that differ
        from the source's, for readers of raw cells."""
        cells = {f"cell {name}": pa.array(values, pa.large_string()) for name, values in self.cells.items()}
        with new_file(folder / FILE) as file:
            pq.write_table(pa.table({"source": np.searchsorted(rows, self.source), **cells}), file)


def make(draft: Draft, modalities: Mapping[str, ModalitySettings], copies: int, seed: int) -> SyntheticRows:
    """``copies`` synthetic rows of each training row, less those that are equal to their source."""
    rows = np.flatnonzero(draft.keep & (draft.split == splits.TRAIN))[: None if copies else 0]
    source, before = np.tile(rows, copies), draft.entries()
    varied = {name: _varied(column, modalities[name], rows, copies, seed) for name, column in draft.columns.items()}
    differs = np.stack([column.entry for column in varied.values()], axis=1) != before[source]
    changed = np.flatnonzero(differs.any(1))
    columns = {name: replace(column, entry=column.entry[changed]) for name, column in varied.items()}
    cells: dict[str, list[str | None]] = {}
    for name, own in zip(columns, differs[changed].T, strict=True):
        _add_cells(cells, columns[name], modalities[name], own)
    ids = [f"{draft.ids[source[n]]}~{n // len(rows) + 1}" for n in changed]
    return SyntheticRows(source[changed], ids, columns, cells)


def _varied(column: Cleaned, settings: ModalitySettings, rows: np.ndarray, copies: int, seed: int) -> Cleaned:
    """The items of a modality and those of synthetic rows behind them. ``entry``: (copies * R,), of the latter."""
    part, entry = load_modality(settings.kind), np.tile(column.entry[rows], copies)
    present = np.flatnonzero(column.entry[rows] >= 0)
    if not implements(part, "synthesise") or not len(present):
        return replace(column, entry=entry, reasons={}, remarks={})
    items: list[str] = column.items.take(pa.array(column.entry[rows[present]])).to_pylist()
    random = np.random.default_rng([SEED, seed, tag(settings)])
    slots = {bytes(digest): slot for slot, digest in enumerate(column.digests)}
    digests, made = [column.digests], []
    for copy, varied in enumerate(part.synthesise(settings, items, copies, random)):
        for position, item in zip(present, varied, strict=True):
            digest = hashlib.blake2b(item.encode("utf-8"), digest_size=DIGEST).digest()
            if digest not in slots:
                slots[digest] = len(column.digests) + len(made)
                digests.append(np.frombuffer(digest, np.uint8)[None])
                made.append(item)
            entry[copy * len(rows) + position] = slots[digest]
    joined = pa.chunked_array([*column.items.chunks, pa.array(made, pa.large_string())], pa.large_string())
    return Cleaned(entry, {}, np.concatenate(digests), joined)


def _add_cells(
    cells: dict[str, list[str | None]], column: Cleaned, settings: ModalitySettings, differs: np.ndarray
) -> None:
    """Add the cells that a modality's items stand for. Of a column that several modalities read the cell with most
    capital letters is kept: some of them fold case. ``differs`` (S,) bool: which items aren't the source's."""
    if not differs.any():
        return
    part, places = load_modality(settings.kind), np.flatnonzero(differs)
    items: list[str] = column.items.take(pa.array(column.entry[places])).to_pylist()
    for place, item in zip(places, items, strict=True):
        for name, cell in part.as_cells(settings, item).items():
            kept = cells.setdefault(name, [None] * len(differs))
            kept[place] = max((kept[place] or "", cell), key=lambda c: sum(map(str.isupper, c)) + bool(c))
