"""Unimodal heads: a linear head for each modality beside a network's joint head, and the pool of all of them.

    z_m = W_m x_m + b_m                      the training prior z_0 where modality m is absent
    z = z_0 + sum_k w_k (z_k - z_0)          k: the joint head and each modality's head

In training each head has its own loss (auxiliary losses). Joint training alone can overfit one modality and leave
another one nearly untrained, so that the joint head loses to the best modality (Wang, Tran & Feiszli 2020; Peng et al.
2022). In eval mode the logits are the logarithmic opinion pool of all heads (:mod:`suffuse.opinion_pool`). Its weights
w_k >= 0 belong to a target and to a set of present modalities; they are fitted on validation rows
(:mod:`suffuse.engine.pool_fitting`). Parameters: D C + M C with D the sum of the widths and C the outputs.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates register_buffer in part)

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .opinion_pool import JOINT
from .shapley import listed
from .types import Encoded, Spec

MAX_MODALITIES = 4  # up to so many each set of modalities has weights of its own; beyond, all sets share them


class UnimodalHeads(nn.Module):
    """A linear head for each of M modalities. ``weights`` (S, 1 + M, C): of the joint head and of each modality's, for
    each set of modalities, repeated for the outputs of a target."""

    weights: Tensor
    bits: Tensor  # (M,) int64: a set's number is the sum of its modalities'

    def __init__(self, spec: Spec, widths: Sequence[int], dropout: float):
        super().__init__()
        self.spec, count = spec, len(widths)
        dropped = [nn.Dropout(dropout)] if dropout else []
        self.heads = nn.ModuleList([nn.Sequential(*dropped, nn.Linear(width, spec.outputs)) for width in widths])
        self.shared = count > MAX_MODALITIES
        self.register_buffer("weights", torch.zeros(1 if self.shared else 2**count, 1 + count, spec.outputs))
        bits = [0 if self.shared else 2**m for m in range(count)]
        self.register_buffer("bits", torch.tensor(bits), persistent=False)
        self.reset()

    def reset(self) -> None:
        """Set the weights to those of the joint head alone."""
        self.weights.zero_()
        self.weights[:, 0] = 1.0

    def forward(self, encoded: Sequence[Encoded], present: Tensor, prior: Tensor) -> tuple[Tensor, ...]:
        """M x (B, D_m), present (B, M) bool, prior (C,) -> M x (B, C)."""
        columns = present.split(1, 1)
        return tuple(
            torch.where(here, head(e.vector.where(here, 0.0)), prior)
            for head, e, here in zip(self.heads, encoded, columns, strict=True)
        )

    def pool(self, joint: Tensor, unimodal: Sequence[Tensor], present: Tensor, prior: Tensor) -> Tensor:
        """Logits of the joint head (B, C) and of each modality's -> logits of the pool (B, C)."""
        weights = self.weights.index_select(0, (present * self.bits).sum(1))
        return prior + (weights * (torch.stack([joint, *unimodal], 1) - prior)).sum(1)

    def sets(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number, (M,) bool) of each set of modalities that has weights of its own. Where all sets share their
        weights, the only one is that of all modalities."""
        masks = listed(len(self.heads))
        if self.shared:
            yield 0, masks[-1]
            return
        for mask in masks[1:]:
            yield int(mask @ self.bits.cpu().numpy()), mask

    def facts(self) -> dict[str, dict[str, float]]:
        """Head (the joint one, or a modality's) -> target -> its weight where all modalities are present."""
        number = list(self.sets())[-1][0]
        first = [0, *np.cumsum([head.outputs for head in self.spec.heads])[:-1].tolist()]
        rows = self.weights[number][:, first].tolist()
        names = [head.name for head in self.spec.heads]
        return {
            head: dict(zip(names, row, strict=True)) for head, row in zip([JOINT, *self.spec.names], rows, strict=True)
        }

    @torch.no_grad()
    def set_weights(self, number: int, weights: np.ndarray) -> None:
        """Set the weights (H, 1 + M) of H targets for one set of modalities."""
        repeated = np.repeat(weights, [head.outputs for head in self.spec.heads], axis=0)
        self.weights[number] = torch.from_numpy(repeated.T.astype(np.float32))
