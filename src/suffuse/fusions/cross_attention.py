"""Cross-attention (ViLBERT, LXMERT, MulT; Lu, Tan, Tsai et al. 2019): every modality looks at the others' tokens.

    z_m = LayerNorm(p_m + attention(from p_m, to the tokens of all others))        z = [z_1; ...; z_M]

p_m is the modality's vector, mapped to the width; where it is absent its learned vector e_m looks instead, so absence
can be seen. Nobody looks at an absent modality or a masked token; where there is nothing to look at, z_m is
LayerNorm(p_m). A modality without tokens is one token, its mapped vector. With two modalities that both are, there is
nothing to choose and the attention is a linear map: take another fusion then.
Parameters: D H + M H + T H + K H + M (4 H^2 + 6 H) with D the sum of the widths of the
vectors, T of the tokens of the K modalities that have some, and H the width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import model_validator

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs
from .attention import attend, attention, tokens_of

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (2, 64)
TOKENS = True

DOCS = FusionDocs(
    summary=(
        "Cross-attention (Lu et al., Tan and Bansal, Tsai et al. 2019): each modality's vector attends to the tokens "
        "of all others; the results are concatenated. With two modalities without tokens, use another fusion."
    ),
    example="fusion: {kind: cross_attention, width: 64, heads: 4}",
    use="tokens that belong together (a word and a place in the picture)",
    absent="is masked as key; a learned vector is its query",
)
EXAMPLES = ({"heads": 2},)


class Settings(PartSettings):
    """Width of each modality's part of the joint vector, and heads."""

    kind: Literal["cross_attention"] = "cross_attention"
    width: int = Setting(default=128, ge=1, description="Width of each modality's part; a multiple of `heads`.")
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of the attention output.")

    @model_validator(mode="after")
    def _divides(self) -> Settings:
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} and heads {self.heads}, expected a width that heads divide")
        return self


def width(settings: Settings, sizes: Sizes) -> int:
    """M H."""
    return len(sizes.vectors) * settings.width


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """Maps of vectors and of tokens, and an attention for each modality."""
    import torch
    from torch import nn

    size = settings.width
    looks = [nn.ModuleDict({**attention(size), "norm": nn.LayerNorm(size)}) for _ in sizes.vectors]
    return nn.ModuleDict(
        {
            "project": nn.ModuleList([nn.Linear(w, size) for w in sizes.vectors]),
            "tokens": nn.ModuleList([nn.Linear(w, size) if w else nn.Identity() for w in sizes.tokens]),
            "absent": nn.ParameterList([nn.Parameter(torch.zeros(size)) for _ in sizes.vectors]),
            "looks": nn.ModuleList(looks),
        }
    )


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """M x (B, D_m) with tokens (B, L_m, T_m), present (B, M) bool -> (B, M H)."""
    import torch

    own, keys, real = [], [], []
    for m, e in enumerate(encoded):
        here = present[:, m : m + 1]
        vector = layers["project"][m](e.vector.where(here, 0.0))  # pyright: ignore
        own.append(torch.where(here, vector, layers["absent"][m]))  # pyright: ignore
        tokens, mask = tokens_of(e, present[:, m])
        keys.append(vector.unsqueeze(1) if e.tokens is None else layers["tokens"][m](tokens))  # pyright: ignore
        real.append(mask)
    joined = []
    for m, (look, x) in enumerate(zip(layers["looks"], own, strict=True)):  # pyright: ignore
        others = (torch.cat([*part[:m], *part[m + 1 :]], dim=1) for part in (keys, real))
        joined.append(_look(settings, look, x, *others))
    return Fused(torch.cat(joined, dim=1))


def _look(settings: Settings, layers: nn.ModuleDict, x: Tensor, keys: Tensor, real: Tensor) -> Tensor:
    """(B, H) looks at (B, K, H), of which ``real`` (B, K) -> (B, H)."""
    from torch.nn import functional as F

    seen = attend(layers, x.unsqueeze(1), keys, real, settings.heads)[0].squeeze(1)
    seen = seen.where(real.any(1, keepdim=True), 0.0)
    seen = F.dropout(seen, settings.dropout, layers.training) if settings.dropout else seen
    return layers["norm"](x + seen)
