"""Hints (FitNets, Romero et al. 2015): the student's feature, through a linear projector, meets the teacher's.

    mse:     mean_bd (W f_s + b - f_t)^2            cosine:  1 - mean_b cos(W f_s + b, f_t)

over the rows in which the feature's modality is present. The projector is trained with the student and is no
part of it afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import Output

if TYPE_CHECKING:
    from torch import Tensor, nn


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name, and how the distance is measured."""

    kind: Literal["hint"] = "hint"
    weight: float = Setting(default=1.0, gt=0)
    tap: str = "fused"
    metric: Literal["mse", "cosine"] = "mse"


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature at the tap; a modality's presence comes with it."""
    return (settings.tap,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """The projector, student width -> teacher width."""
    from torch import nn

    for who, taps in (("student", student), ("teacher", teacher)):
        if settings.tap not in taps:
            raise ValueError(f"the {who} has no tap '{settings.tap}', there is: {', '.join(sorted(taps))}")
    return nn.ModuleDict({"project": nn.Linear(student[settings.tap], teacher[settings.tap])})


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_s) and (B, D_t) -> scalar."""
    from torch.nn import functional as F

    mine = student.fused if settings.tap == "fused" else student.features[settings.tap]
    mine, theirs = layers["project"](mine).float(), teacher[settings.tap].detach().float()
    if settings.metric == "mse":
        per_row = (mine - theirs).square().mean(1)
    else:
        per_row = 1 - F.cosine_similarity(mine, theirs, dim=1)
    mask = teacher.get(f"present.{settings.tap}")
    if mask is None:
        return per_row.mean()
    return per_row.where(mask, 0.0).sum() / mask.sum().clamp(min=1)
