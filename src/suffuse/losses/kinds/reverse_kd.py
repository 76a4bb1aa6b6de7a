"""Reverse KL (Gu et al. 2024, MiniLLM; mode seeking):

    T^2 (1/B) sum_b sum_c q_bc (log q_bc - log p_bc)      p, q = softmax(z_teacher / T), softmax(z_student / T)

in log space. The student may leave out what it can't follow, where ``kd`` makes it cover everything. A class that the
teacher rules out (z = -inf) would be infinitely wrong: it is left out, and q is over the others.
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
CONTINUOUS_AT_0 = False

DOCS = LossDocs(
    summary="Reverse KL divergence (Gu et al. 2024).",
    example="soft: {kind: reverse_kd}",
    meaning={"en": "the teacher's soft labels, where the student is sure", "zh": "教师的软标签，在学生确信之处"},
    paper="Gu et al. 2024",
    formula="T² sum_c q log(q / p)",
    helps="a student too small to cover all of the teacher's distribution",
    pitfalls="drops classes; unbounded where p is nearly 0",
)
EXAMPLES = ({}, {"temperature": 4.0})


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher in rows without a label."""

    kind: Literal["reverse_kd"] = "reverse_kd"
    weight: Weight = 1.0
    temperature: Temperature = 1.0
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return reverse_kd(student.logits, teacher_logits, settings.temperature, row_mask)


def reverse_kd(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), weights (B,) -> scalar (Gu et al. 2024)."""
    student_logits, teacher_logits = clean(weight, exact(student), exact(teacher.detach()))
    student_logits = student_logits.where(teacher_logits > -math.inf, -math.inf)
    log_q, log_p = (student_logits / temperature).log_softmax(1), (teacher_logits / temperature).log_softmax(1)
    return mean(divergence(log_q, log_p), weight) * temperature**2
