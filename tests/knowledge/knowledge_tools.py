"""A teacher of a few lines that notes what it is asked, and stores made from it in a folder without data."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from suffuse.data.columns import Columns
from suffuse.knowledge import builder as work
from suffuse.knowledge.chunks import Block, Part
from suffuse.knowledge.compaction import Compaction
from suffuse.knowledge.fingerprint import viewer
from suffuse.knowledge.leases import Leases
from suffuse.run import Run
from suffuse.teachers import Question


@dataclass
class Fake:
    """Its answers are sums over what it sees, so that they change with entries, view and subset."""

    columns: Columns
    weights: str = "first"
    size: int = 16
    silent: np.ndarray | None = None  # (N,) bool, rows that it has no answer for
    asked: list[tuple[int, str]] = field(default_factory=list)  # (row, name of the block)
    modalities: tuple[str, ...] = ("picture", "question")

    def fingerprint(self) -> str:
        return hashlib.sha256(self.weights.encode()).hexdigest()

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        order = np.argsort(self.columns.shared()[rows], kind="stable")
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        batch = self.columns.batch(question.rows, None, question.view)
        shown = question.modalities or self.modalities
        found, total = {}, np.zeros((len(question.rows), 1))
        for m, name in enumerate(self.modalities):
            here, sums = batch.present[:, m].numpy(), np.zeros(len(question.rows))
            means = batch.inputs[name].double().flatten(1).mean(1).numpy()
            sums[here] = means[batch.index[name].numpy()[here]]
            found[name] = (sums[:, None] * np.arange(1, 4) / 50).astype(np.float32)
            total = total + (sums[:, None] * (m + 1) if name in shown else 0)
        width = self.columns.spec.outputs
        logits = np.sin(total * np.arange(1, width + 1) / 3) * 4
        if self.silent is not None:
            logits[self.silent[question.rows]] = np.nan
        seen = Block(shown, question.view[1] if question.view else None).name
        self.asked.extend((int(row), seen) for row in question.rows)
        return {"logits": logits.astype(np.float32), "fused": np.tile(logits, 2).astype(np.float32), **found}


@dataclass
class Maker:
    """A run folder with a recipe, and stores in it made by a :class:`Fake`."""

    folder: Path
    recipe: Callable[..., Run]
    columns: Columns

    def run(self, **changes: Any) -> Run:
        return self.recipe(self.folder, **changes)

    def ask(self, run: Run, teacher: Any) -> work.Ask:
        seen = viewer(run.recipe)

        def ask(rows: np.ndarray, block: Block) -> dict[str, np.ndarray]:
            view = None if block.view is None or seen is None else (seen, block.view)
            subset = None if block.subset == tuple(teacher.modalities) else block.subset
            return teacher.answer(Question(rows, subset, view))

        return ask

    def begin(self, run: Run, teacher: Any, columns: Columns | None = None) -> work.StoreBuild:
        known = (teacher.fingerprint(), teacher.modalities, teacher.pieces)
        columns = self.columns if columns is None else columns
        taps = teacher.answer(Question(columns.rows("train")[:1]))
        if isinstance(teacher, Fake):
            del teacher.asked[-1]
        return work.start_build(run, columns, known, taps)

    def store(self, teacher: Any, columns: Columns | None = None, **changes: Any) -> Path:
        """All of it: parts, then the store in the run's ``knowledge/``."""
        run = self.run(**changes)
        making = self.begin(run, teacher, columns)
        with ThreadPoolExecutor(1) as pool, Leases(run.partial("extract") / ".claims").heartbeat() as claims:
            done = list(work.work(making, self.ask(run, teacher), claims, pool))
        self.compact(making, done)
        return run.path("knowledge")

    def compact(self, making: work.StoreBuild, done: list[Part]) -> None:
        compaction = Compaction(making, self.run().path("knowledge"))
        for part in reversed(done):  # in any order
            compaction.add(part)
        compaction.share(work.per_row(making.columns, making.rows, making.fingerprint))
        compaction.finish()

    def aside(self) -> None:
        """As the pipeline does when an edit makes the store stale."""
        run = self.run()
        run.put_aside(run.path("knowledge"), "knowledge")
        shutil.rmtree(run.partial("extract"))
