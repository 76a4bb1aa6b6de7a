"""Logit standardisation (Sun et al. 2024): kd between z-scores,

    T^2 (1/B) sum_b KL(softmax(n(z_t) / T) || softmax(n(z_s) / T))      n(z) = (z - mean_c z) / (std_c z + 1e-7)

with the unbiased deviation over classes; mean and deviation are without those that are ruled out (z = -inf). The
student learns the order and the spacing of the teacher's answers, not how sure it is: check its calibration. With two
classes n(z) is always (0.707, -0.707).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Weight
from ..row_ops import clean, divergence, exact, mean, require_size, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
CONTINUOUS_AT_0 = False
SMALLEST = 1e-6  # deviation that is told from none
MIN_CLASSES, HINT = 3, "use kind kd: with two classes a standardised logit is a constant"

DOCS = LossDocs(
    summary="KL divergence of standardised logits (Sun et al. 2024).",
    example="soft: {kind: lskd, temperature: 2}",
    meaning={"en": "the teacher's soft labels, standardised", "zh": "教师的软标签，经标准化"},
    paper="Sun et al. 2024",
    formula="T² KL of z-scores of the logits",
    helps="teacher and student logits differ in size",
    pitfalls="ignores the teacher's confidence: check calibration; two classes give a constant",
)


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher in rows without a label."""

    kind: Literal["lskd"] = "lskd"
    weight: Weight = 1.0
    temperature: float = Setting(default=2.0, gt=0, description="Softmax temperature after standardisation.")
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return lskd(student.logits, teacher_logits, settings.temperature, row_mask)


def lskd(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), C at least 3, weights (B,) -> scalar (Sun et al. 2024). UsageError with two classes."""
    require_size("lskd", student, MIN_CLASSES, "classes", HINT)
    student_logits, teacher_logits = clean(weight, exact(student), exact(teacher.detach()))
    log_q, log_p = ((_standard(z) / temperature).log_softmax(1) for z in (student_logits, teacher_logits))
    return mean(divergence(log_p, log_q), weight) * temperature**2


def _standard(logits: Tensor) -> Tensor:
    """(B, C) -> z-scores; zeros without a gradient where all are equal: it would be 1e7, and of ``std`` NaN. Of classes
    that are ruled out (-inf) they stay that, and the others' mean and deviation are without them."""
    finite = logits > -math.inf
    count = finite.sum(1, keepdim=True)
    centred = logits.where(finite, 0.0)
    centred = (centred - centred.sum(1, keepdim=True) / count).where(finite, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)
    apart = variance > SMALLEST**2
    deviation = variance.where(apart, 1.0).sqrt()
    return (centred.where(apart, 0.0) / (deviation + 1e-7)).where(finite, -math.inf)
