"""Residual net (He et al. 2016) of basic blocks: (U, 3, H, W) -> (U, D).

    y = ReLU(x' + BN(conv(ReLU(BN(conv(x))))))    x' = x, or BN(1x1 conv(x)) where the shape changes

Each stage after the first halves height and width. The vector is the mean over the remaining places and, with
``pool: meanmax``, their maximum beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("image",)

DOCS = PartDocs(
    summary="A residual network of basic blocks (He et al. 2016): (U, 3, H, W) to (U, D).",
    example="picture: {kind: residual, widths: [16, 32, 64], blocks: 1}",
)
EXAMPLES = (
    ("image", {"widths": [4, 6], "blocks": 1, "stride": 1}),
    ("image", {"widths": [4, 6], "blocks": 2, "stride": 2, "pool": "meanmax"}),
    ("image", {"widths": [4, 4, 6], "blocks": 1, "stride": 4}),
)


class Settings(PartSettings):
    """Widths of the stages, and how deep and how coarse they are."""

    kind: Literal["residual"] = "residual"
    widths: tuple[int, ...] = Setting(default=(32, 64, 128, 256), min_length=1, description="Channels of each stage.")
    blocks: int = Setting(default=2, ge=1, description="Blocks per stage.")
    stride: Literal[1, 2, 4] = Setting(
        default=2,
        description=(
            "Stride of the stem: 1 (3x3), 2 (3x3, stride 2) or 4 (7x7, stride 2, and pooling, as in the paper for 224 "
            "pixels)."
        ),
    )
    pool: Literal["mean", "meanmax"] = Setting(default="mean", description="`mean`, or `meanmax` (mean and maximum).")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the last stage's channels, once or twice."""
    return settings.widths[-1] * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the last stage's channels."""
    return settings.widths[-1]


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The stem, and per block two convolutions, their norms and, where the shape changes, a 1x1 convolution."""
    from torch import nn

    least = settings.stride * 2 ** (len(settings.widths) - 1)
    if field.statistics["size"] < least:
        raise ValueError(f"got {field.statistics['size']} pixels, expected {least} at least for {least} in one place")
    made, before = nn.ModuleDict(), settings.widths[0]
    kernel, stride = (7, 2) if settings.stride == 4 else (3, settings.stride)
    made["stem"] = nn.Conv2d(3, before, kernel, stride, padding=kernel // 2, bias=False)
    made["stem_norm"] = nn.BatchNorm2d(before)
    for name, channels, stride in _blocks(settings):
        made[name] = nn.ModuleDict(
            {
                "conv0": nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
                "norm0": nn.BatchNorm2d(channels),
                "conv1": nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                "norm1": nn.BatchNorm2d(channels),
            }
        )
        if stride != 1 or before != channels:
            made[name]["short"] = nn.Conv2d(before, channels, 1, stride, bias=False)  # pyright: ignore
            made[name]["short_norm"] = nn.BatchNorm2d(channels)  # pyright: ignore
        before = channels
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, 3, H, W) float -> vector (U, D), tokens (U, H' W', channels)."""
    import torch
    from torch.nn import functional as F

    x = layers["stem_norm"](layers["stem"](x)).relu()
    if settings.stride == 4:
        x = F.max_pool2d(x, 3, 2, padding=1)
    for name, _, _ in _blocks(settings):
        block = layers[name]
        way = block["norm0"](block["conv0"](x)).relu()  # pyright: ignore
        way = block["norm1"](block["conv1"](way))  # pyright: ignore
        short = block["short_norm"](block["short"](x)) if "short" in block else x  # pyright: ignore
        x = (way + short).relu()
    places = x.flatten(2)
    mean = places.mean(2)
    vector = torch.cat([mean, places.amax(2)], dim=1) if settings.pool == "meanmax" else mean
    return Encoded(vector, places.transpose(1, 2), torch.ones_like(places[:, 0], dtype=torch.bool))


def _blocks(settings: Settings) -> list[tuple[str, int, int]]:
    """Name, channels and stride of every block, in order."""
    return [
        (f"stage{stage}_{number}", channels, 2 if stage and not number else 1)
        for stage, channels in enumerate(settings.widths)
        for number in range(settings.blocks)
    ]
