"""Attention bottlenecks (MBT, Nagrani et al. 2021): modalities meet in a few tokens only.

    [p_m; b_m] = block_lm([p_m; b]) for each m, then b = mean of b_m over the present m        z = LayerNorm(mean of b)

p_m are the modality's tokens, mapped to the width; one without tokens is one token, its mapped vector. B tokens b are
learned; each modality has blocks of its own. So the cost is the sum of the modalities' squared lengths, not the square
of their sum. An absent modality is left out of the mean, a masked token out of every attention.
Parameters: W H + M H + B H + 2 H + M L (12 H^2 + 12 H) with W the sum of the widths of what is read
(tokens, or a vector that is one), H the width, L the layers and B the bottlenecks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import model_validator

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs
from .attention import block, tokens_of, transform

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (1, 64)
TOKENS = True

DOCS = FusionDocs(
    summary=(
        "Attention bottlenecks (MBT, Nagrani et al. 2021): each modality has its own layers and exchanges information "
        "through a few tokens only."
    ),
    example="fusion: {kind: bottleneck, bottlenecks: 2}",
    use="long sequences: cost is the sum of squares, not the square of the sum",
    absent="is left out of the mean over modalities",
)
EXAMPLES = ({"layers": 2, "heads": 2, "bottlenecks": 3},)


class Settings(PartSettings):
    """Width, layers, heads, and tokens in which the modalities meet."""

    kind: Literal["bottleneck"] = "bottleneck"
    width: int = Setting(default=128, ge=1, description="Width of the tokens; a multiple of `heads`.")
    layers: int = Setting(
        default=2, ge=1, description="Layers per modality. With one layer the exchange is a mean, so use two or more."
    )
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
    bottlenecks: int = Setting(default=4, ge=1, description="Number of bottleneck tokens.")
    dropout: float = Setting(
        default=0.0, ge=0, lt=1, description="Dropout after every attention and feed-forward layer."
    )

    @model_validator(mode="after")
    def _divides(self) -> Settings:
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} and heads {self.heads}, expected a width that heads divide")
        return self


def width(settings: Settings, sizes: Sizes) -> int:
    """H."""
    return settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """Maps, the bottleneck tokens, a stack of blocks for each modality and the last norm."""
    import torch
    from torch import nn

    size = settings.width
    sources = [t or v for t, v in zip(sizes.tokens, sizes.vectors, strict=True)]
    stacks = [nn.ModuleList([block(size) for _ in range(settings.layers)]) for _ in sources]
    return nn.ModuleDict(
        {
            "project": nn.ModuleList([nn.Linear(w, size) for w in sources]),
            "meet": nn.ParameterList([nn.Parameter(0.02 * torch.randn(settings.bottlenecks, size))]),
            "blocks": nn.ModuleList(stacks),
            "norm": nn.LayerNorm(size),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x tokens (B, L_m, T_m) or vectors, present (B, M) bool -> (B, H)."""
    import torch

    count = settings.bottlenecks
    meet = layers["meet"][0].expand(present.shape[0], count, settings.width)  # pyright: ignore
    always, here = torch.ones_like(present[:, :1]).expand(-1, count), present.unsqueeze(2).unsqueeze(3)
    found = [tokens_of(e, present[:, m]) for m, e in enumerate(encoded)]
    real = [torch.cat([always, mask], dim=1) for _, mask in found]
    own = [linear(tokens) for linear, (tokens, _) in zip(layers["project"], found, strict=True)]  # pyright: ignore
    for depth in range(settings.layers):
        first = count if depth == settings.layers - 1 else None
        mixed = []
        for m, stack in enumerate(layers["blocks"]):  # pyright: ignore
            x = torch.cat([meet, own[m]], dim=1)
            mixed.append(transform(stack[depth], x, real[m], settings.heads, first, settings.dropout)[0])
        own = [x[:, count:] for x in mixed]
        both = torch.stack([x[:, :count] for x in mixed], dim=1)  # (B, M, B, H)
        meet = (both * here).sum(1) / here.sum(1).clamp(min=1)
    return Fused(layers["norm"](meet.mean(1)))
