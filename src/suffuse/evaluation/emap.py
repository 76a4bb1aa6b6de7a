"""EMAP: how well a model would do without letting its modalities interact (Hessel and Lee 2020).

The empirical multimodally-additive projection of a model f on n rows replaces its logits by the best sum of functions
of one modality each: for two f(a_i, b_i) -> mean_j f(a_i, b_j) + mean_j f(a_j, b_i) - mean_jk f(a_j, b_k). For M
modalities it is the sum of the M means in which one modality is row i's and the others come together from row j, less
M - 1 times the mean of all. Where the projection scores as the model does, the fusion adds up what its modalities say
and no more.

Features are encoded once; M n^2 fusions are made of them. Rows lack nothing here but what they lack by themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..data.entry_gather import spread
from ..model import FusionModel
from ..types import Encoded
from .context import Context
from .intervals import bounds, difference_bounds, summary
from .model_adapters import Network
from .target_metrics import judged

ROWS, FEW = 128, 48  # rows; where a fusion reads tokens
FUSED = 1024  # rows that are fused at a time


def emap(context: Context, networks: list[Network]) -> dict[str, Any]:
    """The score of the model and of its projection, and the gap, on the same few rows."""
    tokens = any(getattr(network.opened[0].part, "TOKENS", False) for network in networks)
    where = context.few(FEW if tokens else ROWS)
    rows, draws, spec, target = context.rows[where], context.drawn(where), context.spec, context.target[where]
    full, additive = [], []
    for network in networks:
        context.tell(0.0, "interaction of modalities")
        own, projected = projection(*network.opened, rows)
        full.append(judged(spec, activate(spec.heads, own), target, draws))
        additive.append(judged(spec, activate(spec.heads, projected), target, draws))
    metric = main_metric(spec.heads)
    within, gaps = bounds(metric), [f - a for f, a in zip(full, additive, strict=True)]
    return {
        "metric": metric,
        "rows": len(rows),
        "full": summary(full, draws.confidence, within),
        "additive": summary(additive, draws.confidence, within),
        "gap": summary(gaps, draws.confidence, difference_bounds(within)),
    }


@torch.inference_mode()
def projection(model: FusionModel, columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, C) of the model, and of its additive projection, on these rows."""
    batch = columns.batch(rows)
    encoded = model.encode(batch)
    own = model.fuse(encoded, batch.present).logits.double().numpy()
    grids = [crossed(model, encoded, batch.present, 0)]  # [i, j]: one modality of row i, the others of row j
    parts = [grids[0].mean(1)]
    if len(encoded) == 2:
        parts.append(grids[0].mean(0))
    for m in range(1, len(encoded) if len(encoded) > 2 else 1):
        grids.append(crossed(model, encoded, batch.present, m))
        parts.append(grids[-1].mean(1))
    everything = np.mean([grid.mean((0, 1)) for grid in grids], axis=0)
    return own, sum(parts) - (len(encoded) - 1) * everything


def crossed(model: FusionModel, encoded: list[Encoded], present: torch.Tensor, m: int) -> np.ndarray:
    """(n, n, C) logits with modality ``m`` of row i and the others of row j."""
    count = len(present)
    first, second = (t.reshape(-1) for t in torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij"))
    tokens, parts = getattr(model.part, "TOKENS", False), []
    for i, j in zip(first.split(FUSED), second.split(FUSED), strict=True):
        mixed = [spread(e, i if n == m else j, tokens) for n, e in enumerate(encoded)]
        there = present[j].clone()
        there[:, m] = present[i, m]
        parts.append(model.fuse(mixed, there).logits.double())
    return torch.cat(parts).reshape(count, count, -1).numpy()
