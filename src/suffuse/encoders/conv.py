"""A plain stack of 3x3 convolutions: (U, 3, H, W) -> (U, D).

Each block is convolution, normalisation, 2x2 max pooling, ReLU; then the mean and the maximum over the
remaining places or, with ``pool: flatten``, all of them through a dense layer, as textbooks have it.
BatchNorm (Ioffe & Szegedy 2015) keeps how bright a picture is, which GroupNorm (Wu & He 2018) takes away: on
easy-VQA the latter confuses gray with black. Only entries that some row has are encoded, so an absent picture
enters no batch statistics.
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
    summary=(
        "A stack of 3x3 convolutions: (U, 3, H, W) to (U, D). `pool: flatten` with a dense layer is the textbook "
        "network (`recipes/classic.yaml`)."
    ),
    example="picture: {kind: conv, widths: [8, 16, 32], stride: 2}",
)
EXAMPLES = (
    ("image", {"widths": [4, 8], "norm": "batch"}),
    ("image", {"widths": [4, 8], "norm": "group"}),
    ("image", {"widths": [4, 8], "norm": "none"}),
    ("image", {"widths": [4, 8], "norm": "batch", "stride": 2}),
    ("image", {"widths": [4, 8], "pool": "flatten", "dense": 5}),
)


class Settings(PartSettings):
    """Widths of the blocks, first to last."""

    kind: Literal["conv"] = "conv"
    widths: tuple[int, ...] = Setting(default=(32, 64, 128), min_length=1, description="Channels of each block.")
    stride: Literal[1, 2] = Setting(
        default=1, description="Stride of the first convolution, 1 or 2. 2 makes the network four times cheaper."
    )
    norm: Literal["batch", "group", "none"] = Setting(
        default="batch", description="Normalisation: `batch`, `group` or `none`."
    )
    pool: Literal["meanmax", "flatten"] = Setting(
        default="meanmax",
        description="`meanmax` (mean and maximum over places) or `flatten` followed by a dense layer.",
    )
    dense: int = Setting(default=128, ge=1, description="Width of the dense layer, for `pool: flatten`.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: mean and maximum of the last block, or the dense layer."""
    return settings.dense if settings.pool == "flatten" else 2 * settings.widths[-1]


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the last block's channels."""
    return settings.widths[-1]


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """One convolution (and norm) per block, and the dense layer."""
    from torch import nn

    side = -(-field.statistics["size"] // settings.stride) // 2 ** len(settings.widths)
    if side < 1:
        raise ValueError(f"{len(settings.widths)} blocks are too many for {field.statistics['size']} pixels")
    made, before = nn.ModuleDict(), 3
    for number, channels in enumerate(settings.widths):
        stride = settings.stride if number == 0 else 1
        made[f"conv{number}"] = nn.Conv2d(before, channels, 3, stride, padding=1, bias=settings.norm == "none")
        if settings.norm == "batch":
            made[f"norm{number}"] = nn.BatchNorm2d(channels)
        elif settings.norm == "group":
            made[f"norm{number}"] = nn.GroupNorm(_groups(channels), channels)
        before = channels
    if settings.pool == "flatten":
        made["dense"] = nn.Linear(side * side * before, settings.dense)
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, 3, H, W) float -> vector (U, D), tokens (U, H' W', channels)."""
    import torch
    from torch.nn import functional as F

    for number in range(len(settings.widths)):
        x = layers[f"conv{number}"](x)
        if settings.norm != "none":
            x = layers[f"norm{number}"](x)
        # the two commute: pooling first rectifies a quarter, ONNX Runtime fuses a ReLU with the convolution before it
        x = F.max_pool2d(F.relu(x), 2) if torch.compiler.is_exporting() else F.relu(F.max_pool2d(x, 2))
    places = x.flatten(2)
    if settings.pool == "flatten":
        vector = layers["dense"](places.flatten(1)).relu()
    else:
        vector = torch.cat([places.mean(2), places.amax(2)], dim=1)
    return Encoded(vector, places.transpose(1, 2), torch.ones_like(places[:, 0], dtype=torch.bool))


def _groups(channels: int) -> int:
    """The most groups of at least four channels that divide them, eight at the most."""
    return next(g for g in (8, 4, 2, 1) if (channels % g == 0 and channels // g >= 4) or g == 1)
