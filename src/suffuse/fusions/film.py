"""Feature-wise linear modulation (FiLM, Perez et al. 2018): one modality, the condition, scales and shifts the other.

    z = (1 + s) * x_t + h       [s; h] = W x_c + b

Without the condition z is x_t; where the modulated modality itself is absent its learned vector e takes its place.
Parameters: 2 X Y + 3 X with X the width of the modulated modality and Y the condition's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartSettings
from ..types import Encoded, Fused, Sizes
from . import FusionDocs

if TYPE_CHECKING:
    from torch import Tensor, nn

TAKES = (2, 2)

DOCS = FusionDocs(
    summary=(
        "Feature-wise linear modulation (Perez et al. 2018): one modality scales and shifts the features of the other. "
        "The joint vector is as wide as the modulated vector."
    ),
    example="fusion: {kind: film, modulated: first}",
    use="one modality is a question about the other",
    absent="condition: nothing is changed; modulated one: a learned vector",
)
EXAMPLES = ({}, {"modulated": "second"})


class Settings(PartSettings):
    """Which of the two modalities is modulated; the joint vector is as wide as its vector."""

    kind: Literal["film"] = "film"
    modulated: Literal["first", "second"] = Setting(
        default="first", description="The modulated modality, `first` or `second` in the order of `modalities`."
    )


def width(settings: Settings, sizes: Sizes) -> int:
    """D of the modulated modality."""
    return sizes.vectors[_places(settings)[0]]


def layers(settings: Settings, sizes: Sizes) -> nn.ModuleDict:
    """The condition's map, and what stands in for the modulated modality."""
    import torch
    from torch import nn

    target, condition = (sizes.vectors[place] for place in _places(settings))
    absent = nn.ParameterList([nn.Parameter(torch.zeros(target))])
    return nn.ModuleDict({"film": nn.Linear(condition, 2 * target), "absent": absent})


def fuse(settings: Settings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
    """2 x (B, D_m), present (B, 2) bool -> (B, D) of the modulated modality."""
    import torch

    target, condition = _places(settings)
    there, given = present[:, target : target + 1], present[:, condition : condition + 1]
    x = torch.where(there, encoded[target].vector, layers["absent"][0])  # pyright: ignore
    scale, shift = layers["film"](encoded[condition].vector.where(given, 0.0)).where(given, 0.0).chunk(2, dim=1)
    return Fused(x + scale * x + shift)


def _places(settings: Settings) -> tuple[int, int]:
    """Which is modulated, and by which."""
    return (0, 1) if settings.modulated == "first" else (1, 0)
