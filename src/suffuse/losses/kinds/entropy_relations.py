"""Relations weighed by the teacher's doubt (MMANet, Wei et al. 2023):

    sum_b (H_b / sum H) |G_s,b - G_t,b|^2      G = F F^T, every row divided by its length; H the entropy of softmax(z_t)

Rows that the teacher is unsure of lie near a border, and count more; the entropy is computed from logarithms, so a
probability of 0 is no NaN. Where the teacher is sure of all rows it is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import CLASSES, Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import answered_rows, exact, features, gram, mean, require_size, select_rows, taps, times_log, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES,)
MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: two rows have one relation"

DOCS = LossDocs(
    summary="Relations between rows, weighted by the teacher's entropy (MMANet, Wei et al. 2023).",
    example="relations: {kind: entropy_relations}",
    meaning={
        "en": "which rows are alike for the teacher, most where it is unsure",
        "zh": "教师眼中哪些行相似，尤其在它不确定之处",
    },
    paper="Wei et al. 2023",
    formula="sum_b (H_b / sum H) of the squared gap between rows of normalised Gram matrices",
    helps="missing modalities: rows near a decision boundary count more",
    pitfalls=(
        "also reads a feature; 0 if the teacher is certain of everything; grows slightly with the batch; at least 3 "
        "rows"
    ),
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture"}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name."""

    kind: Literal["entropy_relations"] = "entropy_relations"
    weight: Weight = 1.0
    tap: Tap = "fused"
    teacher_tap: TeacherTap = ""


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature at the tap, and its logits."""
    return (settings.teacher_tap or settings.tap, "logits")


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters, and no widths to agree on."""
    from torch import nn

    taps(settings.tap, student, teacher, settings.teacher_tap)
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_s) and (B, D_t), the teacher's logits (B, C) -> scalar, over the rows that have all."""
    f_s, f_t, row_mask = features(student, teacher, settings.tap, settings.teacher_tap)
    logits = teacher["logits"].detach()
    f_s, f_t, logits = select_rows(answered_rows(logits, row_mask), f_s, f_t, logits)
    return entropy_relations(f_s, f_t, logits) if len(f_s) >= MIN_ROWS else zero_loss(f_s)


def entropy_relations(student: Tensor, teacher: Tensor, logits: Tensor) -> Tensor:
    """Features (B, D_s) and (B, D_t), the teacher's logits (B, C), B at least 2 -> scalar (Wei et al. 2023). UsageError
    with one row."""
    require_size("entropy_relations", student, 2, "rows", HINT)
    gap = gram(exact(student)) - gram(exact(teacher.detach()))
    log_p = exact(logits.detach()).log_softmax(1)
    return mean(gap.square().sum(1), -times_log(log_p.exp(), log_p).sum(1))
