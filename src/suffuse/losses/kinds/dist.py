"""DIST (Huang et al. 2022): correlation in place of divergence,

    T^2 [beta (1 - mean_b r(P_s[b, :], P_t[b, :])) + gamma (1 - mean_c r(P_s[:, c], P_t[:, c]))]

r Pearson's, P = softmax(z / T). For a teacher much stronger than its student: the order of the answers is learned,
within a row and within a class over the batch, their size isn't. A constant row or column has no correlation: r is 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Temperature, Weight
from ..row_ops import clean, exact, mean, require_size, select_rows, trusted_rows, unit, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
SMALLEST = 1e-6  # deviation of what correlates: less is rounding, whose direction would get a gradient of its inverse
MIN_CLASSES, MIN_ROWS = 3, 2
HINT = "use kind kd: two numbers always correlate perfectly; or beta: 0"

DOCS = LossDocs(
    summary="Correlations within rows and within classes (DIST, Huang et al. 2022).",
    example="soft: {kind: dist, beta: 2, gamma: 2}",
    meaning={"en": "the order of the teacher's soft labels", "zh": "教师软标签的排序"},
    paper="Huang et al. 2022",
    formula="T² [β (1 - r of rows) + γ (1 - r of classes)]",
    helps="a teacher much stronger than the student",
    pitfalls="r over classes is of the batch: 2 rows at least, many are better; two classes need β = 0",
)
EXAMPLES = ({}, {"temperature": 4.0, "beta": 2.0, "gamma": 0.5})


class Settings(PartSettings):
    """Temperature T, weights of rows and of classes; least confidence of the teacher in rows without a label."""

    kind: Literal["dist"] = "dist"
    weight: Weight = 1.0
    temperature: Temperature = 1.0
    beta: float = Setting(default=1.0, ge=0, description="Weight of the correlation within rows.")
    gamma: float = Setting(default=1.0, ge=0, description="Weight of the correlation within classes.")
    confidence: Confidence = 0.0


def min_classes(settings: Settings) -> int:
    """Rows of two classes say nothing; classes over the batch do."""
    return MIN_CLASSES if settings.beta else 2


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    student_logits, teacher_logits = select_rows(row_mask, student.logits, teacher_logits)
    if len(student_logits) < MIN_ROWS:
        return zero_loss(student_logits)
    return dist(student_logits, teacher_logits, settings.temperature, settings.beta, settings.gamma)


def dist(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    beta: float,
    gamma: float,
    weight: Tensor | None = None,
) -> Tensor:
    """Both logits (B, C), B at least 2, C at least 2, weights (B,) -> scalar (Huang et al. 2022). UsageError with
    fewer."""
    require_size("dist", student, MIN_ROWS, "rows", "use a larger batch, or kind kd: one row has no correlation")
    require_size("dist", student, 2, "classes", HINT)
    student_logits, teacher_logits = clean(weight, exact(student), exact(teacher.detach()))
    q, p = (student_logits / temperature).softmax(1), (teacher_logits / temperature).softmax(1)
    rows = (_direction(q, 1) * _direction(p, 1)).sum(1)
    classes = (_direction(q, 0, weight) * _direction(p, 0, weight)).sum(0)
    inter, intra = 1 - mean(rows, weight), 1 - classes.mean()
    loss = temperature**2 * (beta * inter + gamma * intra)
    return loss if weight is None else loss * (weight > 0).any()


def _direction(x: Tensor, dim: int, weight: Tensor | None = None) -> Tensor:
    """Centred and of length 1 along a dimension; rows weighed."""
    if weight is None:
        return unit(x - x.mean(dim, keepdim=True), dim, SMALLEST * math.sqrt(x.shape[dim]))
    weight = weight.to(x.dtype)
    total = weight.sum()
    share = (weight / total.where(total > 0, 1.0)).unsqueeze(1)
    return unit((x - (share * x).sum(0)) * share.sqrt(), dim, SMALLEST)
