"""Normalised distillation (Yang et al. 2023):

    -(1/B) sum_b [p_t(y) log p_s(y) + gamma T^2 sum_{i != y} p^_t,i log p^_s,i]

y the label, the first part at temperature 1, p^ = softmax over all classes but y at temperature T. A cross-entropy: at
its minimum it isn't 0. Added to ``task``. With two classes the second part is 0 whatever the logits, and so it is in
a row in which the teacher rules out all classes but y (z = -inf).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Weight
from ..row_ops import clean, exact, mean, require_size, times_log, trusted_rows, without_target

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
MIN_CLASSES, HINT = 3, "use kind kd: with two classes there is one other class, and nothing to normalise"
ZERO_AT_TEACHER = False  # its minimum has entropy

DOCS = LossDocs(
    summary="Normalised distillation (Yang et al. 2023), used beside `task`. Unlabelled rows as in `dkd`.",
    example="soft: {kind: nkd, gamma: 1.5}",
    meaning={
        "en": "the teacher's soft labels, the right class apart from the others",
        "zh": "教师的软标签，正确类别与其余分开",
    },
    paper="Yang et al. 2023",
    formula="-p(y) log q(y) - γ T² sum over others p̂ log q̂",
    helps="added to `task`",
    pitfalls="not 0 at its minimum; labels as in `dkd`",
)
EXAMPLES = ({}, {"temperature": 2.0, "gamma": 0.5})


class Settings(PartSettings):
    """Temperature T and weight of the second part; least confidence of the teacher in rows without a label."""

    kind: Literal["nkd"] = "nkd"
    weight: Weight = 1.0
    temperature: float = Setting(default=1.0, gt=0, description="Softmax temperature of the non-target part.")
    gamma: float = Setting(default=1.5, ge=0, description="Weight of the non-target part.")
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C), target (B,) int64 -> scalar. In rows without a label the teacher's answer stands in."""
    z_t = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, z_t, target, student.head)
    target = target.where(target >= 0, z_t.argmax(1))
    return nkd(student.logits, z_t, target, settings.temperature, settings.gamma, row_mask)


def nkd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    temperature: float,
    gamma: float,
    weight: Tensor | None = None,
) -> Tensor:
    """Both logits (B, C), C at least 3, target (B,) int64, weights (B,) -> scalar (Yang et al. 2023). UsageError with
    two classes."""
    require_size("nkd", student, MIN_CLASSES, "classes", HINT)
    z_s, z_t, target = clean(weight, exact(student), exact(teacher.detach()), target)
    own, (others_s, others_t, has_others) = target.unsqueeze(1), without_target(z_s, z_t, target)
    is_target = times_log(z_t.log_softmax(1).gather(1, own).exp(), z_s.log_softmax(1).gather(1, own))
    p, log_q = (others_t / temperature).softmax(1), (others_s / temperature).log_softmax(1)
    which_other = times_log(p, log_q).sum(1).where(has_others, 0.0)
    return -mean(is_target.squeeze(1) + gamma * temperature**2 * which_other, weight)
