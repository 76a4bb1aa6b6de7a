"""A small pre-norm transformer (Vaswani et al. 2017; Xiong et al. 2020) -> (U, D), D the width.

    x = x + attention(norm(x));  x = x + W2 GELU(W1 norm(x))

Texts come as token embeddings, pictures as patches (Dosovitskiy et al. 2021), frames as patches along time, each by
a linear map. The vector is the mean over the real tokens, or a class token's state. Attention gives padding no weight.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text", "image", "audio", "sequence")
MASKED = -1e9  # finite: an entry of padding alone stays a number

DOCS = PartDocs(
    summary=(
        "A small pre-norm transformer over tokens, image patches or patches of frames, to (U, D) (Vaswani et al. 2017; "
        "Dosovitskiy et al. 2021)."
    ),
    example="title: {kind: transformer, width: 64, depth: 2, heads: 4}",
)
EXAMPLES = (
    ("text", {"width": 8, "heads": 2, "depth": 1}),
    ("text", {"width": 8, "heads": 2, "depth": 2, "pool": "cls", "positions": "learned"}),
    ("image", {"width": 8, "heads": 2, "depth": 1, "patch": 8, "positions": "learned"}),
    ("image", {"width": 8, "heads": 2, "depth": 1, "patch": 5, "pool": "cls"}),
    ("audio", {"width": 8, "heads": 2, "depth": 1, "patch": 4, "positions": "learned"}),
    ("sequence", {"width": 8, "heads": 2, "depth": 1, "patch": 1, "pool": "cls"}),
)


class Settings(PartSettings):
    """Width, depth, and how entries become tokens."""

    kind: Literal["transformer"] = "transformer"
    width: int = Setting(default=128, ge=2, description="Width of the tokens; even, and a multiple of `heads`.")
    depth: int = Setting(default=2, ge=1, le=48, description="Number of blocks.")
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
    hidden: int = Setting(default=0, ge=0, description="Width of the feed-forward layer; 0: four times `width`.")
    patch: int = Setting(
        default=8, ge=1, description="Patch size: pixels per side, or frames. Text uses its own tokens."
    )
    positions: Literal["learned", "sinusoidal"] = Setting(
        default="sinusoidal", description="Position encoding: `learned` or `sinusoidal`."
    )
    pool: Literal["mean", "cls"] = Setting(
        default="mean", description="`mean` over real tokens, or `cls` (state of a class token)."
    )
    dropout: float = Setting(
        default=0.0, ge=0, lt=1, description="Dropout of the input tokens and of every residual branch."
    )


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the width."""
    return settings.width


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the width."""
    return settings.width


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """What makes tokens, positions, and per block two norms, attention's maps and the hidden layer."""
    from torch import nn

    wide, inner = settings.width, settings.hidden or 4 * settings.width
    if wide % settings.heads or wide % 2:
        raise ValueError(f"got width {wide}, expected an even multiple of {settings.heads} heads")
    made = nn.ModuleDict({"tokens": _tokens(settings, field), "dropout": nn.Dropout(settings.dropout)})
    if settings.positions == "learned":
        made["positions"] = nn.Embedding(_count(settings, field), wide)
    if settings.pool == "cls":
        made["cls"] = nn.Embedding(1, wide)
    for number in range(settings.depth):
        made[f"block{number}"] = nn.ModuleDict(
            {
                "norm0": nn.LayerNorm(wide),
                "ask": nn.Linear(wide, 3 * wide),  # queries, keys, values
                "answer": nn.Linear(wide, wide),
                "norm1": nn.LayerNorm(wide),
                "widen": nn.Linear(wide, inner),
                "narrow": nn.Linear(inner, wide),
            }
        )
    made["norm"] = nn.LayerNorm(wide)
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """Entries -> vector (U, D), tokens (U, T, D), token_mask (U, T); a class token is no token."""
    import torch

    x, mask = _read(settings, layers["tokens"], x)
    x = x + _positions(settings, layers, x)
    if settings.pool == "cls":
        x = torch.cat([layers["cls"].weight.expand(x.shape[0], 1, -1), x], dim=1)  # pyright: ignore
    seen = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1) if settings.pool == "cls" else mask
    x = layers["dropout"](x)
    for number in range(settings.depth):
        block: nn.ModuleDict = layers[f"block{number}"]  # pyright: ignore
        x = x + layers["dropout"](_attention(settings, block, block["norm0"](x), seen))
        hidden = torch.nn.functional.gelu(block["widen"](block["norm1"](x)))
        x = x + layers["dropout"](block["narrow"](hidden))
    x = layers["norm"](x)
    if settings.pool == "cls":
        return Encoded(x[:, 0], x[:, 1:], mask)
    mean = (x * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    return Encoded(mean, x, mask)


def _attention(settings: Settings, block: nn.ModuleDict, x: Tensor, mask: Tensor) -> Tensor:
    """Every token (U, T, D) asks all real ones. Written out: it exports as it stands, at any length."""
    ask = block["ask"](x).unflatten(2, (3, settings.heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = ask.unbind(0)  # each (U, heads, T, D / heads)
    scores = query @ key.transpose(2, 3) / math.sqrt(settings.width // settings.heads)
    weights = scores.float().masked_fill(~mask[:, None, None], MASKED).softmax(3).to(value.dtype)
    return block["answer"]((weights @ value).transpose(1, 2).flatten(2))


def _tokens(settings: Settings, field: Field) -> nn.Module:
    """The layer that makes an entry's tokens."""
    from torch import nn

    if field.kind == "text":
        return nn.Embedding(field.statistics["vocabulary"], settings.width, padding_idx=0)
    if field.kind == "image":
        if field.statistics["size"] < settings.patch:
            raise ValueError(f"got a patch of {settings.patch}, expected at most {field.statistics['size']} pixels")
        return nn.Conv2d(3, settings.width, settings.patch, settings.patch)
    # padded at its end only: the last patch may be part of one
    return nn.Conv1d(field.statistics["features"], settings.width, settings.patch, settings.patch)


def _count(settings: Settings, field: Field) -> int:
    """Tokens at the most."""
    if field.kind == "image":
        return (field.statistics["size"] // settings.patch) ** 2
    if "length" not in field.statistics:
        raise ValueError(f"got learned positions for {field.kind} of any length, expected sinusoidal ones")
    return field.statistics["length"] if field.kind == "text" else -(-field.statistics["length"] // settings.patch)


def _read(settings: Settings, layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Entries -> tokens (U, T, D) and which are real (U, T)."""
    import torch
    from torch.nn import functional as F

    if x.ndim == 2:
        return layer(x), x != 0
    if x.ndim == 4:
        found = layer(x).flatten(2).transpose(1, 2)
        return found, torch.ones_like(found[:, :, 0], dtype=torch.bool)
    mask = x[:, :, -1] > 0
    frames = (x[:, :, :-1] * mask.unsqueeze(2)).transpose(1, 2)
    return layer(F.pad(frames, (0, settings.patch - 1))).transpose(1, 2), mask[:, :: settings.patch]


def _positions(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Tensor:
    """(T, D) for tokens (U, T, D). Beyond the learned ones there is padding only."""
    import torch

    place = torch.arange(x.shape[1], device=x.device)
    if settings.positions == "learned":
        table: nn.Embedding = layers["positions"]  # pyright: ignore
        return table(place.clamp(max=table.num_embeddings - 1))
    half = settings.width // 2
    speed = torch.exp(torch.arange(half, device=x.device) * (-math.log(10_000) / half))
    angle = place.unsqueeze(1) * speed
    return torch.cat([angle.sin(), angle.cos()], dim=1)
