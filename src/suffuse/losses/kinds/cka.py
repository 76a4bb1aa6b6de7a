"""Centred kernel alignment (Kornblith et al. 2019) with the unbiased estimator of HSIC (Song et al. 2012):

    1 - H(K, L) / sqrt(H(K, K) H(L, L))      K = F_s F_s^T, L = F_t F_t^T with zeros on their diagonals
    H(K, L) = [tr(K L) + 1'K1 1'L1 / ((B - 1)(B - 2)) - 2 1'K L 1 / (B - 2)] / (B (B - 3))

The plain estimator finds independent features alike: 0.94 for 128 numbers in 8 rows, where this one has mean 0.
Turning, shifting or scaling all rows changes nothing. It can be above 1, where the estimate is negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Tap, TeacherTap, Weight
from ..row_ops import exact, features, full, require_size, select_rows, taps, unit, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST = 1e-6  # of an estimate that is divided by
MIN_ROWS, HINT = 4, "use a larger batch, or kind hint: the unbiased estimate needs four rows"

DOCS = LossDocs(
    summary="Debiased centred kernel alignment (Kornblith et al. 2019).",
    example="alignment: {kind: cka}",
    meaning={"en": "the shape of the teacher's features", "zh": "教师特征的形状"},
    paper="Kornblith et al. 2019, Song et al. 2012",
    formula="1 - unbiased CKA",
    helps="whole representations, up to rotation and scale",
    pitfalls=(
        "the plain estimator gives 0.94 to independent features (8 rows, 128 numbers); noisy below some 32 rows; 4 rows"
    ),
)
EXAMPLES = ({"tap": "fused"}, {"tap": "picture"}, {"tap": "question", "teacher_tap": "picture"})


class Settings(PartSettings):
    """Which tap, ``fused`` or a modality's name."""

    kind: Literal["cka"] = "cka"
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
    return cka(f_s, f_t) if len(f_s) >= MIN_ROWS else zero_loss(f_s)


def cka(student: Tensor, teacher: Tensor) -> Tensor:
    """Features (B, D_s) and (B, D_t), B at least 4 -> scalar (Kornblith et al. 2019). UsageError with fewer rows."""
    require_size("cka", student, MIN_ROWS, "rows", HINT)
    f_s, f_t = _kernel(exact(student)), _kernel(exact(teacher.detach()))
    own = _hsic(f_s, f_s).clamp(min=SMALLEST) * _hsic(f_t, f_t).clamp(min=SMALLEST)
    return 1 - _hsic(f_s, f_t) / own.sqrt()


def _kernel(x: Tensor) -> Tensor:
    """(B, D) -> products of centred rows (B, B) without the diagonal, their squares having mean 1."""
    with full(x):
        centred = x - x.mean(0)
        kernel = centred @ centred.t()
    kernel = kernel - kernel.diagonal().diag()
    return unit(kernel.flatten(), 0).reshape(kernel.shape) * len(x)


def _hsic(k: Tensor, m: Tensor) -> Tensor:
    """The unbiased estimate, of symmetric kernels without a diagonal."""
    count, rows_k, rows_m = len(k), k.sum(0), m.sum(0)
    middle = rows_k.sum() * rows_m.sum() / ((count - 1) * (count - 2)) - 2 / (count - 2) * (rows_k * rows_m).sum()
    return ((k * m).sum() + middle) / (count * (count - 3))
