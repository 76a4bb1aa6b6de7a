"""Distillation of independent labels: every label is a question of its own with two answers (Yang et al. 2023, L2D).

    T^2 (1/B) sum_b (1/C) sum_c KL(Bernoulli(p_bc) || Bernoulli(q_bc))    p, q = sigmoid(z_teacher / T), sigmoid(z / T)

in log space and float32. A softmax over labels would make them compete, which they don't.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import LABELS, Output

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (LABELS,)


class Settings(PartSettings):
    """Temperature T."""

    kind: Literal["multilabel_kd"] = "multilabel_kd"
    weight: float = Setting(default=1.0, gt=0)
    temperature: float = Setting(default=1.0, gt=0)


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
    mine, theirs = student.logits.float() / heat, teacher["logits"].detach().float() / heat
    p = theirs.sigmoid()
    # log p - log q for the label, and for its absence; -softplus(-z) is log sigmoid(z) at any z
    there = F.softplus(-mine) - F.softplus(-theirs)
    absent = F.softplus(mine) - F.softplus(theirs)
    return (p * there + (1 - p) * absent).mean() * heat**2
