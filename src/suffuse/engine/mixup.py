"""Mixup (Zhang et al. 2018) of joint vectors (manifold mixup, Verma et al. 2019), for any modalities.

    h = l h_i + (1 - l) h_j        l ~ Beta(alpha, alpha), one for a batch; j a permutation of its rows

A loss on logits is then l L(z, i) + (1 - l) L(z, j). For cross-entropy and every divergence that is linear in the
teacher's probabilities, that is the loss against the mixture of labels, and of the teacher's *probabilities* (not of
its logits, whose mixture is another distribution). Stored outputs of a row stay valid, since no input is changed.
Losses on features see the rows unmixed. A row without any modality, and its partner, stay unmixed.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..data.device_transfer import to_device
from ..model import FusionModel
from ..types import Output, Split
from .distributed_forward import head_logits
from .process_group import current


class Mixed(NamedTuple):
    """Logits of mixed rows."""

    logits: Tensor  # (B, C)
    partner: Tensor  # (B,) int64, j of each row; a row that stays unmixed is its own
    share: float  # l


def mix_batch(model: FusionModel, output: Output, present: Tensor, alpha: float, split: Split | None = None) -> Mixed:
    """An Output of these rows, present (B, M) bool -> the head's logits of the mixtures of their joint vectors.

    Draws from torch's random state, which a checkpoint holds; of several processes that share the batch (``split``) the
    first one draws.
    """
    assert output.fused is not None, "a network always has its joint vector"
    rows = torch.arange(len(present), device=present.device)
    share = float(torch.distributions.Beta(alpha, alpha).sample()) if len(rows) > 1 else 1.0
    partner = torch.randperm(len(rows))
    if split is not None:
        share, order = current().broadcast([share, partner.tolist()])
        partner = torch.tensor(order)
    partner = to_device(partner, present.device)
    any_present = present.any(1)
    partner = torch.where(any_present & any_present[partner], partner, rows)
    vector = share * output.fused + (1 - share) * output.fused.index_select(0, partner)
    return Mixed(head_logits(model, vector, any_present, split), partner, share)
