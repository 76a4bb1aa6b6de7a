"""Builds a store, in one process or in several that share the work.

The work follows from the data, the recipe and the previous store that rows are copied from, so processes need no
messages to agree on it: the leader writes the name of that store and the hash of the teacher to ``plan.json``.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import read_json, write_json
from ..paths import inside
from ..run import Run
from . import chunks
from .chunks import Block, Part, Pieces, blocks, cut_parts, store_order
from .fingerprint import fingerprint
from .leases import Leases
from .logit_encoding import LOGITS, Encoding, cost
from .row_reuse import PreviousStore, content_hashes, draw_hashes, newest

Ask = Callable[[np.ndarray, Block], dict[str, np.ndarray]]  # rows, how they are seen -> taps, float32
LEADER, PLAN, WAIT = "leader", "plan.json", 0.2
CUT = 2  # how parts are cut: those of a killed attempt that cut otherwise are made again


@dataclass(frozen=True)
class StoreBuild:
    """The plan of a build. K rows of a block as prepared."""

    run: Run
    columns: Columns
    fingerprint: dict[str, Any]
    blocks: list[Block]
    counts: list[int]  # rows of each block
    rows: np.ndarray  # (K,) data rows in the order of the store
    previous: PreviousStore | None
    parts: list[Part]
    encoding: Encoding

    @property
    def place(self) -> Path:
        """The folder of the parts."""
        return work_folder(self.run)

    @property
    def is_over(self) -> bool:
        """Whether another process has finished the store; its parts are deleted then."""
        return self.run.stamp("extract") is not None

    @property
    def queried_count(self) -> int:
        """Number of rows that the teacher answers, over all blocks."""
        return sum(len(p.slots) for p in self.parts if p.previous_rows is None)

    @property
    def copied_count(self) -> int:
        """Number of rows that are copied from the previous store."""
        return sum(len(p.slots) for p in self.parts if p.previous_rows is not None)


def work_folder(run: Run) -> Path:
    """Where the parts of a run's store stand."""
    return run.partial("extract") / ".parts"


def read_plan(run: Run) -> dict[str, Any] | None:
    """The plan that the leader wrote; None before that."""
    return read_json(work_folder(run) / PLAN)


def start_build(
    run: Run, columns: Columns, teacher: tuple[str, Sequence[str], Pieces], taps: Iterable[str]
) -> StoreBuild:
    """The leader's build, by the plan of an interrupted attempt or a new one. ``teacher``: its hash, its modalities,
    how it cuts rows into pieces; ``taps``: names of its arrays."""
    teacher_hash, names, _ = teacher
    saved_plan = read_plan(run)
    if saved_plan is None or saved_plan["teacher"] != teacher_hash or saved_plan.get("cut") != CUT:
        shutil.rmtree(work_folder(run), ignore_errors=True)
        content_fingerprint = fingerprint(run, columns.spec, names, teacher_hash)
        older = newest(run.path("previous"), content_fingerprint, taps)
        saved_plan = {
            "teacher": teacher_hash,
            "older": str(older.relative_to(run.folder)) if older else None,
            "cut": CUT,
        }
    build = build_from_plan(run, columns, teacher, saved_plan)
    write_json(work_folder(run) / PLAN, saved_plan)
    return build


def build_from_plan(
    run: Run, columns: Columns, teacher: tuple[str, Sequence[str], Pieces], saved_plan: dict[str, Any]
) -> StoreBuild:
    """The build that a plan describes. Raises SuffuseError where this process has another teacher."""
    teacher_hash, names, pieces = teacher
    if saved_plan["teacher"] != teacher_hash:
        raise SuffuseError(
            "this process has another teacher than the one that leads", where=run.folder, got=teacher_hash[:12],
            expected=saved_plan["teacher"][:12],
        )  # fmt: skip
    content_fingerprint = fingerprint(run, columns.spec, names, teacher_hash)
    train = columns.rows("train")
    rows = store_order(train, columns.rows("validation"), pieces)
    store_blocks = blocks(run.recipe.extract, names, teacher_seeds(run))
    counts = [len(rows) if block.view is None else len(train) for block in store_blocks]
    previous = previous_store(run, saved_plan)
    shared = per_row(columns, rows, content_fingerprint) if previous else {}
    no_rows = np.full(len(rows), -1, dtype=np.int64)
    previous_rows = [
        previous.places(b, {n: a[:c] for n, a in shared.items()}, content_fingerprint) if previous else no_rows[:c]
        for b, c in zip(store_blocks, counts, strict=True)
    ]
    settings = run.recipe.extract
    return StoreBuild(
        run, columns, content_fingerprint, store_blocks, counts, rows, previous,
        cut_parts(rows, len(train), previous_rows, pieces),
        Encoding.of(columns.spec, settings.dtype, settings.top_k),
    )  # fmt: skip


