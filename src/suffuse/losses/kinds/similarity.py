"""Similarity-preserving distillation (Tung & Mori 2019):

    |G_t - G_s|^2_F / B^2      G = F F^T, every row divided by its length

Rows that are alike for the teacher become alike for the student; the widths may differ. The formula is the paper's: a
sum over B^2 products of rows whose squares sum to 1, so it falls as 1 / B, and a weight is tied to its batch size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import exact, features, gram, require_size, select_rows, taps, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: two rows have one similarity"

DOCS = LossDocs(
    summary="Similarity-preserving distillation (Tung & Mori 2019).",
    example="relations: {kind: similarity, tap: fused}",
    meaning={"en": "which rows are alike for the teacher", "zh": "教师眼中哪些行相似"},
    paper="Tung & Mori 2019",
    formula="squared gap of row-normalised Gram matrices / B²",
    helps="widths or architectures differ",
    pitfalls="falls as 1 / B: weight and batch belong together",
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture"}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name."""

    kind: Literal["similarity"] = "similarity"
    weight: Weight = 1.0
    tap: Tap = "fused"
    teacher_tap: TeacherTap = ""


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature at the tap."""
    return (settings.teacher_tap or settings.tap,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters, and no widths to agree on."""
    from torch import nn

    taps(settings.tap, student, teacher, settings.teacher_tap)
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_s) and (B, D_t) -> scalar, over the rows that have both."""
    f_s, f_t, row_mask = features(student, teacher, settings.tap, settings.teacher_tap)
    f_s, f_t = select_rows(row_mask, f_s, f_t)
    return similarity(f_s, f_t) if len(f_s) >= MIN_ROWS else zero_loss(f_s)


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Features (B, D_s) and (B, D_t), B at least 2 -> scalar (Tung & Mori 2019). UsageError with one row."""
    require_size("similarity", student, 2, "rows", HINT)
    return (gram(exact(student)) - gram(exact(teacher.detach()))).square().mean()
