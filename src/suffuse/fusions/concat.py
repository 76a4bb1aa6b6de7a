"""Concatenation: [h_1; ...; h_M; present] -> ReLU(W . + b).

An absent slot holds its learned vector e_m; the mask is appended, so absence can be seen.
Parameters: (D + M) H + H + D with D the sum of the modalities' widths and H the width.
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

DOCS = FusionDocs(
    summary="Concatenation: [h_1; ...; h_M; present] -> ReLU(W . + b).",
    example="fusion: {kind: concat, width: 48}",
    use="strong encoders, many rows",
    absent="is a learned vector; which are present is an input",
)


class Settings(PartSettings):
    """Width of the joint vector."""

    kind: Literal["concat"] = "concat"
    width: int = Setting(default=128, ge=1, description="Width of the joint vector.")
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the concatenated vectors.")


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """The learned absent vectors and one linear map."""
    import torch
    from torch import nn

    widths = sizes.vectors
    absent = nn.ParameterList([nn.Parameter(torch.zeros(w)) for w in widths])
    return nn.ModuleDict({"absent": absent, "join": nn.Linear(sum(widths) + len(widths), settings.width)})


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m), present (B, M) bool -> (B, H)."""
    import torch
    from torch.nn import functional as F

    slots = [
        torch.where(present[:, m : m + 1], e.vector, absent)
        for m, (e, absent) in enumerate(zip(encoded, layers["absent"], strict=True))  # pyright: ignore
    ]
    joined = torch.cat([*slots, present.to(slots[0].dtype)], dim=1)
    joined = F.dropout(joined, settings.dropout, layers.training) if settings.dropout else joined
    return Fused(layers["join"](joined).relu())
