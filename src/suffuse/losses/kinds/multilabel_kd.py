"""Distillation of independent labels: every label is a question of its own with two answers (Yang et al. 2023, L2D).

    T^2 (1/B) sum_b sum_c KL(Bernoulli(p_bc) || Bernoulli(q_bc))    p, q = sigmoid(z_teacher / T), sigmoid(z / T)

in log space and float32. A softmax over labels would make them compete, which they don't. In a recipe this sum is
divided by C, as the labels' own loss is a mean over them: so one weight means the same for few labels and for many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import LABELS, Output
from .. import LossDocs, Weight
from ..row_ops import clean, exact, label_divergence, mean, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (LABELS,)

DOCS = LossDocs(
    summary="Binary KL divergence per label (Yang et al. 2023), averaged over labels.",
    example="soft: {kind: multilabel_kd, weight: 0.9}",
    meaning={"en": "the teacher's probability of each label", "zh": "教师对各标签的概率"},
    paper="Yang et al. 2023",
    formula="T² sum_c KL of two Bernoullis",
    helps="labels that don't exclude each other",
    pitfalls=(
        "a softmax over labels would be wrong; the function sums over labels, a recipe averages them, as in `task`"
    ),
)
EXAMPLES = ({"temperature": 1.0}, {"temperature": 3.0})


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher, a mean over labels, in rows without any."""

    kind: Literal["multilabel_kd"] = "multilabel_kd"
    weight: Weight = 1.0
    temperature: float = Setting(default=1.0, gt=0, description="Sigmoid temperature of teacher and student.")
    confidence: float = Setting(
        default=0.0,
        ge=0,
        le=1,
        description="Smallest confidence of the teacher on unlabelled rows, a mean over labels.",
    )


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar, a mean over labels."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return multilabel_kd(student.logits, teacher_logits, settings.temperature, row_mask) / teacher_logits.shape[1]


def multilabel_kd(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), weights (B,) -> scalar, a sum over labels (Yang et al. 2023)."""
    student_logits, teacher_logits = clean(weight, exact(student) / temperature, exact(teacher.detach()) / temperature)
    return mean(label_divergence(student_logits, teacher_logits).sum(1), weight) * temperature**2
