"""Cross-modal relations: how near a row's picture is to another row's title, learned without a common space.

    mean over pairs m < n of modalities and rows i, j of (R_mn,ij(student) - R_mn,ij(teacher))^2
    R_mn,ij = cos(r_m,i, r_n,j)      r_m,i = (cos(f_m,i, f_m,a)) over all rows a of the batch

Features of two modalities have different widths and axes. A row's similarities to the batch's rows describe it without
either (relative representations, Moschella et al. 2023), so they can be compared across modalities, and with the
teacher's. Over rows that have all the modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal, cast

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Modalities, Weight
from ..row_ops import (
    answered_rows,
    both,
    exact,
    features,
    full,
    modalities,
    require_size,
    select_rows,
    taps,
    unit,
    zero_loss,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind modality_hints: two rows have one relation"

DOCS = LossDocs(
    summary="Relations between rows across modalities, in relative representations (Moschella et al. 2023).",
    example="relations: {kind: cross_modal_relation}",
    meaning={"en": "how the teacher's modalities relate", "zh": "教师各模态之间的关系"},
    paper="Moschella et al. 2023",
    formula="squared gap of cosines between relative representations of two modalities",
    helps="widths differ between modalities, and from the teacher",
    pitfalls="rows that have all of the modalities only; 3 rows",
)


class Settings(PartSettings):
    """Which modalities; none named: all that both have."""

    kind: Literal["cross_modal_relation"] = "cross_modal_relation"
    weight: Weight = 1.0
    modalities: Modalities = ()


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature of each modality; ``*`` stands for those that both have."""
    return settings.modalities or ("*",)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters, and no widths to agree on."""
    from torch import nn

    names = settings.modalities or [n for n in modalities(student) if n in teacher]
    if len(names) < 2:
        raise ValueError(
            f"it compares modalities, got {', '.join(names) or 'none'} that both have; use kind similarity"
        )
    for name in names:
        taps(name, student, teacher)
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_m) of each modality -> scalar."""
    names = settings.modalities or [n for n in student.features if n in teacher]
    pairs = [features(student, teacher, name) for name in names]
    row_mask = None
    for _, f_t, has_modality in pairs:
        row_mask = answered_rows(f_t, both(row_mask, has_modality))
    rows = select_rows(row_mask, *(f_s for f_s, _, _ in pairs), *(f_t for _, f_t, _ in pairs))
    if len(rows[0]) < MIN_ROWS:
        return zero_loss(rows[0])
    return cross_modal_relation(rows[: len(names)], rows[len(names) :])


def cross_modal_relation(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Features (B, D_m) of the same modalities in the same order, of both, B at least 3 -> scalar. UsageError with
    fewer rows."""
    require_size("cross_modal_relation", student[0], MIN_ROWS, "rows", HINT)
    f_s, f_t = [_relative(exact(x)) for x in student], [_relative(exact(x.detach())) for x in teacher]
    gaps = []
    for m, n in combinations(range(len(f_s)), 2):
        with full(f_s[0]):
            gaps.append((f_s[m] @ f_s[n].t() - f_t[m] @ f_t[n].t()).square().mean())
    return cast("Tensor", sum(gaps)) / len(gaps)


def _relative(x: Tensor) -> Tensor:
    """(B, D) -> (B, B): each row's cosines with all rows, as a vector of length 1."""
    x = unit(x)
    with full(x):
        return unit(x @ x.t())
