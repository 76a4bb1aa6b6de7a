"""Knowledge distillation (Hinton et al. 2015):

    T^2 (1/B) sum_b sum_c p_bc (log p_bc - log q_bc)      p, q = softmax(z_teacher / T), softmax(z_student / T)

in log space and float32: finite, with finite gradients, at any logits. T^2 keeps the gradient's size when T
changes. Sum over classes, mean over rows; labels are not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import Output

if TYPE_CHECKING:
    from torch import Tensor, nn


class Settings(PartSettings):
    """Temperature T."""

    kind: Literal["kd"] = "kd"
    weight: float = Setting(default=1.0, gt=0)
    temperature: float = Setting(default=2.0, gt=0)


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
    from torch.nn import functional as F

    heat = settings.temperature
    log_p = F.log_softmax(teacher["logits"].detach().float() / heat, dim=1)
    log_q = F.log_softmax(student.logits.float() / heat, dim=1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * heat**2
