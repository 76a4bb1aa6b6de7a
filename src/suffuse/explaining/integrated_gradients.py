"""Integrated gradients (Sundararajan, Taly & Yan 2017), by Captum: how much of the evidence each number of an input is.

    a_i = (x_i - x'_i) int_0^1 dF(x' + t (x - x')) / dx_i dt        sum_i a_i = F(x) - F(x')

x' is the entry with everything taken out. The sum is exact for the integral; over a finite number of steps a gap stays,
which is told.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..types import Head
from .log_odds import evidence
from .perturbation import OfNetwork
from .segments import Parts

STEPS = 128
TOGETHER = 32  # of them at a time
KINDS = ("image", "audio", "sequence")  # whose entries are numbers: a token or a category has no gradient


def can(asked: object, name: str) -> bool:
    """Whether gradients reach a modality's entry: a network of torch, whose encoder of it isn't frozen."""
    if not isinstance(asked, OfNetwork):
        return False
    encoder = asked.model.encoder(name)
    return encoder.kind in KINDS and not encoder.frozen


def integrated(
    asked: OfNetwork, name: str, parts: Parts, of: tuple[Head, slice, int]
) -> tuple[np.ndarray, float, float]:
    """(K,) evidence of each part, what they should sum to, and the gap."""
    from captum.attr import IntegratedGradients  # pyright: ignore

    head, place, answer = of
    entry, gone = (torch.from_numpy(x).float().unsqueeze(0) for x in (asked.entries[name], parts.gone))
    present = asked.batch.present

    def value(x: Tensor) -> Tensor:
        # an encoder subtracts in place
        batch = asked.batch_of(present.expand(len(x), -1).clone(), {name: x.clone()})
        return evidence(head, asked.model(batch).logits[:, place], answer)

    def only(x: Tensor) -> Tensor:
        return x.detach().clone()

    found = IntegratedGradients(value).attribute(
        only(entry), only(gone), n_steps=STEPS, internal_batch_size=TOGETHER, method="gausslegendre"
    )
    asked.model.zero_grad(set_to_none=True)
    with torch.no_grad():
        wanted = float(value(entry) - value(gone))
    each = parts.sums(found[0].detach().double().numpy())
    return each, wanted, float(each.sum() - wanted)
