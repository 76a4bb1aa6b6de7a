"""An open store. Positions are found once, at opening; a batch's gather is one ``index_select`` a tap."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..activations import in_units
from ..data.columns import Columns
from ..data.device_transfer import to_device
from ..errors import SuffuseError
from ..types import Batch, Head
from . import manifest
from .chunks import FACTS, PER_ROW, Block
from .fingerprint import compare
from .logit_encoding import INDEX, LOGITS, VALUES, Encoding
from .row_reuse import find_keys

AT = "@"  # ``logits@picture``: that tap of the subset that is the picture alone


@dataclass(frozen=True)
class Knowledge:
    """An open store. N rows of the data, K rows of a block, S rows of all blocks that a tap has."""

    manifest: dict[str, Any]
    taps: dict[str, Tensor]  # array -> (S, ...) as stored, memory-mapped
    place: Tensor  # (N,) int64, where a data row stands in a block; -1 where it doesn't
    encoding: Encoding
    blocks: list[Block]
    starts: dict[str, list[int]]  # array -> the row at which each block begins in it
    offsets: dict[str, Tensor]  # the same as tensors

    @classmethod
    def open(
        cls, folder: Path, columns: Columns, expected: Mapping[str, Any] | None = None, teacher: int | None = None
    ) -> Knowledge:
        """Map the arrays and find every data row by its key. ``expected``: parts of a fingerprint that it must have, as
        :func:`suffuse.knowledge.fingerprint.expected` gives them; ``teacher``: the seed of the teacher whose blocks are
        read, where the store holds several; None: the first.

        Raises SuffuseError where there is no whole store, its fingerprint differs, or it lacks this teacher.
        """
        facts = manifest.read(folder)
        fingerprint = facts["fingerprint"]
        compare(fingerprint, expected or {"classes": list(columns.spec.classes)}, folder)
        names = [n for n in facts["arrays"] if n not in (*FACTS, *PER_ROW)]
        arrays = manifest.load(folder, facts, [*names, "key"])
        place = find_keys(arrays.pop("key"), columns.key)
        blocks = manifest.blocks(facts)
        own = teacher_blocks(blocks, teacher, folder)
        starts = {n: [facts["arrays"][n]["starts"][number] for number in own] for n in names}
        return cls(
            facts,
            {n: torch.from_numpy(a) for n, a in arrays.items()},
            torch.from_numpy(place),
            Encoding.of(columns.spec, fingerprint["encoding"]["dtype"], fingerprint["encoding"]["top_k"]),
            [replace(blocks[number], teacher=None) for number in own],
            starts,
            {n: torch.tensor(begin) for n, begin in starts.items()},
        )

    def on(self, device: torch.device, budget: int) -> Knowledge:
        """The same store with as many of its taps copied to a device as ``budget`` bytes hold, the smallest first.
        Batches are gathered where a tap is."""
        taps = dict(self.taps)
        for name in sorted(taps, key=lambda name: taps[name].nbytes):
            budget -= taps[name].nbytes
            if budget < 0:
                break
            taps[name] = taps[name].to(device)
        if VALUES in taps and taps[VALUES].device != taps[INDEX].device:  # they are decoded together
            taps[INDEX] = self.taps[INDEX]
        return replace(self, taps=taps)

    def widths(self) -> dict[str, int]:
        """Width of every feature tap, for projectors."""
        widths = {name: tap.shape[1] for name, tap in self.taps.items() if name not in (VALUES, INDEX)}
        return widths if LOGITS in widths else {LOGITS: sum(count for count, _ in self.encoding.kept), **widths}

    def require(self, rows: np.ndarray, needs: Iterable[str]) -> None:
        """Raise SuffuseError where the store lacks some of these rows or taps."""
        for need in needs:
            name, _, subset = need.partition(AT)
            if name not in self.manifest["taps"]:
                stored_taps = ", ".join(self.manifest["taps"])
                raise SuffuseError("the knowledge store lacks a tap", got=stored_taps, expected=name)
            if subset:
                self.block(tuple(subset.split("+")), None)
        missing = int((self.place[torch.from_numpy(rows)] < 0).sum())
        if missing:
            raise SuffuseError(
                "the knowledge store lacks rows",
                got=f"{len(rows) - missing:,} of {len(rows):,}",
                hint="`suffuse extract` again",
            )

    def block(self, subset: tuple[str, ...] | None, view: int | None) -> int:
        """Number of a block; the full subset's without one. Raises SuffuseError where the store lacks it."""
        block = Block(self.blocks[0].subset if subset is None else subset, view)
        if block not in self.blocks:
            raise SuffuseError(
                "the knowledge store lacks a subset or view",
                got="; ".join(b.name for b in self.blocks),
                expected=block.name,
                hint="extract.subsets and extract.views say what is stored",
            )
        return self.blocks.index(block)

    def gather(self, rows: Tensor, needs: Iterable[str], block: int = 0) -> dict[str, Tensor]:
        """Data rows (B,) -> tap -> (B, ...) of a block, for the taps that the losses read.

        Where the teacher abstained the logits are NaN.
        """
        place = self.place.index_select(0, rows)
        return {name: self._of(name, place, block) for name in needs}

    def gather_per_row(self, rows: Tensor, needs: Iterable[str], blocks: Tensor) -> dict[str, Tensor]:
        """As :meth:`gather`, with a block for each row (B,)."""
        place = self.place.index_select(0, rows)
        return {name: self._of(name, place, blocks) for name in needs}

    def _of(self, need: str, place: Tensor, block: int | Tensor) -> Tensor:
        name, _, subset = need.partition(AT)
        if subset:
            view = self.blocks[block if isinstance(block, int) else int(block[0])].view
            block = self.block(tuple(subset.split("+")), view)
        if name == LOGITS and not self.encoding.dense:
            return self.encoding.decode({n: self._picked(n, place, block) for n in (VALUES, INDEX)})
        return self._picked(name, place, block)

    def _picked(self, name: str, place: Tensor, block: int | Tensor) -> Tensor:
        tap = self.taps[name]
        return tap.index_select(0, to_device(self._rows(name, place, block), tap.device))

    def _rows(self, name: str, place: Tensor, block: int | Tensor) -> Tensor:
        if isinstance(block, int):
            start = self.starts[name][block]
            return place + start if start else place
        return self.offsets[name].index_select(0, block).add_(place)


