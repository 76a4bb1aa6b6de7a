"""Low-rank multimodal fusion (LMF, Liu et al. 2018): all products of the modalities' features, in R terms.

    z = sum_r w_r (F_1r [x_1; 1]) * ... * (F_Mr [x_M; 1]) + b

The factor of an absent modality is 1, so the products of the others are left. The constants in F start at 1: at first
a factor is 1 and a little, and the product the sum of the modalities with small interactions.
Parameters: R (D + M) H + R + H with D the sum of the widths, H the width and R the rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 8)  # a product of more explodes or vanishes

DOCS = FusionDocs(
    summary="Low-rank multimodal fusion (Liu et al. 2018): all products of the modalities' features, in R terms.",
    example="fusion: {kind: low_rank, rank: 8}",
    use="multiplicative interactions",
    absent="its factor is 1: products of the others stay",
)
EXAMPLES = ({"rank": 3},)


class Settings(PartSettings):
    """Width of the joint vector and rank."""

    kind: Literal["low_rank"] = "low_rank"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")
    rank: int = Setting(default=4, ge=1, description="Number of terms.")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One map per modality to all its factors, what weighs the ranks, and b."""
    import torch
    from torch import nn

    factors = nn.ModuleList([nn.Linear(w, settings.rank * settings.width) for w in sizes.vectors])
    ranks, bias = torch.full((settings.rank,), settings.rank**-0.5), torch.empty(settings.width)
    nn.init.constant_(bias, -(settings.rank**0.5))  # takes out the ones, so that z starts around 0
    for factor in factors:
        nn.init.ones_(factor.bias)  # pyright: ignore
    alone = {name: nn.ParameterList([nn.Parameter(x)]) for name, x in (("ranks", ranks), ("bias", bias))}
    return nn.ModuleDict({"factors": factors, **alone})


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> (B, H)."""
    maps = zip(layers["factors"], encoded, present.split(1, 1), strict=True)  # pyright: ignore
    first, *others = [linear(e.vector.where(here, 0.0)).where(here, 1.0) for linear, e, here in maps]
    for other in others:
        first = first * other
    products = first.unflatten(1, (settings.rank, settings.width))
    ranks, bias = layers["ranks"][0], layers["bias"][0]  # pyright: ignore
    return Fused((products * ranks.unsqueeze(1)).sum(1) + bias)
