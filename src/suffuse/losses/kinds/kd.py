"""Knowledge distillation (Hinton et al. 2015):

    T^2 (1/B) sum_b sum_c p_bc (log p_bc - log q_bc)      p, q = softmax(z_teacher / T), softmax(z_student / T)

in log space and float32: finite, with finite gradients, at any logits. T^2 keeps the gradient's size when T
changes. Sum over classes, mean over rows; labels are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...parts import PartSettings
from ...types import CLASSES, Output
from ..rows import clean, exact, mean, trusted

if TYPE_CHECKING:
    from torch import Tensor, nn


HEADS = (CLASSES,)


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher in rows without a label."""

    kind: Literal["kd"] = "kd"
    weight: float = Setting(default=1.0, gt=0)
    temperature: float = Setting(default=2.0, gt=0)
    confidence: float = Setting(default=0.0, ge=0, le=1)


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's logits."""
    return ("logits",)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters."""
    from torch import nn

    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    theirs = teacher["logits"].detach()
    here = trusted(settings.confidence, theirs, target, student.head)
    return kd(student.logits, theirs, settings.temperature, here)


def kd(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), weights (B,) -> scalar (Hinton et al. 2015)."""
    mine, theirs = exact(student), exact(teacher.detach())
    if weight is None:
        return _divergence()(mine, theirs, temperature)
    mine, theirs = clean(weight, mine, theirs)
    log_q, log_p = (mine / temperature).log_softmax(1), (theirs / temperature).log_softmax(1)
    return mean((log_p.exp() * (log_p - log_q)).sum(1), weight) * temperature**2


@cache
def _divergence() -> Callable[[Tensor, Tensor, float], Tensor]:
    """T^2 KL(p || q) per row, with the gradient in closed form, T (q - p) / B: one node where autograd has six."""
    import torch

    class Divergence(torch.autograd.Function):
        @staticmethod
        def forward(ctx, mine: Tensor, theirs: Tensor, heat: float) -> Tensor:
            # both at once, by hand: on a few classes each kernel of log_softmax takes as long as all of this
            both = torch.cat([theirs, mine])
            if heat != 1:
                both /= heat
            both -= both.amax(1, keepdim=True)
            powers = both.exp()
            total = powers.sum(1, keepdim=True)
            both -= total.log()
            (p, q), (log_p, log_q) = (powers / total).chunk(2), both.chunk(2)
            ctx.save_for_backward((q - p) * (heat / len(mine)))
            return torch.dot(p.flatten(), (log_p - log_q).flatten()) * (heat**2 / len(mine))

        @staticmethod
        def backward(ctx, *gradient: Tensor) -> tuple[Tensor, None, None]:
            return gradient[0] * ctx.saved_tensors[0], None, None

    return Divergence.apply  # pyright: ignore
