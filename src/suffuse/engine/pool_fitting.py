"""Fits the weights of a network's joint and unimodal heads (:mod:`suffuse.unimodal_heads`) on validation rows."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy in part)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.columns import Columns
from ..data.device_transfer import to_array
from ..model import FusionModel
from ..opinion_pool import pool_weights
from ..subsample import evenly_spaced
from .inference import batch_for, chunks

MAX_ROWS = 5_000  # validation rows that weights are fitted on, evenly spaced


@torch.inference_mode()
def fit_pool(model: FusionModel, columns: Columns, rows: np.ndarray, *, all_sets: bool) -> np.ndarray:
    """Fit the weights of the model's heads on labelled validation rows (N,). Returns the pool's logits (N, C) float32.

    The weights of a set of modalities are fitted on the rows that have all of them, with the other modalities hidden.
    Without ``all_sets`` only the sets that rows have are fitted. Where no row has a set, its weights are equal.
    """
    heads = model.unimodal
    assert heads is not None
    heads.reset()
    present = columns.present[rows]
    numbers: np.ndarray = present @ heads.bits.cpu().numpy()
    sets = [(n, mask) for n, mask in heads.sets() if all_sets or heads.shared or (numbers == n).any()]
    joint, unimodal = head_logits(model, columns, rows, np.stack([mask for _, mask in sets]))
    prior, device = model.log_prior.float().cpu(), model.log_prior.device
    own = prior.expand(len(rows), -1).clone()  # the joint head's logits on what each row has
    for (number, mask), logits in zip(sets, joint, strict=True):
        complete = np.ones(len(rows), bool) if heads.shared else present[:, mask].all(1)
        chosen = np.flatnonzero(complete)
        chosen = chosen[evenly_spaced(len(chosen), MAX_ROWS)]
        members = [logits[chosen]]
        members += [
            z[chosen] if kept else prior.expand(len(chosen), -1) for z, kept in zip(unimodal, mask, strict=True)
        ]
        targets = columns.target[rows[chosen]]
        heads.set_weights(number, pool_weights(columns.spec, [z.numpy() for z in members], targets))
        same = torch.from_numpy(numbers == number)
        own[same] = logits[same]
    own, prior, shown = (x.to(device) for x in (own, prior, torch.from_numpy(present)))
    return to_array(heads.pool(own, list(unimodal.to(device)), shown, prior))


@torch.inference_mode()
def head_logits(model: FusionModel, columns: Columns, rows: np.ndarray, kept: np.ndarray) -> tuple[Tensor, Tensor]:
    """Logits of the joint head (K, N, C) where only the modalities ``kept`` (K, M) bool are shown, and of each
    modality's head (M, N, C). The weights must be those of the joint head alone."""
    was_training, columns = model.training, columns.of(model.spec.names)
    outputs = columns.spec.outputs
    joint = torch.empty(len(kept), len(rows), outputs)
    unimodal = torch.empty(len(columns.spec.names), len(rows), outputs)
    model.eval()
    for piece in chunks(columns, rows):
        batch = batch_for(model, columns, rows[piece])
        encoded = model.encode(batch)
        for number, mask in enumerate(kept):
            shown = model.fuse(encoded, batch.present & torch.from_numpy(mask).to(batch.present.device))
            joint[number, piece] = shown.logits.float()
        for m, logits in enumerate(model.fuse(encoded, batch.present).unimodal_logits):
            unimodal[m, piece] = logits.float()
    model.train(was_training)
    return joint, unimodal
