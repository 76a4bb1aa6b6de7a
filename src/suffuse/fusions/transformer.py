"""A transformer over the tokens of all modalities and one of its own, whose state is the joint vector.

    z = LayerNorm(first of block_L(... block_1([cls; p_1 + type_1; ...; p_M + type_M])))

(BERT's [CLS], Devlin et al. 2019; types as in MMBT, Kiela et al. 2019; FT-Transformer, Gorishniy et al. 2021.) p_m are
the modality's tokens, mapped to the width; one without tokens is one token, its mapped vector. An absent modality, and
a masked token, is left out; cls is always there, so no attention is empty. Order within a modality is not added: it is
what the encoder has put into its tokens. Gates are what cls looks at in the last block, over all heads.
Parameters: W H + 2 M H + 3 H + L (12 H^2 + 12 H) with W the sum of the widths of what is read (tokens, or a
vector that is one), H the width and L the layers.
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
GATES = True
TOKENS = True

DOCS = FusionDocs(
    summary=(
        "A transformer over the tokens of all modalities and a class token, whose last state is the joint vector "
        "(MMBT, Kiela et al. 2019). Each modality has a learned type embedding; token order is encoded by its encoder. "
        "Gates are the class token's attention in the last layer."
    ),
    example="fusion: {kind: transformer, width: 96, layers: 1}",
    use="three or more modalities, tokens of any number, missing data",
    absent="is masked in every attention",
)
EXAMPLES = ({"layers": 2, "heads": 2}, {"layers": 1, "heads": 3})


class Settings(PartSettings):
    """Width, layers and heads."""

    kind: Literal["transformer"] = "transformer"
    width: int = Setting(default=128, ge=1, description="Width of the tokens; even, and a multiple of `heads`.")
    layers: int = Setting(default=2, ge=1, description="Number of layers.")
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
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
    """Maps, cls and types, blocks and the last norm."""
    import torch
    from torch import nn

    size = settings.width
    sources = [t or v for t, v in zip(sizes.tokens, sizes.vectors, strict=True)]
    return nn.ModuleDict(
        {
            "project": nn.ModuleList([nn.Linear(w, size) for w in sources]),
            "types": nn.ParameterList([nn.Parameter(0.02 * torch.randn(size)) for _ in sources]),
            "cls": nn.ParameterList([nn.Parameter(0.02 * torch.randn(size))]),
            "blocks": nn.ModuleList([block(size) for _ in range(settings.layers)]),
            "norm": nn.LayerNorm(size),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x tokens (B, L_m, T_m) or vectors, present (B, M) bool -> vector (B, H); gates (B, M), summing to 1."""
    import torch

    cls = layers["cls"][0].expand(present.shape[0], 1, settings.width)  # pyright: ignore
    sequence, real = [cls], [torch.ones_like(present[:, :1])]
    for m, e in enumerate(encoded):
        tokens, mask = tokens_of(e, present[:, m])
        sequence.append(layers["project"][m](tokens) + layers["types"][m])  # pyright: ignore
        real.append(mask)
    x, keys = torch.cat(sequence, dim=1), torch.cat(real, dim=1)
    *before, last = layers["blocks"]  # pyright: ignore
    for one in before:
        x, _ = transform(one, x, keys, settings.heads, dropout=settings.dropout)
    x, weights = transform(last, x, keys, settings.heads, 1, settings.dropout)
    looked = weights.float().mean(1).squeeze(1)[:, 1:].split([r.shape[1] for r in real[1:]], dim=1)
    return Fused(layers["norm"](x.squeeze(1)), _shares(torch.stack([w.sum(1) for w in looked], dim=1), present))


def _shares(looked: Tensor, present: Tensor) -> Tensor:
    """(B, M) to sum to 1; even over what is present where cls looks at none of it."""
    import torch

    total, here = looked.sum(1, keepdim=True), present.to(looked.dtype)
    tiny = torch.finfo(looked.dtype).tiny
    even = here / here.sum(1, keepdim=True).clamp(min=1)
    return torch.where(total > tiny, looked / total.clamp(min=tiny), even)
