"""2-D convolutions over a spectrogram, then residual ones along time: (U, L, F + 1) -> (U, D).

    x <- ReLU(BatchNorm(conv2d(x)))    halving time and bands, block after block    x = dropout(LayerNorm(W x + b))
    x <- x + dropout(GELU(conv(LayerNorm(x))))                                      depth times

The front of a CRNN (Choi et al. 2017), with a temporal convolution net (Bai et al. 2018) where that has a GRU. A filter
sees a few bands at a time and is the same over all of them, so a voice that is a little higher meets the same filters;
a convolution along time alone learns each height separately. What is padding is zero before every convolution, as
what lies beyond an entry's end is, and enters no statistics. Each step stays a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import field_validator

from ..registry import PartDocs, PartSettings
from ..sync_batch_norm import total
from ..temporal_conv import over_bands, pooled, residual, through
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio", "sequence")

DOCS = PartDocs(
    summary=(
        "2-D convolutions over a spectrogram (Choi et al. 2017), each halving time and bands, then residual "
        "convolutions along time (Bai et al. 2018): (U, L, F + 1) to (U, D), and one token per 2^n frames, n the "
        "number of `channels`. Filters are shared over all bands, so a higher voice meets the same filters."
    ),
    example="speech: {kind: conv2d, channels: [8, 16, 32], width: 48}",
)
EXAMPLES = (
    ("audio", {"channels": [4, 6], "width": 8, "depth": 2, "kernel": 3, "dropout": 0.0}),
    ("audio", {"channels": [4], "first": 3, "width": 8, "dilated": False, "pool": "meanmax", "dropout": 0.0}),
    ("sequence", {"channels": [4], "width": 8, "depth": 0, "dropout": 0.0}),
)


class Settings(PartSettings):
    """Channels of the front's blocks, first to last, and the steps after it."""

    kind: Literal["conv2d"] = "conv2d"
    channels: tuple[int, ...] = Setting(
        default=(16, 32, 64), min_length=1, max_length=8, description="Channels of each 2-D block."
    )
    first: int = Setting(
        default=5,
        ge=1,
        le=31,
        description="Kernel size of the first block in frames and bands, odd; the others have 3.",
    )
    width: int = Setting(default=64, ge=1, description="Width of a step after the 2-D blocks.")
    depth: int = Setting(default=3, ge=0, le=64, description="Convolutions along time; 0: none.")
    kernel: int = Setting(default=5, ge=1, le=255, description="Kernel size along time in steps, odd.")
    dilated: bool = Setting(default=True, description="Double the dilation with each convolution along time.")
    pool: Literal["mean", "meanmax"] = Setting(
        default="mean", description="`mean` or `meanmax`, for the vector that fusions without tokens read."
    )
    dropout: float = Setting(
        default=0.1, ge=0, lt=1, description="Dropout of the steps and after each convolution along time."
    )

    @field_validator("first", "kernel")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"got {size}, expected an odd number")
        return size


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the width, twice for mean and maximum."""
    return settings.width * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the width."""
    return settings.width


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """Convolution and norm of every block, what makes steps of the last one's bands, and the blocks along time."""
    from torch import nn

    made, before, bands = nn.ModuleDict(), 1, field.statistics["features"]
    for number, channels in enumerate(settings.channels):
        size = 3 if number else settings.first
        made[f"front{number}"] = nn.Conv2d(before, channels, size, 2, padding=size // 2, bias=False)
        made[f"front_norm{number}"] = nn.BatchNorm2d(channels)
        before, bands = channels, -(-bands // 2)
    wide = settings.width
    made["steps"], made["norm"] = nn.Linear(before * bands, wide), nn.LayerNorm(wide)
    made["dropout"] = nn.Dropout(settings.dropout)
    made.update(residual(wide, settings.depth, settings.kernel, settings.dilated))
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, F + 1) -> vector (U, D), tokens (U, L', width), token_mask (U, L')."""
    mask, x = x[:, :, -1] > 0, x[:, :, :-1].unsqueeze(1)  # (U, 1, L, F)
    for number in range(len(settings.channels)):
        x = over_bands(layers[f"front{number}"], x * mask[:, None, :, None])
        mask = mask[:, ::2]  # real where the middle of what it saw is
        x = _rectified(layers[f"front_norm{number}"], x, mask)
    x = layers["steps"](x.transpose(1, 2).flatten(2))
    x = through(layers, settings.depth, layers["dropout"](layers["norm"](x)), mask)
    return Encoded(pooled(x, mask, settings.pool), x, mask)


def _rectified(norm: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """ReLU(BatchNorm(x)) of (U, C, T, F) with real frames (U, T).

    In training BatchNorm gets these alone; one number has no statistics of its own. Whole frames are picked by their
    places and put back: masks of single numbers took a third of a step.
    """
    from torch.nn import functional

    if not norm.training:
        return norm(x).relu()
    entries, channels, frames, bands = x.shape
    places = mask.flatten().nonzero().squeeze(1)
    if total(len(places) * bands) < 2:
        still = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)  # pyright: ignore
        return still.relu()
    flat = x.permute(0, 2, 3, 1).reshape(entries * frames, bands * channels)
    real = flat.index_select(0, places).reshape(-1, channels, 1, 1)
    found = norm(real).relu().reshape(len(places), bands * channels)
    put = flat.new_zeros(flat.shape).index_copy(0, places, found)
    return put.reshape(entries, frames, bands, channels).permute(0, 3, 1, 2)
