"""The teacher's answer as a label (pseudo-labels, Lee 2013; hard-label distillation, Touvron et al. 2021):

    -(1/B) sum_b log q_b,argmax z_teacher      q = softmax(z_student)

It keeps nothing of what the teacher is unsure of; for a teacher that gives answers only, or for unlabelled rows with a
``confidence``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Weight
from ..row_ops import clean, exact, mean, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
ZERO_AT_TEACHER = False  # least where the student is sure

DOCS = LossDocs(
    summary="The teacher's most probable class as a label (Touvron et al. 2021).",
    example="hard: {kind: hard_label, confidence: 0.8}",
    meaning={"en": "the teacher's answers as labels", "zh": "把教师的答案当标签"},
    paper="Touvron et al. 2021",
    formula="-log q(argmax p), T = 1",
    helps="the teacher gives classes only; unlabelled rows",
    pitfalls="its errors become labels: set `confidence`",
)


class Settings(PartSettings):
    """Least confidence of the teacher in rows without a label."""

    kind: Literal["hard_label"] = "hard_label"
    weight: Weight = 1.0

    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return hard_label(student.logits, teacher_logits.argmax(1), row_mask)


def hard_label(student: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (B, C) against the teacher's answers (B,) int64, weights (B,) -> scalar (Touvron et al.
    2021)."""
    from torch.nn import functional as F

    student_logits, label = clean(weight, exact(student), label)
    return mean(F.cross_entropy(student_logits, label, reduction="none"), weight)
