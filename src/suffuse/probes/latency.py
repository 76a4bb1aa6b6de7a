"""Latency of exports in ONNX Runtime: one row at a time, one thread, all models in turn in one run."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ..data import Columns
from ..predictor import Predictor

WARM, LEAST, TIMED = 20, 30, 1000  # rows; of slow models fewer are timed than of quick ones
SECONDS = 15.0


def latency(folders: dict[str, Path], columns: Columns, rows: np.ndarray) -> dict[str, dict]:
    """Prepared tensors of one row -> logits: name -> p50, p95 in milliseconds, threads, runtime."""
    models = {name: Predictor.load(folder, threads=1) for name, folder in folders.items()}
    some = rows[:: max(1, len(rows) // 100)][:100]
    seen = {name: columns.of([i.field.name for i in model.inputs]) for name, model in models.items()}
    feeds = {name: [_feed(seen[name], row) for row in some] for name in models}
    taken: dict[str, list[float]] = {name: [] for name in models}
    started = time.perf_counter()
    for number in range(WARM + TIMED):
        if number >= WARM + LEAST and time.perf_counter() - started > SECONDS:
            break
        for name, model in models.items():
            entries, present = feeds[name][number % len(some)]
            start = time.perf_counter()
            model.logits(entries, present)
            if number >= WARM:
                taken[name].append(1000 * (time.perf_counter() - start))
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


def _feed(columns: Columns, row: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    entries = {}
    for m, name in enumerate(columns.spec.names):
        one = columns.entries[name][columns.entry[row, m]][None]  # sound and sequences come without padding
        if columns.spec.fields[m].kind == "text":  # as a single question comes: no padding
            one = one[:, : max(1, int((one != 0).sum()))]
        entries[name] = np.ascontiguousarray(one)
    return entries, columns.present[row : row + 1]