def teacher_blocks(blocks: Sequence[Block], teacher: int | None, folder: Path) -> list[int]:
    """Numbers of the blocks that the teacher of this seed answered; None: the first teacher. Raises SuffuseError where
    the store has none of it."""
    wanted = blocks[0].teacher if teacher is None else teacher
    own = [number for number, block in enumerate(blocks) if block.teacher == wanted]
    if not own:
        seeds = dict.fromkeys(str(block.teacher) for block in blocks)
        raise SuffuseError(
            "the knowledge store lacks the teacher of this seed", where=folder, got=", ".join(seeds), expected=wanted,
            hint="`suffuse extract` again",
        )  # fmt: skip
    return own


@dataclass(frozen=True)
class Reader:
    """Reads the store for a training. M_t modalities of the teacher, M_s of the student, S subsets.

    A student sees view ``n mod V`` in pass n, with the draws of the store's own seed
    (:attr:`suffuse.data.training_views.Viewer.stored`). Which modalities it loses is drawn again in every pass: by
    default a row that lost one still learns the teacher's outputs on all that the row has; ``distill.teacher_input:
    masked`` asks for the outputs without what was lost, where the store has that subset, else for the full one.
    """

    knowledge: Knowledge
    needs: tuple[str, ...]
    views: int
    masked: bool
    teacher_present: Tensor  # (N,) int64, bit m: the row has the teacher's modality m
    bits: Tensor  # (M_s,) int64, the teacher's bit of each of the student's modalities; 0 where it doesn't read it
    subset_bits: Tensor  # (S, 1) int64, the bits of each stored subset, the full one first
    units: tuple[Sequence[Head], Sequence[Head]] | None = None  # how numbers are standardised: stored, and wanted

    @classmethod
    def of(
        cls, knowledge: Knowledge, columns: Columns, student: tuple[Sequence[str], Sequence[str]], masked: bool
    ) -> Reader:
        """For a student of these modalities, whose losses need these taps; ``columns`` have all modalities."""
        names, needs = student
        fingerprint = knowledge.manifest["fingerprint"]
        bit = {name: 1 << m for m, name in enumerate(fingerprint["modalities"])}
        teacher_present = np.zeros(len(columns.key), dtype=np.int64)
        for m, name in enumerate(columns.spec.names):
            teacher_present |= columns.present[:, m] * np.int64(bit.get(name, 0))
        subsets = [sum(bit[n] for n in b.subset) for b in knowledge.blocks if b.view is None]
        return cls(
            knowledge,
            tuple(needs),
            fingerprint["views"]["count"],
            masked and len(subsets) > 1,
            torch.from_numpy(teacher_present),
            torch.tensor([bit.get(name, 0) for name in names]),
            torch.tensor(subsets)[:, None],
        )

    def gather(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        """The teacher's arrays for a batch of pass ``turn``; numbers in the student's units."""
        arrays = self._stored(batch, turn)
        if self.units and "logits" in arrays:
            arrays = {**arrays, "logits": in_units(arrays["logits"], *self.units)}
        return arrays

    def _stored(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        view = turn % self.views + 1 if self.views else 0  # of a subset the first block is: rows as prepared
        if not self.masked or batch.complete:
            return self.knowledge.gather(batch.rows, self.needs, view)
        return self.knowledge.gather_per_row(batch.rows, self.needs, self.subset(batch) * (self.views + 1) + view)

    def subset(self, batch: Batch) -> Tensor:
        """(B,) number of the stored subset of what a row's student sees and what only the teacher reads; 0, the full
        one, where no stored subset matches or nothing is left."""
        had = self.teacher_present.index_select(0, batch.rows)
        lost = had & ((~batch.present).long() * self.bits).sum(1)
        left = had & ~lost
        fits = (had & self.subset_bits) == left  # (S, B)
        return torch.where(fits.any(0) & (left != 0), fits.int().argmax(0), 0)
