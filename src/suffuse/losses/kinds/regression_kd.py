"""Distillation of a number (Chen et al. 2017):

    plain     (1/B) sum_b (z_b - t_b)^2
    bounded   (1/B) sum over rows where (z_b - y_b)^2 + m > (t_b - y_b)^2 of (z_b - y_b)^2

z the student's, t the teacher's, y the label, all standardised. A teacher can be far off where a class has no such
freedom: bounded, it is no target but a bar, and a student that is better by the margin m is left alone. Rows without
a label have no bar; there the plain form is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import NUMBER, Output
from .. import LossDocs, Weight
from ..row_ops import answered_rows, clean, exact, mean

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (NUMBER,)

DOCS = LossDocs(
    summary="Distillation of a number (Chen et al. 2017).",
    example="soft: {kind: regression_kd, form: bounded}",
    meaning={"en": "the teacher's numbers", "zh": "教师给出的数值"},
    paper="Chen et al. 2017",
    formula="(s - t)², or (s - y)² where the student is worse than the teacher by the margin",
    helps="few or noisy labels (plain); a teacher that may be far off (bounded)",
    pitfalls="no temperature; numbers are standardised",
)
EXAMPLES = ({"form": "plain"}, {"form": "bounded"}, {"form": "bounded", "margin": 0.2})


class Settings(PartSettings):
    """Whether the teacher is a target or a bar, and the margin m (of squared standard deviations)."""

    kind: Literal["regression_kd"] = "regression_kd"
    weight: Weight = 1.0
    form: Literal["plain", "bounded"] = Setting(
        default="plain",
        description=(
            "`plain`: squared distance to the teacher. `bounded`: squared error against the label, only where the "
            "student is worse than the teacher by the margin."
        ),
    )
    margin: float = Setting(default=0.0, ge=0, description="Margin in squared standard deviations, for `bounded`.")


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both numbers (B, 1), target (B,) float with NaN where there is no label -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = answered_rows(teacher_logits)
    if settings.form == "plain":
        return regression_kd(student.logits, teacher_logits, weight=row_mask)
    return regression_kd(student.logits, teacher_logits, target, settings.margin, row_mask)


def regression_kd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor | None = None,
    margin: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Both numbers (B,) or (B, 1), weights (B,) -> scalar; bounded where there is a target (B,), NaN where a row has no
    label (Chen et al. 2017)."""
    student_logits, teacher_logits = clean(weight, exact(student).flatten(), exact(teacher.detach()).flatten())
    if target is None:
        return mean((student_logits - teacher_logits).square(), weight)
    known = ~target.isnan()
    goal = target.to(student_logits.dtype).where(known, teacher_logits)
    gap = (student_logits - goal).square()
    behind = ~known | (gap.detach() + margin > (teacher_logits - goal).square())
    return mean(gap.where(behind, 0.0), weight)
