"""Relational distillation by distances (Park et al. 2019):

    mean over pairs i != j of h(d_ij / mu_s - D_ij / mu_t)

d and D the Euclidean distances between the student's and between the teacher's rows, mu the mean of those above 0, h
Huber's function with delta 1. Rows that are equal have distance 0 and give no gradient (that of a plain square root
would be NaN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import Output
from ..row_ops import exact, features, full, require_size, select_rows, taps, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: two rows have one distance, and divided by its mean it is 1"


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name."""

    kind: Literal["rkd_distance"] = "rkd_distance"
    weight: float = Setting(default=1.0, gt=0)
    tap: str = "fused"
    teacher_tap: str = ""  # the teacher's, where it has another name


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
