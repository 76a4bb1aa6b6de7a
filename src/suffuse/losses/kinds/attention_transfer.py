"""Attention transfer (Zagoruyko & Komodakis 2017): where the student's features are strong, and where the teacher's.

    (1/B) sum_b sum_l (Q_s,bl - Q_t,bl)^2      Q = E / |E|_2, E_l = mean over channels of f_l^2

over the places l of a picture's activation map, or of a sequence's tokens; maps of different sizes are averaged down to
the smaller one. Channels are averaged first, so any two encoders can be compared. The paper's formula has the plain
norm, its code the mean over places, which makes a weight depend on their number; here it is the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import LOOK, MAP, Output
from ..row_ops import answered, clean, exact, mean, unit

if TYPE_CHECKING:
    from torch import Tensor, nn


class Settings(PartSettings):
    """Which modality's map."""

    kind: Literal["attention_transfer"] = "attention_transfer"
    weight: float = Setting(default=1.0, gt=0)
    map: str


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's map of the modality."""
    return (settings.map + MAP,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters, and no widths to agree on."""
    from torch import nn

    for who, taps in (("student", student), ("teacher", teacher)):
        if settings.map + MAP not in taps:
            known = sorted(name.removesuffix(MAP) for name in taps if name.endswith(MAP) and LOOK not in name)
            there = f"there is: {', '.join(known)}" if known else "use kind hint"
            raise ValueError(f"the {who} has no map of '{settings.map}' (an encoder with tokens, not frozen); {there}")
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Energies (B, K) of both -> scalar, over the rows that have the modality."""
    theirs = teacher[settings.map + MAP].detach()
    here = answered(theirs, student.present.get(settings.map))
    return attention_transfer(student.maps[settings.map], theirs, here)


def attention_transfer(student: Tensor, teacher: Tensor, weight: Tensor | None = None) -> Tensor:
    """Activation maps (B, C, H, W), tokens (B, L, D), or energies (B, K) as they are, of both; weights (B,) -> scalar
    (Zagoruyko & Komodakis 2017)."""
    mine, theirs = (_energy(x) for x in clean(weight, exact(student), exact(teacher.detach())))
    if mine.shape != theirs.shape:
        mine, theirs = _smaller(mine, theirs)
    return mean((unit(mine.flatten(1)) - unit(theirs.flatten(1))).square().sum(1), weight)


def _energy(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W); (B, L, D) -> (B, L)."""
    return x if x.dim() == 2 else x.square().mean(1 if x.dim() == 4 else 2)


def _smaller(mine: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Both averaged down to the size of the smaller."""
    from torch.nn import functional as F

    size = [min(a, b) for a, b in zip(mine.shape[1:], theirs.shape[1:], strict=True)]
    pool = F.adaptive_avg_pool2d if len(size) == 2 else F.adaptive_avg_pool1d
    shape = size if len(size) == 2 else size[0]
    mine, theirs = (pool(x.unsqueeze(1), shape).squeeze(1) for x in (mine, theirs))  # pyright: ignore
    return mine, theirs
