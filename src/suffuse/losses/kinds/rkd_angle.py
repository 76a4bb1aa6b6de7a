"""Relational distillation by angles (Park et al. 2019):

    mean over triplets i, j, k, all different, of h(cos_s(i, j, k) - cos_t(i, j, k))

cos(i, j, k) that of the angle at j between x_i - x_j and x_k - x_j, h Huber's function with delta 1. Costs B^2 D + B^3
numbers, so in a recipe only the first ``most`` rows of a batch are compared; batches are shuffled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import exact, features, full, require_size, select_rows, taps, unit, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: there is no angle between two rows"

DOCS = LossDocs(
    summary="Relational distillation by angles (Park et al. 2019).",
    example="angles: {kind: rkd_angle, most: 32}",
    meaning={"en": "the angles between the teacher's rows", "zh": "教师各行之间的夹角"},
    paper="Park et al. 2019",
    formula="Huber of the cosines in triplets",
    helps="beside `rkd_distance`, with twice its weight",
    pitfalls="B³ numbers: `most` rows only",
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture", "most": 4}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name; rows of a batch that are compared."""

    kind: Literal["rkd_angle"] = "rkd_angle"
    weight: Weight = 1.0
    tap: Tap = "fused"
    teacher_tap: TeacherTap = ""
    most: int = Setting(default=64, ge=3, description="Rows per batch that are compared; cost grows with its cube.")


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
    f_s, f_t = (x[: settings.most] for x in select_rows(row_mask, f_s, f_t))
    return rkd_angle(f_s, f_t) if len(f_s) >= MIN_ROWS else zero_loss(f_s)


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Features (B, D_s) and (B, D_t), B at least 3 -> scalar (Park et al. 2019). UsageError with fewer rows."""
    from torch.nn import functional as F

    require_size("rkd_angle", student, MIN_ROWS, "rows", HINT)
    f_s, f_t = _cosines(exact(student)), _cosines(exact(teacher.detach()))
    count = len(f_s)
    return F.smooth_l1_loss(f_s, f_t, reduction="sum") / (count * (count - 1) * (count - 2))


def _cosines(x: Tensor) -> Tensor:
    """(B, D) -> (B, B, B): at j, between i and k; 0 where two of them are one row, or lie at one place."""
    import torch

    with full(x):
        away = unit(x.unsqueeze(0) - x.unsqueeze(1), dim=2)  # from j to i
        angles = away @ away.transpose(1, 2)
    return angles.where(~torch.eye(len(x), dtype=torch.bool, device=x.device), 0.0)
