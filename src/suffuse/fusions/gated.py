"""Gated multimodal units (Arevalo et al. 2017), for any number of modalities:

    h_m = tanh(W_m x_m)         g_m = sigmoid(V_m [x_1; ...; x_M; present])
    z   = sum_m w_m * h_m       w_m = a_m g_m / sum_k a_k g_k

a_m is 1 where m is present: an absent modality gets no weight and the others are renormalised, as a softmax
over log g_m, which stays exact where all gates are nearly shut. The gate sees zeros in an absent slot, never
what stands in it; with the mask beside them a learned vector could say nothing more to a linear map.
Parameters: D H + M H + M ((D + M) H + H) with D the sum of the widths and H the width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs
from .attention import masked_softmax

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 64)
GATES = True

DOCS = FusionDocs(
    summary=(
        "Gated multimodal units (Arevalo et al. 2017) for any number of modalities: a gate per feature and modality."
    ),
    example="fusion: {kind: gated, width: 64}",
    use="text with images; reliability differs between features",
    absent="is left out, renormalised; the gates see which are present",
)


class Settings(PartSettings):
    """Width of the joint vector."""

    kind: Literal["gated"] = "gated"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One map per modality, and all gates in one map."""
    from torch import nn

    widths = sizes.vectors
    count, total = len(widths), sum(widths)
    return nn.ModuleDict(
        {
            "hidden": nn.ModuleList([nn.Linear(w, settings.width) for w in widths]),
            "gate": nn.Linear(total + count, count * settings.width),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> vector (B, H); gates (B, M), each modality's share, summing to 1."""
    import torch
    from torch.nn import functional as F

    slots = [e.vector.where(present[:, m : m + 1], 0.0) for m, e in enumerate(encoded)]
    mask = present.to(slots[0].dtype)
    gates = layers["gate"](torch.cat([*slots, mask], dim=1)).unflatten(1, (len(slots), settings.width))
    # log sigmoid(v) as -softplus(-v): the exporter turns logsigmoid into log(sigmoid), which is -inf early
    scores = (-F.softplus(-gates)).transpose(1, 2)  # (B, H, M)
    weights = masked_softmax(scores, present.unsqueeze(1)).transpose(1, 2)
    maps = zip(layers["hidden"], slots, strict=True)  # pyright: ignore
    hidden = torch.stack([linear(slot).tanh() for linear, slot in maps], dim=1)
    return Fused((weights * hidden).sum(1), weights.mean(2))
