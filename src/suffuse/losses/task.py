"""Cross-entropy on the hard labels, with label smoothing (Szegedy et al. 2016):

    -(1/n) sum_b sum_c q_bc log p_bc      q = (1 - s) onehot(y) + s / C

over the n rows that have a label. Valid for two classes or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import UNLABELLED, Output

if TYPE_CHECKING:
    from torch import Tensor, nn


class Settings(PartSettings):
    """Smoothing in [0, 1)."""

    kind: Literal["task"] = "task"
    weight: float = Setting(default=1.0, gt=0)
    smoothing: float = Setting(default=0.0, ge=0, lt=1)


def needs(settings: Settings) -> tuple[str, ...]:
    """Nothing of the teacher."""
    return ()


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters."""
    from torch import nn

    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """logits (B, C), target (B,) int64 with -1 where there is no label -> scalar."""
    from torch.nn import functional as F

    total = F.cross_entropy(
        student.logits.float(),
        target,
        ignore_index=UNLABELLED,
        reduction="sum",
        label_smoothing=settings.smoothing,
    )
    return total / (target != UNLABELLED).sum().clamp(min=1)
