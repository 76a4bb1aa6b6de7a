"""Making a store: the work that one or several processes do together, and what each must know of it.

Everything follows from the data, the recipe and the older store that is copied from, so processes agree on it without
a word: the one that leads writes down which older store that is and what the teacher's hash was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data import Columns
from ..errors import SuffuseError
from ..files import read_json, write_json
from ..run import Run
from . import parts
from .blocks import Block, blocks
from .claims import Claims
from .encoding import LOGITS, Encoding, cost
from .fingerprint import fingerprint
from .parts import Part, Pieces, cut, order
from .reuse import Older, contents, drawn, newest

Ask = Callable[[np.ndarray, Block], dict[str, np.ndarray]]  # rows, how they are seen -> taps, float32
LEADER, PLAN, WAIT = "leader", "plan.json", 0.2


@dataclass(frozen=True)
class Making:
    """All that is to be done. K rows of a block as prepared."""

    run: Run
    columns: Columns
    made: dict  # the fingerprint
    blocks: list[Block]
    counts: list[int]  # rows of each block
    rows: np.ndarray  # (K,) data rows in the order of the store
    shared: dict[str, np.ndarray]  # per-row arrays (K,)
    older: Older | None
    parts: list[Part]
    encoding: Encoding

    @property
    def place(self) -> Path:
        """The folder of the parts."""
        return work_folder(self.run)

    @property
    def answers(self) -> int:
        """Rows that the teacher is asked about, over all blocks."""
        return sum(len(p.slots) for p in self.parts if p.old is None)

    @property
    def reused(self) -> int:
        """Rows that are copied."""
        return sum(len(p.slots) for p in self.parts if p.old is not None)


def work_folder(run: Run) -> Path:
    """Where the parts of a run's store stand."""
    return run.partial("extract") / ".parts"


def plan(run: Run) -> dict | None:
    """What the leader wrote down for this work; None where it didn't yet."""
    return read_json(work_folder(run) / PLAN)


def begin(run: Run, columns: Columns, teacher: tuple[str, Sequence[str], Pieces]) -> Making:
    """The leader's look at the work: what a killed attempt wrote down, or a new plan. ``teacher``: its hash, its
    modalities, how it cuts rows into pieces."""
    weights, names, _ = teacher
    known = plan(run)
    if known is None or known["teacher"] != weights:
        shutil.rmtree(work_folder(run), ignore_errors=True)
        made = fingerprint(run, columns.spec, names, weights)
        older = newest(run.path("previous"), made)
        known = {"teacher": weights, "older": str(older.relative_to(run.folder)) if older else None}
    found = planned(run, columns, teacher, known)
    write_json(work_folder(run) / PLAN, known)
    return found


def planned(run: Run, columns: Columns, teacher: tuple[str, Sequence[str], Pieces], known: dict) -> Making:
    """The work as the plan has it. Raises SuffuseError where this process has another teacher."""
    weights, names, pieces = teacher
    if known["teacher"] != weights:
        raise SuffuseError(
            "this process has another teacher than the one that leads", where=run.folder, got=weights[:12],
            expected=known["teacher"][:12],
        )  # fmt: skip
    made = fingerprint(run, columns.spec, names, weights)
    train = columns.rows("train")
    rows = order(train, columns.rows("validation"), pieces)
    listed = blocks(run.recipe.extract, names)
    counts = [len(rows) if block.view is None else len(train) for block in listed]
    shared = {"key": columns.key[rows], "content": contents(columns, rows, names)}
    if run.recipe.extract.views:
        shared["drawn"] = drawn(columns, rows, list(made["views"]["augment"]))
    older = Older.open(run.path(known["older"])) if known["older"] else None
    nowhere = np.full(len(rows), -1, dtype=np.int64)
    old = [
        older.places(b, {n: a[:c] for n, a in shared.items()}, made) if older else nowhere[:c]
        for b, c in zip(listed, counts, strict=True)
    ]
    settings = run.recipe.extract
    return Making(
        run, columns, made, listed, counts, rows, shared, older, cut(rows, counts, old, pieces),
        Encoding.of(columns.spec, settings.dtype, settings.top_k),
    )  # fmt: skip


def answered(making: Making, ask: Ask, part: Part) -> dict[str, np.ndarray]:
    """One part's arrays, asked or copied. ``error`` holds, per row, the divergence that storing costs."""
    block = making.blocks[part.block]
    if part.old is not None:
        assert making.older is not None, "rows are copied from an older store"
        return making.older.copy(block, part)
    return {**stored(making, ask(making.rows[part.slots], block), block), "slot": part.slots}


def stored(making: Making, answers: dict[str, np.ndarray], block: Block) -> dict[str, np.ndarray]:
    """Taps (B, ...) float32 as they are stored, and what that costs."""
    names, full = making.made["modalities"], block.subset == making.blocks[0].subset
    logits = making.encoding.encode(answers[LOGITS])
    taps = {n: making.encoding.rounded(a) for n, a in answers.items() if n != LOGITS and (full or n not in names)}
    kept = making.encoding.decode({n: torch.from_numpy(a) for n, a in logits.items()}).float()
    error, same = cost(making.columns.spec, torch.from_numpy(answers[LOGITS]), kept)
    return {**logits, **taps, "error": error.numpy(), "same": same.numpy()}


def work(making: Making, ask: Ask, claims: Claims) -> Iterator[Part]:
    """Do the parts that nobody has done and nobody is doing, one after another; yields each part that is there, in any
    order, and ends when all are. Parts of others are waited for, and done where those others have died."""
    left = list(making.parts)
    while left:
        before = len(left)
        for part in list(left):
            file = part.file(making.place)
            if not file.exists():
                if not claims.claim(part.name):
                    continue
                if not file.exists():  # done by its owner just before it let go
                    parts.write_part(file, answered(making, ask, part))
                claims.release(part.name)
            left.remove(part)
            yield part
        if len(left) == before:
            time.sleep(WAIT)
