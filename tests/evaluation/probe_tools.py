"""A context in memory: toy models that are plain functions of numbers, of which everything is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from suffuse.data.columns import Columns
from suffuse.evaluation.context import Context, Member, Model
from suffuse.evaluation.metrics import draw
from suffuse.evaluation.scorecard import seed_metrics
from suffuse.recipe import Recipe, make_recipe
from suffuse.types import Field, Head, Spec

NAMES = ("a", "b", "c")
Answer = Callable[[np.ndarray, np.ndarray], np.ndarray]  # values (N, M), present (N, M) -> logits (N, C)


@dataclass(frozen=True)
class Toy:
    """A member whose answers are a function of one number per modality."""

    columns: Columns
    names: tuple[str, ...]
    answer: Answer
    limitation: str = ""

    def logits(self, rows: np.ndarray) -> np.ndarray:
        return self._said(self.columns, rows, True)

    def masked_logits(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        return np.stack([self._said(self.columns, rows, keeps) for keeps in kept])

    def logits_on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray | None:
        return self._said(columns, rows, True)

    def _said(self, columns: Columns, rows: np.ndarray, keeps: Any) -> np.ndarray:
        own = columns.of(self.names)
        values = [own.entries[n][own.entry[rows, m], 0] for m, n in enumerate(own.spec.names)]
        present = own.present[rows] & keeps
        said = self.answer(np.stack(values, 1) * present, present)
        return np.where(present.any(1, keepdims=True), said, np.array(own.spec.log_prior)).astype(np.float32)


def toy_columns(rows: int, target: np.ndarray, values: np.ndarray, head: Head, present: np.ndarray | None = None):
    """One number per modality and row; all rows are test rows."""
    statistics = {
        "numbers": 1,
        "categories": [],
        "columns": [{"name": "x", "type": "number", "mean": [0.0], "std": [1.0], "low": [-9.0], "high": [9.0]}],
    }
    fields = tuple(Field(name, "tabular", statistics) for name in NAMES[: values.shape[1]])
    prior = np.log(np.full(head.outputs, 1 / head.outputs)) if head.kind == "classes" else np.zeros(head.outputs)
    entries = {f.name: np.stack([values[:, m], 0 * values[:, m]], 1).astype(np.float32) for m, f in enumerate(fields)}
    return Columns(
        Spec(fields, (head,), tuple(prior.tolist())),
        entries,
        np.repeat(np.arange(rows)[:, None], len(fields), axis=1),
        np.ones((rows, len(fields)), dtype=bool) if present is None else present,
        target,
        split=np.full(rows, 2, dtype=np.int8),
        group=np.arange(rows),
        key=np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(977),
    )


def toy_recipe(columns: Columns, **evaluate: Any) -> Recipe:
    """Any recipe with these modalities."""
    names = columns.spec.names
    encoders = {name: {"kind": "mlp"} for name in names}
    return make_recipe(
        {
            "data": {"source": "rows.csv", "target": "y"},
            "modalities": {name: {"kind": "tabular", "column": name} for name in names},
            "teacher": {"encoders": encoders},
            "student": {"encoders": encoders},
            "evaluate": evaluate,
        }
    )


def toy_context(columns: Columns, models: dict[str, list[tuple[tuple[str, ...], Answer]]], **evaluate: Any) -> Context:
    """``models``: who -> for every seed the modalities that it reads, and its function."""
    rows, found = np.arange(len(columns.target)), {}
    for who, seeds in models.items():
        members: dict[str, Member] = {f"seed-{n}": Toy(columns, *one) for n, one in enumerate(seeds, 1)}
        found[who] = Model(who, {s: m.logits(rows) for s, m in members.items()}, members, "seed-1")
    draws = draw(columns.group, 100, 0.95)
    context = Context(toy_recipe(columns, **evaluate), columns, rows, draws, found)
    context.metrics.update({who: seed_metrics(context, model) for who, model in found.items()})
    return context
