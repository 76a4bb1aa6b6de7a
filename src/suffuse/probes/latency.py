"""Latency of exports in ONNX Runtime: one row at a time, one thread, all models in turn in one run.

A turn is a block of rows: each model runs as it does where it is deployed, alone, and not with the other's weights in
the processor's caches; what drifts over the run meets all of them alike.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ..data import Columns
from ..predictor import Predictor

WARM, BLOCK = 5, 25  # rows of a turn: some that are not timed, then those that are
LEAST, TIMED = 50, 1000  # timed rows of each model; of slow ones fewer are timed than of quick ones
SECONDS = 15.0


def latency(folders: dict[str, Path], columns: Columns, rows: np.ndarray) -> dict[str, dict]:
    """Prepared tensors of one row -> logits: name -> p50, p95 in milliseconds, threads, runtime."""
    models = {name: Predictor.load(folder, threads=1) for name, folder in folders.items()}
    some = rows[:: max(1, len(rows) // 100)][:100]
    seen = {name: columns.of([i.field.name for i in model.inputs]) for name, model in models.items()}
    feeds = {name: [_feed(seen[name], row) for row in some] for name in models}
    taken: dict[str, list[float]] = {name: [] for name in models}
    started, number = time.perf_counter(), 0
    while number < TIMED and (number < LEAST or time.perf_counter() - started < SECONDS):
        for name, model in models.items():
            times = [_once(model, *feeds[name][(number + n) % len(some)]) for n in range(-WARM, BLOCK)]
            taken[name].extend(times[WARM:])
        number += BLOCK
    return {
        name: {
            "p50": float(np.quantile(t, 0.5)),
            "p95": float(np.quantile(t, 0.95)),
            "threads": 1,
            "rows": 1,
            "runtime": "onnxruntime",
        }
        for name, t in taken.items()
    }


def _once(model: Predictor, entries: dict[str, np.ndarray], present: np.ndarray) -> float:
    """Milliseconds of one row."""
    start = time.perf_counter()
    model.logits(entries, present)
    return 1000 * (time.perf_counter() - start)


def _feed(columns: Columns, row: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    entries = {}
    for m, name in enumerate(columns.spec.names):
        one = columns.entries[name][columns.entry[row, m]][None]  # sound and sequences come without padding
        if columns.spec.fields[m].kind == "text":  # as a single question comes: no padding
            one = one[:, : max(1, int((one != 0).sum()))]
        entries[name] = np.ascontiguousarray(one)
    return entries, columns.present[row : row + 1]
