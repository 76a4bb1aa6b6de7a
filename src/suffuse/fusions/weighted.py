"""Weighted sum, one weight per modality for all rows (as ELMo mixes layers, Peters et al. 2018):

    z = sum_m w_m p_m       p_m = P_m x_m + b_m       w = softmax over the present m of t_m

t is learned, or the logarithm of weights that are given: equal ones make it the mean. An absent modality is left out
and the others are renormalised.
Parameters: D H + M H with D the sum of the widths and H the width; M more if learned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

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
    summary="Weighted sum of the projected vectors, one weight per modality for all rows.",
    example="fusion: {kind: weighted, weights: [1, 1]}",
    use="a baseline; few rows; fixed equal weights are the mean",
    absent="is left out, the others' weights renormalised",
)
EXAMPLES = ({}, {"weights": (0.2, 0.5, 0.9)})


class Settings(PartSettings):
    """Width of the joint vector, and weights that are not learned."""

    kind: Literal["weighted"] = "weighted"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")
    weights: tuple[Annotated[float, Setting(gt=0, lt=math.inf)], ...] = Setting(
        default=(), description="Fixed weights in the order of the modalities; `[1, 1]` is the mean. Default: learned."
    )


def takes(settings: Settings) -> tuple[int, int]:
    """As many as there are weights, where they are given."""
    count = len(settings.weights)
    return (count, count) if count else TAKES


def gates(settings: Settings) -> bool:
    """Given weights are fixed."""
    return not settings.weights


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One map per modality, and the scores that are learned."""
    import torch
    from torch import nn

    made = nn.ModuleDict({"project": nn.ModuleList([nn.Linear(w, settings.width) for w in sizes.vectors])})
    if not settings.weights:
        made["scores"] = nn.ParameterList([nn.Parameter(torch.zeros(())) for _ in sizes.vectors])
    return made


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> vector (B, H); gates (B, M), each modality's weight, summing to 1."""
    import torch

    maps = zip(layers["project"], encoded, present.split(1, 1), strict=True)  # pyright: ignore
    projected = torch.stack([linear(e.vector.where(here, 0.0)) for linear, e, here in maps], dim=1)
    if settings.weights:
        scores = projected.new_tensor([math.log(w) for w in settings.weights])
    else:
        scores = torch.stack(list(layers["scores"]))  # pyright: ignore
    weights = masked_softmax(scores.expand(present.shape), present)
    return Fused((weights.unsqueeze(2) * projected).sum(1), weights)
