"""Relational distillation by distances (Park et al. 2019):

    mean over pairs i != j of h(d_ij / mu_s - D_ij / mu_t)

d and D the Euclidean distances between the student's and between the teacher's rows, mu the mean of those above 0, h
Huber's function with delta 1. Rows that are equal have distance 0 and give no gradient (that of a plain square root
would be NaN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import exact, features, full, require_size, select_rows, taps, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: two rows have one distance, and divided by its mean it is 1"

DOCS = LossDocs(
    summary="Relational distillation by distances (Park et al. 2019).",
    example="relations: {kind: rkd_distance, tap: fused}",
    meaning={"en": "how far rows are from each other for the teacher", "zh": "教师眼中各行之间的距离"},
    paper="Park et al. 2019",
    formula="Huber of distances, each divided by their mean",
    helps="as above; metric features",
    pitfalls="equal rows have no gradient; 3 rows",
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture"}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name."""

    kind: Literal["rkd_distance"] = "rkd_distance"
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
    return rkd_distance(f_s, f_t) if len(f_s) >= MIN_ROWS else zero_loss(f_s)


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Features (B, D_s) and (B, D_t), B at least 3 -> scalar (Park et al. 2019). UsageError with fewer rows."""
    from torch.nn import functional as F

    require_size("rkd_distance", student, MIN_ROWS, "rows", HINT)
    f_s, f_t = _distances(exact(student)), _distances(exact(teacher.detach()))
    count = len(f_s)
    return F.smooth_l1_loss(f_s, f_t, reduction="sum") / (count * (count - 1))


def _distances(x: Tensor) -> Tensor:
    """(B, D) -> (B, B), with a mean of 1 over those above 0. By differences: through products small ones are noise."""
    import torch

    with full(x):
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    apart = (distances > 0).sum().clamp(min=1)
    middle = distances.sum() / apart
    return distances / middle.where(middle > 0, 1.0)
