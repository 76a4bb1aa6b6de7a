"""Weighted sum with weights that each row decides, as torchmultimodal's attention fusion has them:

    z = sum_m w_m p_m       p_m = P_m x_m + b_m       w = softmax over the present m of V [x_1; ...; x_M; present] + c

An absent modality is left out and the others are renormalised. The gate sees zeros in an absent slot and, beside
them, which are present.
Parameters: D H + M H + (D + M) M + M with D the sum of the widths and H the width.
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
    summary="Weighted sum whose weights depend on the row: a softmax of one linear map of all vectors.",
    example="fusion: {kind: softmax_gate, width: 64}",
    use="modalities whose reliability differs between rows",
    absent="is left out, renormalised; the gate sees which are present",
)


class Settings(PartSettings):
    """Width of the joint vector."""

    kind: Literal["softmax_gate"] = "softmax_gate"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One map per modality, and all scores in one map."""
    from torch import nn

    widths = sizes.vectors
    return nn.ModuleDict(
        {
            "project": nn.ModuleList([nn.Linear(w, settings.width) for w in widths]),
            "gate": nn.Linear(sum(widths) + len(widths), len(widths)),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> vector (B, H); gates (B, M), each modality's weight, summing to 1."""
    import torch

    slots = [e.vector.where(here, 0.0) for e, here in zip(encoded, present.split(1, 1), strict=True)]
    scores = layers["gate"](torch.cat([*slots, present.to(slots[0].dtype)], dim=1))
    weights = masked_softmax(scores, present)
    maps = zip(layers["project"], slots, strict=True)  # pyright: ignore
    projected = torch.stack([linear(slot) for linear, slot in maps], dim=1)
    return Fused((weights.unsqueeze(2) * projected).sum(1), weights)
