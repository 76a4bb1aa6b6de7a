"""The labels' own loss, by what the target is:

    classes  -(1/n) sum_b w_y sum_c q_bc log p_bc     q = (1 - s) onehot(y) + s / C (Szegedy et al. 2016)
    labels   binary cross-entropy, mean over the labels; q = (1 - s) y + s / 2, positives weighed by w_c
    number   (z - y)^2, y standardised; with ``delta`` Huber's loss (1964), which outliers pull less

over the n rows that have a label. w are the target's class weights (1 where the recipe asks for none).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..parts import PartSettings
from ..types import CLASSES, LABELS, NUMBER, UNLABELLED, Head, Output

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES, LABELS, NUMBER)


class Settings(PartSettings):
    """Smoothing in [0, 1); Huber's delta in standard deviations of the target."""

    kind: Literal["task"] = "task"
    weight: float = Setting(default=1.0, gt=0)
    smoothing: float = Setting(default=0.0, ge=0, lt=1)
    delta: float | None = Setting(default=None, gt=0)


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
    """logits (B, C) and the head's target (B,) or (B, C), as :class:`suffuse.types.Head` says -> scalar."""
    logits, head = student.logits.float(), student.head
    if head is not None and head.kind == NUMBER:
        return _number(settings, logits[:, 0], target)
    if head is not None and head.kind == LABELS:
        return _labels(settings, logits, target, head)
    return _classes(settings, logits, target, head)


def _classes(settings: Settings, logits: Tensor, target: Tensor, head: Head | None) -> Tensor:
    from torch.nn import functional as F

    total = F.cross_entropy(
        logits,
        target,
        weight=logits.new_tensor(head.balance) if head is not None and head.balance else None,
        ignore_index=UNLABELLED,
        reduction="sum",
        label_smoothing=settings.smoothing,
    )
    return total / (target != UNLABELLED).sum().clamp(min=1)


def _labels(settings: Settings, logits: Tensor, target: Tensor, head: Head) -> Tensor:
    from torch.nn import functional as F

    known = (target != UNLABELLED).float()
    wanted = target.clamp(min=0) * (1 - settings.smoothing) + settings.smoothing / 2
    weight = logits.new_tensor(head.balance) if head.balance else None
    each = F.binary_cross_entropy_with_logits(logits, wanted, weight=known, pos_weight=weight, reduction="sum")
    return each / known.sum().clamp(min=1)


def _number(settings: Settings, value: Tensor, target: Tensor) -> Tensor:
    import torch
    from torch.nn import functional as F

    known = ~torch.isnan(target)
    wanted = torch.where(known, target, value.detach())  # no difference, no gradient
    if settings.delta is None:
        total = F.mse_loss(value, wanted, reduction="sum")
    else:
        total = F.huber_loss(value, wanted, reduction="sum", delta=settings.delta)
    return total / known.sum().clamp(min=1)
