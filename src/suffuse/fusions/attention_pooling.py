"""Attention pooling (Ilse et al. 2018): a score for each modality from its own vector alone, by maps that all share.

    z = sum_m w_m p_m       w = softmax over the present m of v . tanh(U p_m + u)       p_m = P_m x_m + b_m

``gated`` multiplies tanh(U p_m + u) by sigmoid(G p_m + g). An absent modality is left out and the others are
renormalised. v has no bias: the softmax would take it out.
Parameters: D H + M H + H S + 2 S with D the sum of the widths, H the width and S the score's;
H S + S more if gated.
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
QUERIES = ("score",)

DOCS = FusionDocs(
    summary="Attention pooling (Ilse et al. 2018): a score per modality from its own vector, with shared maps.",
    example="fusion: {kind: attention_pooling, score: 32, gated: true}",
    use="many modalities, or few parameters for a gate per row",
    absent="is left out, renormalised",
)
EXAMPLES = ({"score": 3}, {"score": 3, "gated": True})


class Settings(PartSettings):
    """Width of the joint vector and of the hidden layer that scores a modality."""

    kind: Literal["attention_pooling"] = "attention_pooling"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")
    score: int = Setting(default=64, ge=1, description="Width of the layer that scores a modality.")
    gated: bool = Setting(default=False, description="Multiply a second, sigmoid factor (the paper's gated attention).")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One map per modality, and what scores all of them."""
    from torch import nn

    made = {
        "project": nn.ModuleList([nn.Linear(w, settings.width) for w in sizes.vectors]),
        "hidden": nn.Linear(settings.width, settings.score),
        "score": nn.Linear(settings.score, 1, bias=False),
    }
    return nn.ModuleDict(made | ({"gate": nn.Linear(settings.width, settings.score)} if settings.gated else {}))


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> vector (B, H); gates (B, M), each modality's weight, summing to 1."""
    import torch

    maps = zip(layers["project"], encoded, present.split(1, 1), strict=True)  # pyright: ignore
    projected = torch.stack([linear(e.vector.where(here, 0.0)) for linear, e, here in maps], dim=1)
    hidden = layers["hidden"](projected).tanh()
    if settings.gated:
        hidden = hidden * layers["gate"](projected).sigmoid()
    weights = masked_softmax(layers["score"](hidden).squeeze(2), present)
    return Fused((weights.unsqueeze(2) * projected).sum(1), weights)
