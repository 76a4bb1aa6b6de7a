"""Runs a model over many rows without gradients, for validation, extraction and evaluation; scores its logits."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..data.device_transfer import move_batch, to_array, to_device
from ..losses.ctc import ctc
from ..model import FusionModel
from ..shapley import listed
from ..transcripts.error_rates import word_errors
from ..transcripts.frame_predictions import references, texts
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Batch, Head, Output, Spec
from .runtime import explained

CHUNK = 4096
Result = TypeVar("Result")


def chunks(columns: Columns, rows: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Positions in ``rows``, in pieces of at most ``size`` rows (fewer where their entries are large) that keep rows of
    one picture together.

    The pieces depend on the rows only, so a row is always computed in the same batch and its bits are reproducible.
    """
    order, size = np.argsort(columns.shared()[rows], kind="stable"), columns.fitting(size)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def batch_for(model: FusionModel, columns: Columns, rows: np.ndarray) -> Batch:
    """The rows, as they are stored, on the model's device."""
    return move_batch(columns.batch(rows), model.log_prior.device)


@torch.inference_mode()
def outputs(model: FusionModel, columns: Columns, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Output]]:
    """(positions in ``rows``, Output of those rows on the model's device), piece by piece, in eval mode."""
    was_training, columns = model.training, columns.of(model.spec.names)
    model.eval()
    with explained(model.log_prior.device):
        for piece in chunks(columns, rows):
            yield from in_halves(piece, lambda part: model(batch_for(model, columns, rows[part])))
    model.train(was_training)


def in_halves(piece: np.ndarray, compute: Callable[[np.ndarray], Result]) -> Iterator[tuple[np.ndarray, Result]]:
    """(piece, what is computed of it); of its halves where a device's memory is too small for the whole.

    Raises torch.OutOfMemoryError where it is too small for one row.
    """
    try:
        result = compute(piece)
    except torch.OutOfMemoryError:
        if len(piece) == 1:
            raise
    else:
        yield piece, result
        return
    for half in np.array_split(piece, 2):  # outside of the handler, which keeps what was computed alive
        yield from in_halves(half, compute)


def logits(model: FusionModel, columns: Columns, rows: np.ndarray) -> np.ndarray:
    """(N, C) float32 in the order of ``rows``."""
    all_logits = np.empty((len(rows), columns.spec.outputs), dtype=np.float32)
    for piece, output in outputs(model, columns, rows):
        all_logits[piece] = to_array(output.logits)
    return all_logits


@torch.inference_mode()
def subset_logits(
    model: FusionModel, columns: Columns, rows: np.ndarray, kept: np.ndarray, size: int = CHUNK
) -> np.ndarray:
    """kept (K, N, M) or (K, 1, M) bool -> logits (K, N, C) float32 on the kept modalities that each row has, in eval
    mode. Rows are encoded once, and fused K times."""
    was_training, columns = model.training, columns.of(model.spec.names)
    kept = np.broadcast_to(kept, (len(kept), len(rows), len(columns.spec.names)))
    all_logits = np.empty((*kept.shape[:2], columns.spec.outputs), dtype=np.float32)
    model.eval()

    def fuse(piece: np.ndarray) -> None:
        batch = batch_for(model, columns, rows[piece])
        encoded = model.encode(batch)
        for number, mask in enumerate(kept):
            present = batch.present & to_device(torch.from_numpy(mask[piece]), batch.present.device)
            all_logits[number, piece] = to_array(model.fuse(encoded, present).logits)

    with explained(model.log_prior.device):
        for piece in chunks(columns, rows, size):
            for _ in in_halves(piece, fuse):
                pass
    model.train(was_training)
    return all_logits


def subsets_of(columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subsets of the modalities (K, 1, M), the full one last, and the rows that each is scored on (K, N): those that
    have some of it. Subsets that no row has are left out."""
    kept = listed(len(columns.spec.names))[1:, None]
    has_any: np.ndarray = np.any(columns.present[rows] & kept, axis=2)
    return kept[has_any.any(1)], has_any[has_any.any(1)]


def score(spec: Spec, logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Logits (N, C) and targets -> the main metric and the loss, means over the targets. Rows whose logits are NaN (a
    teacher that abstains) are left out."""
    pairs = zip(spec.parts(torch.from_numpy(logits)), spec.targets(torch.from_numpy(target)), strict=True)
    scores: list[tuple[float, float]] = []
    for (head, part), (_, t) in pairs:
        judged = head.known(t) & ~part.isnan().any(1)
        own = part[judged], t[judged]
        scores.append(_transcripts(head, *own) if head.kind == TOKENS else SCORES[head.kind](*own))
    values, losses = zip(*scores, strict=True)
    return {main_metric(spec.heads): sum(values) / len(values), "log_loss": sum(losses) / len(losses)}


def _classes(z: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    known = target < z.shape[1]  # a label that training never saw is an error, and has no log loss
    accuracy = (z.argmax(1) == target).double().mean()
    loss = torch.nn.functional.cross_entropy(z[known], target[known]) if known.any() else torch.tensor(0.0)
    return accuracy.item(), loss.item()


def _labels(z: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    predicted, true = z > 0, target > 0
    positives = (predicted.sum() + true.sum()).item()
    micro_f1 = 2 * (predicted & true).sum().item() / positives if positives else 1.0
    return micro_f1, torch.nn.functional.binary_cross_entropy_with_logits(z, target).item()


def _number(z: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    mse, variance = (z[:, 0] - target).square().mean().item(), target.var(correction=0).item()
    return (1 - mse / variance if variance else 0.0), mse


def _transcripts(head: Head, z: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    predictions, true = activate([head], z.numpy()), target.numpy()
    errors = word_errors(references(head, true), texts(head, predictions))
    loss = ctc(z.reshape(len(z), head.frames, head.frame_outputs), target).item() if len(z) else 0.0
    return 1 - errors.rate if errors.reference.any() else 0.0, loss


SCORES = {CLASSES: _classes, LABELS: _labels, NUMBER: _number}  # of heads whose logits say it all
