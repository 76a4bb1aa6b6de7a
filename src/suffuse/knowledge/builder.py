"""Making a store: the work that one or several processes do together, and what each must know of it.

Everything follows from the data, the recipe and the older store that is copied from, so processes agree on it without
a word: the one that leads writes down which older store that is and what the teacher's hash was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import read_json, write_json
from ..paths import inside
from ..run import Run
from . import chunks
from .chunks import Block, Part, Pieces, blocks, cut, order
from .fingerprint import fingerprint
from .leases import Claims
from .logit_encoding import LOGITS, Encoding, cost
from .row_reuse import Older, contents, drawn, newest

Ask = Callable[[np.ndarray, Block], dict[str, np.ndarray]]  # rows, how they are seen -> taps, float32
LEADER, PLAN, WAIT = "leader", "plan.json", 0.2
CUT = 2  # how parts are cut: those of a killed attempt that cut otherwise are made again


@dataclass(frozen=True)
class Making:
    """All that is to be done. K rows of a block as prepared."""

    run: Run
    columns: Columns
    made: dict  # the fingerprint
    blocks: list[Block]
    counts: list[int]  # rows of each block
    rows: np.ndarray  # (K,) data rows in the order of the store
    older: Older | None
    parts: list[Part]
    encoding: Encoding

    @property
    def place(self) -> Path:
        """The folder of the parts."""
        return work_folder(self.run)

    @property
    def over(self) -> bool:
        """Whether another process has finished it all: parts are taken away after that."""
        return self.run.stamp("extract") is not None

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


def begin(run: Run, columns: Columns, teacher: tuple[str, Sequence[str], Pieces], taps: Iterable[str]) -> Making:
    """The leader's look at the work: what a killed attempt wrote down, or a new plan. ``teacher``: its hash, its
    modalities, how it cuts rows into pieces; ``taps``: what it tells of a row."""
    weights, names, _ = teacher
    known = plan(run)
    if known is None or known["teacher"] != weights or known.get("cut") != CUT:
        shutil.rmtree(work_folder(run), ignore_errors=True)
        made = fingerprint(run, columns.spec, names, weights)
        older = newest(run.path("previous"), made, taps)
        known = {"teacher": weights, "older": str(older.relative_to(run.folder)) if older else None, "cut": CUT}
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
    older = older_of(run, known)
    shared = per_row(columns, rows, made) if older else {}
    nowhere = np.full(len(rows), -1, dtype=np.int64)
    old = [
        older.places(b, {n: a[:c] for n, a in shared.items()}, made) if older else nowhere[:c]
        for b, c in zip(listed, counts, strict=True)
    ]
    settings = run.recipe.extract
    return Making(
        run, columns, made, listed, counts, rows, older, cut(rows, len(train), old, pieces),
        Encoding.of(columns.spec, settings.dtype, settings.top_k),
    )  # fmt: skip


def older_of(run: Run, known: dict) -> Older | None:
    """The store that the plan copies rows from. Raises SuffuseError where that lies outside of the run."""
    return Older.open(inside(run.folder, known["older"])) if known["older"] else None


def per_row(columns: Columns, rows: np.ndarray, made: dict) -> dict[str, np.ndarray]:
    """What tells rows apart, arrays (K,): keys, what the teacher sees of them, and what its views are drawn by."""
    found = {"key": columns.key[rows], "content": contents(columns, rows, made["modalities"])}
    if made["views"]["count"]:
        found["drawn"] = drawn(columns, rows, list(made["views"]["augment"]))
    return found


def stored(making: Making, answers: dict[str, np.ndarray], block: Block) -> dict[str, np.ndarray]:
    """Taps (B, ...) float32 as they are stored, and what that costs."""
    names, full = making.made["modalities"], block.subset == making.blocks[0].subset
    logits = making.encoding.encode(answers[LOGITS])
    taps = {
        n: making.encoding.rounded(a)
        for n, a in answers.items()
        if n != LOGITS and (full or not chunks.of_modality(n, names))
    }
    kept = making.encoding.decode({n: torch.from_numpy(a) for n, a in logits.items()}).float()
    error, same = cost(making.columns.spec, torch.from_numpy(answers[LOGITS]), kept)
    return {**logits, **taps, "error": error.numpy(), "same": same.numpy()}


def work(making: Making, ask: Ask, claims: Claims, pool: Executor) -> Iterator[Part]:
    """Do the parts that nobody has done and nobody is doing, one after another; yields each part that is there, in any
    order, and ends when all are. Parts of others are waited for, and done where those others have died. A part is
    written in the pool while the next one is answered."""
    left = list(making.parts)
    while left:
        before, writing = len(left), []
        for part in list(left):
            if not part.file(making.place).exists():
                if making.over:
                    return
                if not claims.claim(part.name):
                    continue
                if part.file(making.place).exists():  # done by its owner just before it let go
                    claims.release(part.name)
                elif making.over:
                    return
                else:
                    answers = None if part.old is not None else _asked(making, ask, part)
                    writing.append((part, pool.submit(_write, making, part, answers)))
                    if len(writing) == 1:
                        continue
                    part = _written(writing, claims)
            left.remove(part)
            yield part
        while writing:
            part = _written(writing, claims)
            left.remove(part)
            yield part
        if len(left) == before:
            time.sleep(WAIT)


def _asked(making: Making, ask: Ask, part: Part) -> dict[str, np.ndarray]:
    return ask(making.rows[part.slots], making.blocks[part.block])


def _write(making: Making, part: Part, answers: dict[str, np.ndarray] | None) -> None:
    """One part's file: of the teacher's answers, or copied."""
    block = making.blocks[part.block]
    if answers is None:
        assert making.older is not None, "rows are copied from an older store"
        arrays = making.older.copy(block, part)
    else:
        arrays = {**stored(making, answers, block), "slot": part.slots}
    chunks.write_part(part.file(making.place), arrays)


def _written(writing: list[tuple[Part, Future]], claims: Claims) -> Part:
    """The first of those that are being written, once it is there."""
    part, done = writing.pop(0)
    done.result()
    claims.release(part.name)
    return part
