"""Knowledge distillation (Hinton et al. 2015):

    T^2 (1/B) sum_b sum_c p_bc (log p_bc - log q_bc)      p, q = softmax(z_teacher / T), softmax(z_student / T)

in log space and float32: finite, with finite gradients, at any finite logits. A class that the teacher rules out
(z = -inf, p = 0) adds 0. T^2 keeps the gradient's size when T changes. Sum over classes, mean over rows; labels are not
used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import Confidence, LossDocs, Temperature, Weight
from ..row_ops import clean, divergence, exact, mean, savable, transformed, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn


HEADS = (CLASSES,)

DOCS = LossDocs(
    summary="Knowledge distillation (Hinton et al. 2015).",
    example="soft: {kind: kd, weight: 0.9, temperature: 4}",
    meaning={"en": "the teacher's soft labels", "zh": "教师的软标签"},
    paper="Hinton et al. 2015",
    formula="T² sum_c p log(p / q)",
    helps="the first to try",
    pitfalls=(
        "an overconfident teacher adds little to labels; a teacher trained with label smoothing adds, on its own "
        "training rows, little to what `smoothing` does; a mean over classes instead of the sum is C times weaker; T² "
        "keeps the gradient's size only for large T"
    ),
)
EXAMPLES = ({"temperature": 1.0}, {"temperature": 4.0})


class Settings(PartSettings):
    """Temperature T; least confidence of the teacher in rows without a label."""

    kind: Literal["kd"] = "kd"
    weight: Weight = 1.0
    temperature: Temperature = 2.0
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, C) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    return kd(student.logits, teacher_logits, settings.temperature, row_mask)


def kd(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Both logits (B, C), weights (B,) -> scalar (Hinton et al. 2015)."""
    student_logits, teacher_logits = clean(weight, exact(student), exact(teacher.detach()))
    if weight is None and student_logits.requires_grad and not transformed():  # the usual case
        return _closed()(student_logits, teacher_logits, temperature)
    log_q, log_p = (student_logits / temperature).log_softmax(1), (teacher_logits / temperature).log_softmax(1)
    return mean(divergence(log_p, log_q), weight) * temperature**2


@cache
def _closed() -> Callable[[Tensor, Tensor, float], Tensor]:
    """T^2 KL(p || q), with the gradient in closed form, T (q - p) / B: one node where autograd has six."""
    import torch

    class Divergence(torch.autograd.Function):
        @staticmethod
        def forward(ctx, student_logits: Tensor, teacher_logits: Tensor, heat: float) -> Tensor:
            # both at once, by hand: on a few classes each kernel of log_softmax takes as long as all of this
            both, count = torch.cat([teacher_logits, student_logits]), max(len(student_logits), 1)
            if heat != 1:
                both /= heat
            both -= both.amax(1, keepdim=True)
            powers = both.exp()
            total = powers.sum(1, keepdim=True)
            both -= total.log()
            (p, q), (log_p, log_q) = (powers / total).chunk(2), both.chunk(2)
            ctx.heat = heat
            ctx.save_for_backward(student_logits, savable(teacher_logits), (q - p) * (heat / count))
            gap = log_p - log_q
            kl = torch.dot(p.flatten(), gap.flatten())
            # a class is ruled out; asking costs a fraction of a mask, but on a device, where it has to be waited for
            if kl.device.type != "cpu" or not math.isfinite(kl.item()):
                kl = torch.dot(p.flatten(), gap.masked_fill(p == 0, 0.0).flatten())
            return kl * (heat**2 / count)

        @staticmethod
        def backward(ctx, *gradient: Tensor) -> tuple[Tensor, None, None]:
            student_logits, teacher_logits, slope = ctx.saved_tensors
            if torch.is_grad_enabled():  # it is differentiated again (create_graph): as a function of the logits
                q, p = (student_logits / ctx.heat).softmax(1), (teacher_logits / ctx.heat).softmax(1)
                slope = (q - p) * (ctx.heat / max(len(student_logits), 1))
            return gradient[0] * slope, None, None

    return Divergence.apply  # pyright: ignore
