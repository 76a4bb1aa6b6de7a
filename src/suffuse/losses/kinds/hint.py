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

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import clean, exact, features, mean, savable, taps, transformed, unit

if TYPE_CHECKING:
    from torch import Tensor, nn

DOCS = LossDocs(
    summary=(
        "Hints (FitNets, Romero et al. 2015): distance between the student's projected feature and the teacher's."
    ),
    example="hint: {kind: hint, tap: photo, teacher_tap: photo_large}",
    meaning={"en": "the teacher's inner features", "zh": "教师的内部特征"},
    paper="Romero et al. 2015",
    formula="mean (W f_s + b - f_t)², or 1 - cosine",
    projector="yes",
    helps="similar features: the strongest single term in CLIP-KD's comparison",
    pitfalls=(
        "a mean over D: it shrinks as features grow wider, so use `calibrate`; the sum in other libraries is D times "
        "larger"
    ),
)
EXAMPLES = (
    {"tap": "fused", "metric": "mse"},
    {"tap": "fused", "metric": "cosine"},
    {"tap": "picture", "metric": "mse"},
    {"tap": "picture", "metric": "cosine"},
    {"tap": "question", "teacher_tap": "picture"},
)


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name, and how the distance is measured."""

    kind: Literal["hint"] = "hint"
    weight: Weight = 1.0
    tap: Tap = "fused"
    teacher_tap: TeacherTap = ""
    metric: Literal["mse", "cosine"] = Setting(default="mse", description="Distance: `mse` or `cosine`.")


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature at the tap."""
    return (settings.teacher_tap or settings.tap,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """The projector, student width -> teacher width."""
    from torch import nn

    widths = taps(settings.tap, student, teacher, settings.teacher_tap)
    return nn.ModuleDict({"project": nn.Linear(*widths)})


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_s) and (B, D_t) -> scalar."""
    f_s, f_t, row_mask = features(student, teacher, settings.tap, settings.teacher_tap)
    project = layers["project"]
    weight, bias = project.parameters()
    usual = row_mask is None and settings.metric == "mse" and f_s.dtype == weight.dtype and weight.requires_grad
    if usual and not transformed():
        return _projected()(f_s, weight, bias, f_t)
    (f_s,) = clean(row_mask, f_s)  # before the projector, whose gradient is a sum over rows
    return hint(project(f_s), f_t, row_mask, settings.metric)


def hint(
    student: Tensor, teacher: Tensor, weight: Tensor | None = None, metric: Literal["mse", "cosine"] = "mse"
) -> Tensor:
    """Features (B, D) after projection, weights (B,) -> scalar (Romero et al. 2015): mean over rows and numbers of the
    squared difference, or mean over rows of 1 - cosine."""
    f_s, f_t = clean(weight, exact(student), exact(teacher.detach()))
    if metric == "mse":
        return mean((f_s - f_t).square().mean(1), weight)
    return mean(1 - (unit(f_s) * unit(f_t)).sum(1), weight)


@cache
def _projected() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """mean (W f_s + b - f_t)^2 with its gradient in closed form: one node where autograd has three."""
    import torch

    class Projected(torch.autograd.Function):
        @staticmethod
        def forward(ctx, f_s: Tensor, weight: Tensor, bias: Tensor, f_t: Tensor) -> Tensor:
            gap = torch.addmm(bias, f_s, weight.t()) - f_t
            ctx.save_for_backward(f_s, weight, bias, savable(f_t), gap)
            flat = gap.flatten()
            return torch.dot(flat, flat) / max(flat.numel(), 1)

        @staticmethod
        def backward(ctx, *gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
            f_s, weight, bias, f_t, gap = ctx.saved_tensors
            if torch.is_grad_enabled():  # it is differentiated again (create_graph): as a function of the inputs
                gap = torch.addmm(bias, f_s, weight.t()) - f_t
            slope = gap * (gradient[0] * (2 / max(gap.numel(), 1)))
            return slope @ weight, slope.t() @ f_s, slope.sum(0), None

    return Projected.apply  # pyright: ignore
