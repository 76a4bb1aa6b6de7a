"""Contrastive representation distillation (Tian et al. 2020) with the batch's other rows as negatives:

    -(1/2B) sum_b [log softmax_j(s_b . t_j / T)_b + log softmax_j(s_j . t_b / T)_b]      s = W f_s, t = f_t, length 1

both directions. Rows that are one for the teacher (a picture that two rows share) are no negatives of each other. The
batch stands in for the paper's memory bank, which would be state to keep by process; the more rows, the better. At its
minimum it isn't 0. The projector W is trained with the student and no part of it afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import exact, features, full, require_size, select_rows, taps, unit, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

SAME = 1 - 1e-6  # cosine from which two rows of the teacher are one
MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: there are no negatives to speak of"
ZERO_AT_TEACHER = False  # a cross-entropy among the batch

DOCS = LossDocs(
    summary=(
        "Contrastive distillation (Tian et al. 2020) with the other rows of the batch as negatives, through a "
        "projector."
    ),
    example="contrast: {kind: crd, tap: fused, weight: 0.1}",
    meaning={"en": "which of the teacher's rows is one's own", "zh": "教师的哪一行是自己的"},
    paper="Tian et al. 2020",
    formula="cross-entropy of finding the own row among the batch, both directions",
    projector="yes",
    helps="retrieval; many classes",
    pitfalls="larger batches are better; rows that are equal for the teacher aren't negatives; not 0 at its minimum",
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture", "temperature": 0.5}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name; temperature T."""

    kind: Literal["crd"] = "crd"
    weight: Weight = 1.0
    tap: Tap = "fused"
    teacher_tap: TeacherTap = ""
    temperature: float = Setting(default=0.1, gt=0, description="Temperature of the contrastive softmax.")


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature at the tap."""
    return (settings.teacher_tap or settings.tap,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """The projector, student width -> teacher width."""
    from torch import nn

    widths = taps(settings.tap, student, teacher, settings.teacher_tap)
    return nn.ModuleDict({"project": nn.Linear(*widths)})


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_s) and (B, D_t) -> scalar, over the rows that have both."""
    f_s, f_t, row_mask = features(student, teacher, settings.tap, settings.teacher_tap)
    f_s, f_t = select_rows(row_mask, f_s, f_t)
    projected = layers["project"](f_s)
    return crd(projected, f_t, settings.temperature) if len(f_s) >= MIN_ROWS else zero_loss(projected)


def crd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Features (B, D) of both, after projection, B at least 2 -> scalar (Tian et al. 2020). UsageError with one row."""
    require_size("crd", student, 2, "rows", HINT)
    f_s, f_t = unit(exact(student)), unit(exact(teacher.detach()))
    with full(f_s):
        scores, same = f_s @ f_t.t() / temperature, f_t @ f_t.t() > SAME
    same.fill_diagonal_(False)
    scores = scores.masked_fill(same, -math.inf)
    return -(scores.log_softmax(1).diagonal() + scores.log_softmax(0).diagonal()).mean() / 2
