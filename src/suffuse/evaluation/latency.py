"""Latency of exports in ONNX Runtime: batches of 1, 8 and 64 rows, one thread, all models in turn.

A turn is a block of calls, so each model runs as in deployment, without another model's weights in the processor's
caches, and slow drifts of the machine affect all models alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.columns import Columns
from ..predictor import Predictor
from ..subsample import evenly_spaced
from . import ProbeDocs
from .context import Context
from .models import load_export

FIELDS = ("latency", "latency_ms")
DOCS = ProbeDocs(models="exports, including the teacher's", cost="some seconds")
THREADS = 1
WARM_UP = 5  # calls of a turn that are not timed
MAX_BATCH_MS = 1000.0  # batches that are expected to take longer are not timed
ROWS = 100  # different rows
Feed = tuple[dict[str, np.ndarray], np.ndarray]  # entries (B, ...) of each modality, and present (B, M)


@dataclass(frozen=True)
class Plan:
    """How often one batch size is timed."""

    rows: int
    block: int  # timed calls of a turn
    min_calls: int  # of each model
    max_calls: int
    seconds: float  # after which slow models get no more than min_calls


PLANS = (Plan(1, 25, 50, 1000, 15.0), Plan(8, 10, 20, 200, 4.0), Plan(64, 5, 10, 100, 4.0))


@dataclass
class TimedModel:
    """One exported model, its feeds and the milliseconds of its calls, both by batch size."""

    model: Predictor
    feeds: dict[int, list[Feed]]
    times: dict[int, list[float]] = field(default_factory=dict)


def probe(context: Context) -> dict[str, dict]:
    """``latency_ms`` (one row at a time) and ``latency`` of every exported main model."""
    rows = context.rows[evenly_spaced(len(context.rows), ROWS)]
    timed = {}
    for model in context.main_models():
        if model.folder is not None:
            predictor = load_export(model.folder, THREADS, model.form)
            columns = context.columns.of([i.field.name for i in predictor.inputs])
            timed[model.name] = TimedModel(predictor, {p.rows: batches(columns, rows, p.rows) for p in PLANS})
    for number, plan in enumerate(PLANS):
        context.tell(number / len(PLANS), f"latency of {plan.rows}")
        fast = [t for t in timed.values() if plan.rows == 1 or plan.rows * np.median(t.times[1]) < MAX_BATCH_MS]
        time_in_turns(fast, plan)
    return {name: latency_facts(model.times) for name, model in timed.items()}


def time_in_turns(models: list[TimedModel], plan: Plan) -> None:
    """Time all models, one block of calls after the other."""
    for model in models:
        model.times[plan.rows] = []
    start, calls = time.perf_counter(), 0
    while models and calls < plan.max_calls and (calls < plan.min_calls or time.perf_counter() - start < plan.seconds):
        for model in models:
            feeds = model.feeds[plan.rows]
            times = [_time_call(model.model, feeds[(calls + n) % len(feeds)]) for n in range(-WARM_UP, plan.block)]
            model.times[plan.rows].extend(times[WARM_UP:])
        calls += plan.block


def latency_facts(times: dict[int, list[float]]) -> dict[str, Any]:
    """Batch size -> milliseconds of calls, as fields of a scorecard with quantiles."""
    by_size = {
        str(rows): {
            **_quantiles(calls),
            "calls": len(calls),
            "rows_per_second": 1000 * rows / float(np.mean(calls)),
        }
        for rows, calls in times.items()
    }
    facts = {"threads": THREADS, "runtime": "onnxruntime"}
    return {
        "latency_ms": {**_quantiles(times[1]), "rows": 1, **facts},
        "latency": {**facts, "warm_up": WARM_UP, "batches": by_size},
    }


def batches(columns: Columns, rows: np.ndarray, size: int) -> list[Feed]:
    """Feeds of ``size`` rows each; a single row has no padding."""
    if size == 1:
        return [single_row(columns, int(row)) for row in rows]
    starts = range(0, len(rows), size)
    return [padded_batch(columns, np.resize(rows[start : start + size], size)) for start in starts]


def single_row(columns: Columns, row: int) -> Feed:
    """One row as a deployed model gets it: entries (1, ...) of each modality, texts without padding, and present
    (1, M)."""
    return padded_batch(columns, np.array([row]))


def padded_batch(columns: Columns, rows: np.ndarray) -> Feed:
    """Entries (B, ...) of each modality, texts padded to the longest among them, and present (B, M)."""
    entries = {}
    for m, name in enumerate(columns.spec.names):
        batch = columns.entries[name][columns.entry[rows, m]]
        if columns.spec.fields[m].kind == "text":
            batch = batch[:, : max(1, int((batch != 0).sum(1).max()))]
        entries[name] = np.ascontiguousarray(batch)
    return entries, columns.present[rows]


def _quantiles(times: list[float]) -> dict[str, float]:
    return {f"p{100 * q:g}": float(np.quantile(times, q)) for q in (0.5, 0.95, 0.99)}


def _time_call(model: Predictor, feed: Feed) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    model.logits(*feed)
    return 1000 * (time.perf_counter() - start)
