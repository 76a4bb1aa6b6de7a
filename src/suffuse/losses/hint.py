"""Hints (FitNets, Romero et al. 2015): the student's feature, through a linear projector, meets the teacher's.

    mse:     mean_bd (W f_s + b - f_t)^2            cosine:  1 - mean_b cos(W f_s + b, f_t)

over the rows in which the feature's modality is present. The projector is trained with the student and is no
part of it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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
    """The teacher's feature at the tap."""
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
    import torch

    mine = student.fused if settings.tap == "fused" else student.features[settings.tap]
    assert mine is not None, "a student always has its joint vector"
    theirs = teacher[settings.tap].detach().float()
    here = student.present.get(settings.tap)  # (B,), None where every row has it
    if here is None and settings.metric == "mse" and mine.dtype == torch.float32:  # the usual case
        weight, bias = layers["project"].parameters()
        return _projected()(mine, weight, bias, theirs)
    if here is None:
        return _distance(settings, layers["project"](mine).float(), theirs).mean()
    mine, theirs = (x.where(here.unsqueeze(1), 0.0) for x in (mine, theirs))  # zeros first: NaN times 0 is NaN
    per_row = _distance(settings, layers["project"](mine).float(), theirs)
    return per_row.where(here, 0.0).sum() / here.sum().clamp(min=1)


@cache
def _projected() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """mean (W f_s + b - f_t)^2 with its gradient in closed form: one node where autograd has three."""
    import torch

    class Projected(torch.autograd.Function):
        @staticmethod
        def forward(ctx, mine: Tensor, weight: Tensor, bias: Tensor, theirs: Tensor) -> Tensor:
            gap = torch.addmm(bias, mine, weight.t()) - theirs
            ctx.save_for_backward(mine, weight, gap)
            flat = gap.flatten()
            return torch.dot(flat, flat) / flat.numel()

        @staticmethod
        def backward(ctx, *gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
            mine, weight, gap = ctx.saved_tensors
            slope = gap * (gradient[0] * (2 / gap.numel()))
            return slope @ weight, slope.t() @ mine, slope.sum(0), None

    return Projected.apply  # pyright: ignore


def _distance(settings: Settings, mine: Tensor, theirs: Tensor) -> Tensor:
    """(B, D) twice -> (B,)."""
    from torch.nn import functional as F

    if settings.metric == "mse":
        return (mine - theirs).square().mean(1)
    return 1 - F.cosine_similarity(mine, theirs, dim=1)
