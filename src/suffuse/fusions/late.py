"""Late fusion: every modality has a head of its own, and their logits are averaged.

    logits = sum_m w_m f_m(x_m)       w = softmax over the present m of s_m

``mean``: s_m = 0. ``learned``: s_m is one number per modality. ``confidence``: s_m = c_m . x_m + d_m, learned with the
rest, so that each row says how far its modalities can be trusted (as in Han et al. 2022, without their extra loss). An
absent modality is left out and the others are renormalised. The tap ``fused`` is the logits.
Parameters: D C + M C with D the sum of the widths and C the outputs; M more if learned; D + M more if confidence;
D U + M U + M C U - D C more if hidden, a layer of U.
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
HEADLESS = True

DOCS = FusionDocs(
    summary=(
        "Late fusion: each modality has its own head, and the logits are averaged. `hidden` and `dropout` of the "
        "network are refused beside it, and the tap `fused` is the logits."
    ),
    example="fusion: {kind: late, weights: confidence}",
    use="modalities that can each predict alone; robust, modular",
    absent="is left out, renormalised",
)
EXAMPLES = ({}, {"weights": "learned"}, {"weights": "confidence"}, {"weights": "confidence", "hidden": 5})


class Settings(PartSettings):
    """How the modalities' logits are weighed, and their heads."""

    kind: Literal["late"] = "late"
    weights: Literal["mean", "learned", "confidence"] = Setting(
        default="mean",
        description=(
            "`mean`: equal weights. `learned`: one weight per modality. `confidence`: weights per row, from a linear "
            "map of each vector."
        ),
    )
    hidden: int = Setting(default=0, ge=0, description="Width of a hidden layer in each head; 0: none.")


def gates(settings: Settings) -> bool:
    """A mean's are fixed."""
    return settings.weights != "mean"


def width(settings: Settings, sizes: Sizes) -> int:
    """C."""
    return sizes.outputs


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """A head per modality, and what weighs them."""
    import torch
    from torch import nn

    def head(before: int) -> nn.Module:
        if not settings.hidden:
            return nn.Linear(before, sizes.outputs)
        last = nn.Linear(settings.hidden, sizes.outputs)
        return nn.Sequential(nn.Linear(before, settings.hidden), nn.ReLU(), last)

    made = nn.ModuleDict({"heads": nn.ModuleList([head(w) for w in sizes.vectors])})
    if settings.weights == "learned":
        made["scores"] = nn.ParameterList([nn.Parameter(torch.zeros(())) for _ in sizes.vectors])
    elif settings.weights == "confidence":
        made["scores"] = nn.ModuleList([nn.Linear(w, 1) for w in sizes.vectors])
    return made


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> vector and logits (B, C); gates (B, M), each modality's weight."""
    import torch

    slots = [e.vector.where(here, 0.0) for e, here in zip(encoded, present.split(1, 1), strict=True)]
    said = torch.stack([head(x) for head, x in zip(layers["heads"], slots, strict=True)], dim=1)  # pyright: ignore
    if settings.weights == "confidence":
        found = zip(layers["scores"], slots, strict=True)  # pyright: ignore
        scores = torch.cat([score(x) for score, x in found], dim=1)
    elif settings.weights == "learned":
        scores = torch.stack(list(layers["scores"]))  # pyright: ignore
    else:
        scores = said.new_zeros(())
    weights = masked_softmax(scores.expand(present.shape), present)
    logits = (weights.unsqueeze(2) * said).sum(1)
    return Fused(logits, weights, logits)
