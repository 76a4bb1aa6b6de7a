"""The blocks of a store, and the parts that each block is built in.

A block is one subset of the modalities under one view. Every block has its rows in the same order: training rows, then
validation rows, in the pieces of the teacher. Blocks of a view hold training rows only. A part is a piece of one block,
of at most 4,096 rows; the teacher answers it, or it is copied from a previous store whose rows are still valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..files import write_bytes
from ..recipe import Extract
from ..types import LOOK, MAP

PART = 4096  # rows
FACTS = ("slot", "error", "same")  # arrays of a part that are no taps
PER_ROW = ("key", "label", "content", "drawn")  # arrays of a store that every block shares
NONE = np.empty(0, dtype=np.int64)
Pieces = Callable[[np.ndarray, int], list[np.ndarray]]  # rows, size -> positions in them that are answered together


@dataclass(frozen=True)
class Part:
    """Some rows of a block."""

    block: int
    number: int
    slots: np.ndarray  # (B,) where the rows stand in the block
    previous_rows: np.ndarray | None = None  # (B,) where they stand in the older store that they are copied from

    @property
    def name(self) -> str:
        """The name of its lease."""
        return f"block-{self.block:03d}-part-{self.number:06d}"

    def file(self, folder: Path) -> Path:
        """Its file."""
        return folder / f"block-{self.block:03d}" / f"part-{self.number:06d}.safetensors"


def store_order(train: np.ndarray, validation: np.ndarray, pieces: Pieces) -> np.ndarray:
    """Data rows in the order of the store."""
    return np.concatenate([rows[piece] for rows in (train, validation) for piece in (*pieces(rows, PART), NONE)])


def cut_parts(rows: np.ndarray, train: int, previous_rows: Sequence[np.ndarray], pieces: Pieces) -> list[Part]:
    """All parts. ``train``: number of training rows, which come first and are cut separately, so that a part is a
    contiguous range of the store; ``previous_rows``: for each block, the position of each row in the previous store, -1
    where it has none."""
    parts: list[Part] = []
    for block, previous in enumerate(previous_rows):
        kept, new = np.flatnonzero(previous >= 0), np.flatnonzero(previous < 0)
        copied = [kept[start : start + PART] for start in range(0, len(kept), PART)]
        halves = [half for half in (new[new < train], new[new >= train]) if len(half)]
        queried = [half[piece] for half in halves for piece in pieces(rows[half], PART)]
        for number, slots in enumerate([*copied, *queried]):
            parts.append(Part(block, number, slots, previous[slots] if number < len(copied) else None))
    return parts


def of_modality(name: str, modalities: Sequence[str]) -> bool:
    """Whether a tap depends on one modality only (its feature, map or look), and so not on the subset."""
    return name.removesuffix(LOOK).removesuffix(MAP) in modalities


def write_part(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one part atomically."""
    from safetensors.numpy import save

    write_bytes(file, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def read_part(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a part."""
    from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

    return load_file(file)


def block_starts(blocks: Sequence[Block], counts: Sequence[int], full_only: bool) -> list[int]:
    """The row of an array at which each block begins. A modality's own feature is the same in every subset: it is
    stored in the full subset's blocks of each teacher, and the others point there."""
    full, end = blocks[0].subset, 0
    positions: list[int] = []
    first: dict[tuple[int | None, int | None], int] = {}
    for block, count in zip(blocks, counts, strict=True):
        if full_only and block.subset != full:
            positions.append(first[block.teacher, block.view])
            continue
        first.setdefault((block.teacher, block.view), end)
        positions.append(end)
        end += count
    return positions


MAX_MODALITIES = 6  # for `all`: 63 subsets


@dataclass(frozen=True)
class Block:
    """One subset under one view, as one teacher answers it."""

    subset: tuple[str, ...]  # what the teacher was shown, in its own order
    view: int | None = None  # None: rows as prepared
    teacher: int | None = None  # seed of the teacher; None: there is one

    @property
    def name(self) -> str:
        """``picture+question, view 3``."""
        seed = "" if self.teacher is None else f", teacher of seed {self.teacher}"
        return f"{'+'.join(self.subset) or 'full'}, {'as prepared' if self.view is None else f'view {self.view}'}{seed}"

    def to_json(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        seed = {} if self.teacher is None else {"teacher": self.teacher}
        return {"subset": list(self.subset), "view": self.view, **seed}


def subsets(setting: str | Sequence[Sequence[str]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The recipe's setting and the teacher's modalities (M) -> subsets in the teacher's order, the full one first.

    Raises UsageError where the teacher doesn't read a named modality, or none can be hidden from it.
    """
    full = tuple(names)
    if setting == "full" or (setting in ("each", "all") and len(names) == 1):
        return [full]
    if not names:
        raise UsageError(
            "this teacher has no modalities that could be hidden", where="extract.subsets", got=setting, expected="full"
        )
    if setting == "all" and len(names) > MAX_MODALITIES:
        raise UsageError(
            "too many subsets", where="extract.subsets", got=f"all of {len(names)} modalities",
            expected=f"{MAX_MODALITIES} modalities at most", hint="each, or a list of those that matter",
        )  # fmt: skip
    if setting == "each":
        chosen = [(name,) for name in names]
    elif setting == "all":
        chosen = [s for count in range(len(names) - 1, 0, -1) for s in combinations(names, count)]
    else:
        for name in (n for s in setting for n in s):
            if name not in names:
                raise UsageError(
                    "the teacher doesn't read this modality", where="extract.subsets", got=name,
                    expected=" or ".join(names),
                )  # fmt: skip
        chosen = [tuple(n for n in names if n in s) for s in setting]
    return list(dict.fromkeys([full, *chosen]))


def blocks(settings: Extract, names: Sequence[str], teachers: Sequence[int | None] = (None,)) -> list[Block]:
    """All blocks of a store: for each teacher and subset the rows as prepared, then each view."""
    views = [None, *range(settings.views)]
    chosen = subsets(settings.subsets, names)
    return [Block(subset, view, teacher) for teacher in teachers for subset in chosen for view in views]
