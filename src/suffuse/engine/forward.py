"""A model over many rows, without gradients: for validation, extraction and evaluation alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..data import Columns
from ..model import FusionModel
from ..types import Output

CHUNK = 4096


def chunks(columns: Columns, rows: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Positions in ``rows``, in pieces in which rows that share a picture stand together.

    The pieces depend on the rows alone, so a row is always computed in the same company and gets the same bits.
    """
    order = np.argsort(columns.shared()[rows], kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.inference_mode()
def outputs(model: FusionModel, columns: Columns, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Output]]:
    """(positions in ``rows``, Output of those rows), piece by piece, in eval mode."""
    was_training = model.training
    model.eval()
    for piece in chunks(columns, rows):
        yield piece, model(columns.batch(rows[piece]))
    model.train(was_training)


def logits(model: FusionModel, columns: Columns, rows: np.ndarray) -> np.ndarray:
    """(N, C) float32 in the order of ``rows``."""
    found = np.empty((len(rows), columns.spec.outputs), dtype=np.float32)
    for piece, output in outputs(model, columns, rows):
        found[piece] = output.logits.float().numpy()
    return found


def scorer(columns: Columns, rows: np.ndarray) -> Callable[[FusionModel], dict[str, float]]:
    """Accuracy and log loss on labelled rows, as the validation of :func:`suffuse.engine.loop.fit`."""
    target = torch.from_numpy(columns.target[rows])

    def score(model: FusionModel) -> dict[str, float]:
        z = torch.from_numpy(logits(model, columns, rows))
        known = target < z.shape[1]  # a label that training never saw is an error, and has no log loss
        right = (z.argmax(1) == target).double().mean()
        loss = torch.nn.functional.cross_entropy(z[known], target[known]) if known.any() else torch.tensor(0.0)
        return {"accuracy": right.item(), "log_loss": loss.item()}

    return score