def teacher_seeds(run: Run) -> tuple[int | None, ...]:
    """Seeds of the teachers that the store holds, the one of ``teacher/`` first; ``(None,)`` of a single one."""
    if run.recipe.num_teachers == 1:
        return (None,)
    first = run.recipe.seed
    facts: dict[str, Any] = read_json(run.path("teacher", "training.json"))
    reference: int = facts["seed"]
    return (reference, *(s for s in range(first, first + run.recipe.num_teachers) if s != reference))


def previous_store(run: Run, saved_plan: dict[str, Any]) -> PreviousStore | None:
    """The store that rows are copied from. Raises SuffuseError where it lies outside of the run."""
    return PreviousStore.open(inside(run.folder, saved_plan["older"])) if saved_plan["older"] else None


def per_row(columns: Columns, rows: np.ndarray, content_fingerprint: dict[str, Any]) -> dict[str, np.ndarray]:
    """Hashes that identify rows, arrays (K,): keys, contents, and the entries that views are drawn by."""
    arrays = {"key": columns.key[rows], "content": content_hashes(columns, rows, content_fingerprint["modalities"])}
    if content_fingerprint["views"]["count"]:
        arrays["drawn"] = draw_hashes(columns, rows, list(content_fingerprint["views"]["augment"]))
    return arrays


def encode_taps(build: StoreBuild, outputs: dict[str, np.ndarray], block: Block) -> dict[str, np.ndarray]:
    """Taps (B, ...) float32 as they are stored, with the error of the encoding."""
    names, full = build.fingerprint["modalities"], block.subset == build.blocks[0].subset
    logits = build.encoding.encode(outputs[LOGITS])
    taps = {
        n: build.encoding.rounded(a)
        for n, a in outputs.items()
        if n != LOGITS and (full or not chunks.of_modality(n, names))
    }
    decoded = build.encoding.decode({n: torch.from_numpy(a) for n, a in logits.items()}).float()
    error, same_argmax = cost(build.columns.spec, torch.from_numpy(outputs[LOGITS]), decoded)
    return {**logits, **taps, "error": error.numpy(), "same": same_argmax.numpy()}


def work(build: StoreBuild, ask: Ask, claims: Leases, pool: Executor) -> Iterator[Part]:
    """Compute the parts that no process has done or is doing; yield each finished part, in any order, until all are
    finished. Parts of other processes are waited for, and computed where those have died. A part is written in the
    pool while the teacher answers the next one."""
    remaining = list(build.parts)
    while remaining:
        before = len(remaining)
        writing: list[tuple[Part, Future[None]]] = []
        for part in list(remaining):
            if not part.file(build.place).exists():
                if build.is_over:
                    return
                if not claims.claim(part.name):
                    continue
                if part.file(build.place).exists():  # done by its owner just before it let go
                    claims.release(part.name)
                elif build.is_over:
                    return
                else:
                    outputs = None if part.previous_rows is not None else _query_teacher(build, ask, part)
                    writing.append((part, pool.submit(_write_part, build, part, outputs)))
                    if len(writing) == 1:
                        continue
                    part = _finish_first(writing, claims)
            remaining.remove(part)
            yield part
        while writing:
            part = _finish_first(writing, claims)
            remaining.remove(part)
            yield part
        if len(remaining) == before:
            time.sleep(WAIT)


def _query_teacher(build: StoreBuild, ask: Ask, part: Part) -> dict[str, np.ndarray]:
    return ask(build.rows[part.slots], build.blocks[part.block])


def _write_part(build: StoreBuild, part: Part, outputs: dict[str, np.ndarray] | None) -> None:
    """Write a part from the teacher's outputs, or copy it."""
    block = build.blocks[part.block]
    if outputs is None:
        assert build.previous is not None, "rows are copied from an older store"
        arrays = build.previous.copy(block, part)
    else:
        arrays = {**encode_taps(build, outputs, block), "slot": part.slots}
    chunks.write_part(part.file(build.place), arrays)


def _finish_first(writing: list[tuple[Part, Future[None]]], claims: Leases) -> Part:
    """Wait for the first part that is being written, and release it."""
    part, future = writing.pop(0)
    future.result()
    claims.release(part.name)
    return part
