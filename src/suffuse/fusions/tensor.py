"""Tensor fusion (TFN, Zadeh et al. 2017): all products of the modalities' features, after a narrow map each.

    z = W ([1; p_1] x ... x [1; p_M]) + b        p_m = P_m x_m + b_m

x is the outer product. An absent modality is [1; 0], so the products without it are left. Its size grows as
(P + 1)^M, so a large one is refused.
Parameters: D P + M P + (P + 1)^M H + H with D the sum of the widths, P the narrow width and H the width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 64)
MAX_PARAMETERS = 4_000_000  # parameters of W

DOCS = FusionDocs(
    summary=(
        "Tensor fusion (Zadeh et al. 2017): all products of the modalities' features, after a narrow projection each. "
        "More than 4 million weights, (P + 1)^M H, are refused."
    ),
    example="fusion: {kind: tensor, factor: 8}",
    use="the same, with two or three narrow vectors",
    absent="it is [1; 0]: products without it stay",
)
EXAMPLES = ({"factor": 2},)


class Settings(PartSettings):
    """Width of the joint vector and of each modality's factor."""

    kind: Literal["tensor"] = "tensor"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")
    factor: int = Setting(default=16, ge=1, description="Width of each modality's projection in the product.")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """One narrow map per modality, and W. Raises ValueError where W would be too large."""
    from torch import nn

    cells = (settings.factor + 1) ** len(sizes.vectors)
    if cells * settings.width > MAX_PARAMETERS:
        raise ValueError(
            f"got {cells * settings.width:,} weights for {len(sizes.vectors)} modalities, "
            f"expected {MAX_PARAMETERS:,} at most: lower fusion.factor, or use low_rank"
        )
    factors = nn.ModuleList([nn.Linear(w, settings.factor) for w in sizes.vectors])
    return nn.ModuleDict({"factors": factors, "join": nn.Linear(cells, settings.width)})


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> (B, H)."""
    from torch.nn import functional as F

    maps = zip(layers["factors"], encoded, present.split(1, 1), strict=True)  # pyright: ignore
    first, *others = [
        F.pad(linear(e.vector.where(here, 0.0)).where(here, 0.0), (1, 0), value=1.0) for linear, e, here in maps
    ]
    for other in others:
        first = (first.unsqueeze(2) * other.unsqueeze(1)).flatten(1)
    return Fused(layers["join"](first))
