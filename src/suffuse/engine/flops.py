"""Counts the cost of a training: floating-point operations of matrix products and convolutions, forward and backward.

Counted by torch's dispatcher (``torch.utils.flop_counter``) on some batches of the training's own rows, so the number
is the same on every machine. Recurrent layers are counted without their fused kernels, which hide their operations.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import losses
from ..data.columns import Columns
from ..data.sampler import Sampler
from ..model import FusionModel
from ..recipe import Training
from ..registry import settings
from ..subsample import evenly_spaced
from .objective import Objective

BATCHES = 3  # that are counted
ENTRIES = 16  # of a frozen encoder


def of_pass(model: FusionModel, columns: Columns, training: Training, rows: np.ndarray) -> float:
    """Operations of one pass over ``rows`` on labels only: the mean batch of some, times the steps. Leaves gradients
    and statistics in the model, which should be a new one."""
    objective = Objective(model, {"labels": settings(losses.TABLE, {"kind": "task"})}, {})
    sampler = Sampler(rows, columns.shared()[rows], training.batch, 0)
    order = sampler.order(0)
    flops_per_row: list[float] = []
    for start in range(0, len(order), training.batch)[:BATCHES]:
        batch = columns.batch(order[start : start + training.batch])
        with count_flops() as count:
            loss, _ = objective.train()(batch, {})
            loss.backward()
        flops_per_row.append(count.get_total_flops() / len(batch.rows))
    return float(np.mean(flops_per_row)) * len(rows)


def of_inference(model: FusionModel, columns: Columns, rows: np.ndarray) -> float:
    """Operations of one forward pass over ``rows``."""
    sample = rows[: min(len(rows), 512)]
    with torch.no_grad(), count_flops() as count:
        model.eval()(columns.batch(sample))
    return count.get_total_flops() / len(sample) * len(rows)


def of_frozen(model: FusionModel, columns: Columns) -> float:
    """Operations of a network's frozen encoders, which encode every entry of their column once; ``columns`` hold the
    prepared entries."""
    total = 0.0
    for name in model.spec.names:
        encoder = model.encoder(name)
        if encoder.frozen:
            place, count = columns.spec.names.index(name), len(columns.entries[name])
            rows = np.flatnonzero(columns.present[:, place])
            rows = rows[evenly_spaced(len(rows), ENTRIES)]
            entries = columns.of([name]).batch(rows).inputs[name]
            with torch.no_grad(), count_flops() as counter:
                encoder.eval().vectors(entries)
            total += counter.get_total_flops() / len(entries) * count
    return total


@contextmanager
def count_flops() -> Generator[FlopCounterMode]:
    """Counts the operations inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a switch that isn't asked for
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as count:
            yield count
