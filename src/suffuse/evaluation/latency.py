"""Latency of exports in ONNX Runtime: 1, 8 and 64 rows at a time, one thread, all models in turn in one run.

A turn is a block of calls: each model runs as it does where it is deployed, alone, and not with the other's weights in
the processor's caches; what drifts over the run meets all of them alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.columns import Columns
from ..predictor import Predictor
from ..subsample import evenly_spaced
from .context import Context
from .model_adapters import load
from .single_row_feeds import feed

THREADS = 1
WARM = 5  # calls of a turn that are not timed
SLOW = 1000.0  # milliseconds: batches that would take longer are not timed
SOME = 100  # different rows
Feed = tuple[dict[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Plan:
    """How often one size of batch is timed."""

    rows: int
    block: int  # timed calls of a turn
    least: int  # timed calls of each model
    most: int  # of slow models fewer are timed than of quick ones
    seconds: float


PLANS = (Plan(1, 25, 50, 1000, 15.0), Plan(8, 10, 20, 200, 4.0), Plan(64, 5, 10, 100, 4.0))


@dataclass
class Timed:
    """One exported model, what it is fed with, and milliseconds of calls by size of batch."""

    model: Predictor
    feeds: dict[int, list[Feed]]
    taken: dict[int, list[float]] = field(default_factory=dict)


def probe(context: Context) -> dict[str, dict]:
    """``latency_ms`` (one row at a time) and ``latency`` of every exported main model."""
    rows = context.rows[evenly_spaced(len(context.rows), SOME)]
    timed = {}
    for model in context.main():
        if model.folder is not None:
            loaded = load(model.folder, THREADS, model.form)
            seen = context.columns.of([i.field.name for i in loaded.inputs])
            timed[model.who] = Timed(loaded, {plan.rows: batches(seen, rows, plan.rows) for plan in PLANS})
    for number, plan in enumerate(PLANS):
        context.tell(number / len(PLANS), f"latency of {plan.rows}")
        measure([one for one in timed.values() if plan.rows == 1 or plan.rows * np.median(one.taken[1]) < SLOW], plan)
    return {who: told(one.taken) for who, one in timed.items()}


def measure(models: list[Timed], plan: Plan) -> None:
    """Time all models in turns."""
    for one in models:
        one.taken[plan.rows] = []
    started, number = time.perf_counter(), 0
    while models and number < plan.most and (number < plan.least or time.perf_counter() - started < plan.seconds):
        for one in models:
            given = one.feeds[plan.rows]
            times = [_once(one.model, given[(number + n) % len(given)]) for n in range(-WARM, plan.block)]
            one.taken[plan.rows].extend(times[WARM:])
        number += plan.block


def told(taken: dict[int, list[float]]) -> dict[str, Any]:
    """Quantiles of each size of batch."""
    batches = {
        str(rows): {
            **_quantiles(times),
            "calls": len(times),
            "rows_per_second": 1000 * rows / float(np.mean(times)),
        }
        for rows, times in taken.items()
    }
    facts = {"threads": THREADS, "runtime": "onnxruntime"}
    return {
        "latency_ms": {**_quantiles(taken[1]), "rows": 1, **facts},
        "latency": {**facts, "warm_up": WARM, "batches": batches},
    }


def batches(columns: Columns, rows: np.ndarray, size: int) -> list[Feed]:
    """Feeds of so many rows each: single ones as they come, without padding; several as they stand together."""
    if size == 1:
        return [feed(columns, int(row)) for row in rows]
    starts = range(0, len(rows), size)
    return [together(columns, np.resize(rows[start : start + size], size)) for start in starts]


def together(columns: Columns, rows: np.ndarray) -> Feed:
    """Entries (B, ...) of each modality, as long as the longest among them, and present (B, M)."""
    entries = {}
    for m, name in enumerate(columns.spec.names):
        some = columns.entries[name][columns.entry[rows, m]]
        if columns.spec.fields[m].kind == "text":
            some = some[:, : max(1, int((some != 0).sum(1).max()))]
        entries[name] = np.ascontiguousarray(some)
    return entries, columns.present[rows]


def _quantiles(times: list[float]) -> dict[str, float]:
    return {f"p{100 * q:g}": float(np.quantile(times, q)) for q in (0.5, 0.95, 0.99)}


def _once(model: Predictor, given: Feed) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    model.logits(*given)
    return 1000 * (time.perf_counter() - start)
