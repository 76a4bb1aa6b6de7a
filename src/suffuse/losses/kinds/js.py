"""Jensen-Shannon divergence of the softened answers (Lin 1991), bounded by T^2 log 2:

    T^2 (1/B) sum_b [KL(p_b || m_b) + KL(q_b || m_b)] / 2      m = (p + q) / 2

p and q the teacher's and the student's softmax(z / T), in log space; a probability of 0 (z = -inf) adds 0. A row in
which the teacher is surely wrong pulls less than in ``kd``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Temperature, Weight
from ..row_ops import clean, divergence, exact, mean, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)

DOCS = LossDocs(
    summary="Jensen-Shannon divergence (Lin 1991).",
    example="soft: {kind: js}",
    meaning={"en": "the teacher's soft labels", "zh": "教师的软标签"},
    paper="Lin 1991",
    formula="T² [KL(p, m) + KL(q, m)] / 2, m the mean",
    helps="a teacher that is sometimes confidently wrong: it is bounded",
    pitfalls="its gradient is small where both are confident and differ",
)
EXAMPLES = ({}, {"temperature": 4.0})


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher in rows without a label."""

    kind: Literal["js"] = "js"
    weight: Weight = 1.0
    temperature: Temperature = 1.0
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return js(student.logits, teacher_logits, settings.temperature, row_mask)


def js(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), weights (B,) -> scalar (Lin 1991)."""
    import torch

    student_logits, teacher_logits = clean(weight, exact(student), exact(teacher.detach()))
    log_q, log_p = (student_logits / temperature).log_softmax(1), (teacher_logits / temperature).log_softmax(1)
    least = torch.finfo(log_p.dtype).min  # the gradient of logaddexp is NaN where both are -inf
    log_m = torch.logaddexp(log_p.clamp(min=least), log_q.clamp(min=least)) - math.log(2)
    rows = divergence(log_p, log_m) + divergence(log_q, log_m)
    return mean(rows, weight) * (temperature**2 / 2)
