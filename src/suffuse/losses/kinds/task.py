"""The labels' own loss, by what the target is:

    classes  -(1/n) sum_b w_y sum_c q_bc log p_bc     q = (1 - s) onehot(y) + s / C (Szegedy et al. 2016)
    labels   binary cross-entropy, mean over the labels; q = (1 - s) y + s / 2, positives weighed by w_c
    number   (z - y)^2, y standardised; with ``delta`` Huber's loss (1964), which outliers pull less
    tokens   CTC (Graves et al. 2006): -log p(y | frames) / max(1, |y|), see :mod:`suffuse.losses.ctc`

over the n rows that have a label. w are the target's class weights (1 where the recipe asks for none).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import CLASSES, LABELS, NUMBER, TOKENS, UNLABELLED, Head, Output
from .. import LossDocs, Weight
from ..ctc import ctc
from ..frame_ops import frames_of
from ..row_ops import clean, exact

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES, LABELS, NUMBER, TOKENS)
LABELLED = True  # a mean over labels, not over rows
ZERO_AT_TEACHER = False  # it reads labels alone

DOCS = LossDocs(
    summary=(
        "The loss on labels: cross-entropy with label smoothing (Szegedy et al. 2016) for classes, binary "
        "cross-entropy for labels, squared or Huber error for numbers, CTC (Graves et al. 2006) for sequences."
    ),
    example="labels: {kind: task, weight: 0.1, label_smoothing: 0.1}",
    meaning={"en": "the given labels", "zh": "所给标签"},
    paper="Szegedy et al. 2016, Huber 1964, Graves et al. 2006",
    formula="cross-entropy, BCE, squared or Huber's error, CTC by units",
    helps="always, beside another loss",
    pitfalls="doesn't use the teacher; unlabelled rows are left out",
)
EXAMPLES = ({}, {"label_smoothing": 0.1})


class Settings(PartSettings):
    """Smoothing in [0, 1); Huber's delta in standard deviations of the target."""

    kind: Literal["task"] = "task"
    weight: Weight = 1.0
    label_smoothing: float = Setting(default=0.0, ge=0, lt=1, description="Label smoothing, for classes.")
    delta: float | None = Setting(
        default=None,
        gt=0,
        description=(
            "Threshold of Huber's loss in standard deviations of a number (Huber 1964). Default: squared error."
        ),
    )


def needs(settings: Settings) -> tuple[str, ...]:
    """Nothing of the teacher."""
    return ()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """logits (B, C) and the head's target (B,) or (B, W), as :class:`suffuse.types.Head` says -> scalar."""
    return task(student.logits, target, settings.label_smoothing, settings.delta, student.head)


def task(
    student: Tensor,
    target: Tensor,
    smoothing: float = 0.0,
    delta: float | None = None,
    head: Head | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Logits (B, C), targets and weights (B,) -> scalar. Without a head, targets are classes (B,) int64, -1 where a row
    has no label; of labels they are (B, C), of numbers (B,) float with NaN, of sequences (B, 1 + L)."""
    if head is not None and head.kind == TOKENS:
        return ctc(frames_of(student, head), target, weight)
    logits, target = clean(weight, exact(student), target)
    if head is not None and head.kind == NUMBER:
        return _number(logits[:, 0], target, delta, weight)
    if head is not None and head.kind == LABELS:
        return _labels(logits, target, smoothing, head, weight)
    return _classes(logits, target, smoothing, head, weight)


def _classes(logits: Tensor, target: Tensor, smoothing: float, head: Head | None, weight: Tensor | None) -> Tensor:
    from torch.nn import functional as F

    loss_sum = F.cross_entropy(
        logits,
        target,
        weight=logits.new_tensor(head.balance) if head is not None and head.balance else None,
        ignore_index=UNLABELLED,
        reduction="sum" if weight is None else "none",
        label_smoothing=smoothing,
    )
    return _share(loss_sum, target != UNLABELLED, weight)


def _labels(logits: Tensor, target: Tensor, smoothing: float, head: Head, weight: Tensor | None) -> Tensor:
    from torch.nn import functional as F

    known = target != UNLABELLED
    targets = target.clamp(min=0).to(logits.dtype) * (1 - smoothing) + smoothing / 2
    positive = logits.new_tensor(head.balance) if head.balance else None
    reduction, mask = "sum" if weight is None else "none", known.to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, targets, weight=mask, pos_weight=positive, reduction=reduction)
    return _share(each, known, weight if weight is None else weight.unsqueeze(1))


def _number(value: Tensor, target: Tensor, delta: float | None, weight: Tensor | None) -> Tensor:
    from torch.nn import functional as F

    known = ~target.isnan()
    value, targets = value.where(known, 0.0), target.to(value.dtype).where(known, 0.0)  # no difference, no gradient
    reduction = "sum" if weight is None else "none"
    if delta is None:
        loss_sum = F.mse_loss(value, targets, reduction=reduction)
    else:
        loss_sum = F.huber_loss(value, targets, reduction=reduction, delta=delta)
    return _share(loss_sum, known, weight)


def _share(loss_sum: Tensor, known: Tensor, weight: Tensor | None) -> Tensor:
    """A sum over known labels, or each of them with weights -> their mean; 0 where none is known."""
    if weight is None:
        return loss_sum / known.sum().clamp(min=1)
    share = weight.to(loss_sum.dtype) * known
    total = share.sum()
    return (loss_sum * share).sum() / total.where(total > 0, 1.0)
