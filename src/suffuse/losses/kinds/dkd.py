"""Decoupled distillation (Zhao et al. 2022):

    T^2 (1/B) sum_b [alpha KL(b_t || b_s) + beta KL(p^_t || p^_s)]

b = (p_y, 1 - p_y) with y the label, p^ = softmax over all classes but y, both at temperature T, all by logsumexp: a
logarithm of summed probabilities underflows. In ``kd`` the second part is weighed by 1 - p_y of the teacher, so little
where it is sure. With two classes the second part is 0 whatever the logits, and so it is in a row in which the teacher
rules out all classes but y (z = -inf).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Temperature, Weight
from ..row_ops import clean, divergence, exact, mean, require_size, times_log, trusted_rows, without_target

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
MIN_CLASSES, HINT = 3, "use kind kd: with two classes there is one other class, and nothing to decouple"

DOCS = LossDocs(
    summary=(
        "Decoupled distillation (Zhao et al. 2022): target class against the rest, and the non-target classes among "
        "themselves. On unlabelled rows the teacher's class is the target."
    ),
    example="soft: {kind: dkd, alpha: 1, beta: 4}",
    meaning={
        "en": "the teacher's soft labels, the right class apart from the others",
        "zh": "教师的软标签，正确类别与其余分开",
    },
    paper="Zhao et al. 2022",
    formula="T² [α KL(y or not) + β KL(the others)]",
    helps="a confident teacher, whose non-target classes have little weight in `kd`",
    pitfalls=(
        "β depends on the pair of networks (the paper: 0.5 to 8); needs labels, on rows without one the teacher's "
        "class is used; a large β needs warm-up"
    ),
)
EXAMPLES = ({}, {"temperature": 1.0, "alpha": 0.5, "beta": 8.0})


class Settings(PartSettings):
    """Temperature T, weights of the two parts; least confidence of the teacher in rows without a label."""

    kind: Literal["dkd"] = "dkd"
    weight: Weight = 1.0
    temperature: Temperature = 4.0
    alpha: float = Setting(default=1.0, ge=0, description="Weight of the target-class part.")
    beta: float = Setting(default=2.0, ge=0, description="Weight of the non-target part.")
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C), target (B,) int64 -> scalar. In rows without a label the teacher's answer stands in."""
    z_t = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, z_t, target, student.head)
    target = target.where(target >= 0, z_t.argmax(1))
    return dkd(student.logits, z_t, target, settings.temperature, settings.alpha, settings.beta, row_mask)


def dkd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    temperature: float,
    alpha: float,
    beta: float,
    weight: Tensor | None = None,
) -> Tensor:
    """Both logits (B, C), C at least 3, target (B,) int64, weights (B,) -> scalar (Zhao et al. 2022). UsageError with
    two classes."""
    require_size("dkd", student, MIN_CLASSES, "classes", HINT)
    z_s, z_t, target = clean(weight, exact(student), exact(teacher.detach()), target)
    z_s, z_t = z_s / temperature, z_t / temperature
    others_s, others_t, has_others = without_target(z_s, z_t, target)
    (own_s, rest_s), (own_t, rest_t) = (
        _split(z_s, others_s, target),
        _split(z_t, others_t, target),
    )
    is_target = times_log(own_t.exp(), own_t - own_s) + times_log(rest_t.exp(), rest_t - rest_s)
    which_other = divergence(others_t.log_softmax(1), others_s.log_softmax(1)).where(has_others, 0.0)
    return mean(alpha * is_target + beta * which_other, weight) * temperature**2


def _split(logits: Tensor, rest: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C), and (B, C - 1) without each row's target -> log p_y and log (1 - p_y), (B,) each."""
    total = logits.logsumexp(1)
    own = logits.gather(1, target.unsqueeze(1)).squeeze(1)
    return own - total, rest.logsumexp(1) - total
