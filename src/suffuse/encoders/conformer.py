"""A small conformer over frames (Gulati et al. 2020): (U, L, F + 1) -> (U, D), D the width.

    x <- W relu(conv(relu(conv(frames))))                       two strided 2-D convolutions
    x <- x + 1/2 FFN(x)                                         FFN: W2 SiLU(W1 LayerNorm(x))
    x <- x + attention(LayerNorm(x))                            scores q k / sqrt(d) + b[j - i]
    x <- x + W4 SiLU(norm(depthwise(GLU(W3 LayerNorm(x)))))     a convolution along time
    x <- LayerNorm(x + 1/2 FFN(x))                              these four `depth` times

Positions are relative: each head learns a number b for every distance j - i (Shaw et al. 2018; Raffel et al. 2020), one
for all that are `distance` or farther, so a recording may be longer than any in training. What is padding is zero
before every convolution, gets no attention and enters no statistics. The vector is the mean over the real tokens.

With `look_ahead` a token depends on no frame later than so many after its own, as in a Transformer Transducer (Zhang et
al. 2020): convolutions look back only, and attention of each block looks ahead by a share of it. What was computed of a
part of a recording then stays as it is when more of it comes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import field_validator

from ..registry import PartDocs, PartSettings
from ..temporal_conv import norm_of_steps, over_bands, pooled
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio", "sequence")
MASKED = -1e9  # finite: an entry of padding alone stays a number

DOCS = PartDocs(
    summary=(
        "A small conformer over frames (Gulati et al. 2020): two strided convolutions, then blocks of feed-forward "
        "layers, attention with learned relative positions, and a convolution along time. (U, L, F + 1) to (U, D), and "
        "one token per `stride` frames."
    ),
    example="speech: {kind: conformer, width: 48, depth: 3, hidden: 96, kernel: 9}",
)
EXAMPLES = (
    ("audio", {"width": 8, "depth": 2, "heads": 2, "hidden": 12, "kernel": 5, "channels": 3, "dropout": 0.0}),
    (
        "audio",
        {
            "width": 8,
            "depth": 1,
            "heads": 1,
            "kernel": 3,
            "channels": 4,
            "norm": "batch",
            "distance": 2,
            "dropout": 0.0,
        },
    ),
    ("audio", {"width": 8, "depth": 2, "heads": 4, "kernel": 3, "channels": 4, "look_ahead": 8, "dropout": 0.0}),
    ("sequence", {"width": 8, "depth": 1, "heads": 2, "kernel": 3, "channels": 4, "stride": 2, "pool": "meanmax"}),
)


class Settings(PartSettings):
    """Width, depth, and how far it sees."""

    kind: Literal["conformer"] = "conformer"
    width: int = Setting(default=64, ge=1, description="Width of the tokens; a multiple of `heads`.")
    depth: int = Setting(default=3, ge=1, le=48, description="Number of blocks.")
    heads: int = Setting(default=4, ge=1, description="Attention heads.")
    hidden: int = Setting(default=0, ge=0, description="Width of the feed-forward layers; 0: four times `width`.")
    kernel: int = Setting(default=15, ge=1, le=255, description="Kernel size of the convolutions in tokens, odd.")
    channels: int = Setting(default=16, ge=1, description="Channels of the two convolutions that make tokens.")
    stride: Literal[2, 4] = Setting(default=4, description="Frames per token: 2 or 4.")
    distance: int = Setting(
        default=64, ge=1, le=4096, description="Distances in tokens that attention tells apart; all beyond are one."
    )
    norm: Literal["layer", "batch"] = Setting(
        default="layer", description="Normalisation after the convolution along time: `layer` or `batch`."
    )
    look_ahead: int | None = Setting(
        default=None,
        ge=0,
        le=2**16,
        description="Frames after its own that a token may depend on; 0: none. Default: all of the recording.",
    )
    pool: Literal["mean", "meanmax"] = Setting(
        default="mean", description="`mean` or `meanmax`, for the vector that fusions without tokens read."
    )
    dropout: float = Setting(
        default=0.1, ge=0, lt=1, description="Dropout of the tokens, of hidden layers and of every residual branch."
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"got {kernel}, expected an odd number of tokens")
        return kernel


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the width, twice for mean and maximum."""
    return settings.width * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the width."""
    return settings.width


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The two convolutions and the map that make tokens, and the layers of each block."""
    from torch import nn

    wide, channels, bands = settings.width, settings.channels, field.statistics["features"]
    if wide % settings.heads:
        raise ValueError(f"got width {wide}, expected a multiple of {settings.heads} heads")
    for _ in range(2):
        bands = -(-bands // 2)
    made = nn.ModuleDict(
        {
            "front0": nn.Conv2d(1, channels, 3, 2, padding=(0, 1)),
            "front1": nn.Conv2d(channels, channels, 3, (settings.stride // 2, 2), padding=(0, 1)),
            "steps": nn.Linear(channels * bands, wide),
            "dropout": nn.Dropout(settings.dropout),
        }
    )
    for number in range(settings.depth):
        made[f"block{number}"] = _block(settings)
    return made


def _block(settings: Settings) -> nn.ModuleDict:
    from torch import nn

    wide, inner = settings.width, settings.hidden or 4 * settings.width
    norm = nn.BatchNorm1d if settings.norm == "batch" else nn.LayerNorm
    block = nn.ModuleDict(
        {
            "norm_attention": nn.LayerNorm(wide),
            "ask": nn.Linear(wide, 3 * wide),  # queries, keys, values
            "distance": nn.Embedding(2 * settings.distance + 1, settings.heads),
            "answer": nn.Linear(wide, wide),
            "norm_conv": nn.LayerNorm(wide),
            "gate": nn.Linear(wide, 2 * wide),
            "conv": nn.Conv1d(wide, wide, settings.kernel, groups=wide, bias=False),
            "norm_inner": norm(wide),
            "mix": nn.Linear(wide, wide),
            "norm": nn.LayerNorm(wide),
        }
    )
    for half in (0, 1):
        block[f"norm{half}"] = nn.LayerNorm(wide)
        block[f"widen{half}"], block[f"narrow{half}"] = nn.Linear(wide, inner), nn.Linear(inner, wide)
    nn.init.zeros_(block["distance"].weight)  # pyright: ignore[reportArgumentType]
    return block


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, F + 1) -> vector (U, D), tokens (U, L', width), token_mask (U, L')."""
    x, mask = _read(settings, layers, x)
    drop, here = layers["dropout"], mask.unsqueeze(2)
    x = drop(x)
    for number in range(settings.depth):
        block: nn.ModuleDict = layers[f"block{number}"]  # pyright: ignore
        x = x + 0.5 * drop(_feed_forward(block, drop, x, 0))
        x = x + drop(_attention(settings, block, block["norm_attention"](x), mask, _ahead(settings, number)))
        x = x + drop(_convolution(settings, block, block["norm_conv"](x), mask))
        x = block["norm"](x + 0.5 * drop(_feed_forward(block, drop, x, 1)))
    x = x * here
    return Encoded(pooled(x, mask, settings.pool), x, mask)


def _ahead(settings: Settings, number: int) -> int | None:
    """How many tokens a block's attention looks ahead; None: all. Together they look as far as is allowed."""
    if settings.look_ahead is None:
        return None
    each, rest = divmod(settings.look_ahead // settings.stride, settings.depth)
    return each + (number < rest)


def _read(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> tuple[Tensor, Tensor]:
    """Entries -> tokens (U, T, width) and which are real (U, T): where the first frame of its own is."""
    from torch.nn import functional as F

    mask, x = x[:, :, -1] > 0, x[:, :, :-1].unsqueeze(1)  # (U, 1, L, F)
    for number, stride in enumerate((2, settings.stride // 2)):
        back = 2 if stride == 1 and settings.look_ahead is not None else 1  # with a stride it sees no later frame
        seen = F.pad(x * mask[:, None, :, None], (0, 0, back, 2 - back))
        x = over_bands(layers[f"front{number}"], seen).relu()
        mask = mask[:, ::stride]
    return layers["steps"](x.transpose(1, 2).flatten(2)), mask


def _feed_forward(block: nn.ModuleDict, drop: nn.Module, x: Tensor, half: int) -> Tensor:
    from torch.nn import functional as F

    return block[f"narrow{half}"](drop(F.silu(block[f"widen{half}"](block[f"norm{half}"](x)))))


def _attention(settings: Settings, block: nn.ModuleDict, x: Tensor, mask: Tensor, ahead: int | None) -> Tensor:
    """Every token (U, T, D) asks all real ones, or those at most ``ahead`` later. Written out: it exports as it stands,
    at any length."""
    import torch

    ask = block["ask"](x).unflatten(2, (3, settings.heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = ask.unbind(0)  # each (U, heads, T, D / heads)
    place = torch.arange(x.shape[1], device=x.device)
    later = place.unsqueeze(0) - place.unsqueeze(1)  # (T, T): how much later than who asks
    bias = block["distance"](later.clamp(-settings.distance, settings.distance) + settings.distance).permute(2, 0, 1)
    scores = (query @ key.transpose(2, 3) / math.sqrt(settings.width // settings.heads)).float() + bias
    allowed = mask[:, None, None] if ahead is None else mask[:, None, None] & (later <= ahead)
    weights = scores.masked_fill(~allowed, MASKED).softmax(3).to(value.dtype)
    return block["answer"]((weights @ value).transpose(1, 2).flatten(2))


def _convolution(settings: Settings, block: nn.ModuleDict, x: Tensor, mask: Tensor) -> Tensor:
    """The convolution along time of (U, T, D); with ``look_ahead`` it sees nothing later."""
    from torch.nn import functional as F

    gated = F.glu(block["gate"](x), dim=2) * mask.unsqueeze(2)
    after = 0 if settings.look_ahead is not None else settings.kernel // 2
    x = block["conv"](F.pad(gated.transpose(1, 2), (settings.kernel - 1 - after, after))).transpose(1, 2)
    return block["mix"](F.silu(norm_of_steps(block["norm_inner"], x, mask)))
