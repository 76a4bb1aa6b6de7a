"""What every seed of a finished run's networks answers on rows: for benchmarks that compare recipes over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from suffuse import Run
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache
from suffuse.engine.inference import logits
from suffuse.model import open_model


def seed_folders(run: Run, who: str) -> list[Path]:
    """Where the networks of ``student`` or ``baseline`` are, in the order of the seeds."""
    return sorted(run.path(who).glob("seed-*"), key=lambda folder: int(folder.name.removeprefix("seed-")))


def seed_logits(
    run: Run,
    columns: Columns,
    rows: np.ndarray,
    who: str = "student",
    folders: Callable[[Run, str], list[Path]] = seed_folders,
) -> Iterator[np.ndarray]:
    """(N, C) of each seed of ``student`` or ``baseline``, in the order of ``folders``."""
    for folder in folders(run, who):
        model = open_model(folder)
        yield logits(model, feature_cache.ready(columns, model, feature_cache.place(run)).of(model.spec.names), rows)
