"""Attention transfer (Zagoruyko & Komodakis 2017): where the student's features are strong, and where the teacher's.

    (1/B) sum_b sum_l (Q_s,bl - Q_t,bl)^2      Q = E / |E|_2, E_l = mean over channels of f_l^2

over the places l of a picture's activation map, or of a sequence's tokens; maps of different sizes are averaged down to
the smaller one. Channels are averaged first, so any two encoders can be compared. The paper's formula has the plain
norm, its code the mean over places, which makes a weight depend on their number; here it is the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import LOOK, MAP, Output
from .. import LossDocs, Weight
from ..row_ops import answered_rows, clean, exact, mean, unit

if TYPE_CHECKING:
    from torch import Tensor, nn

DOCS = LossDocs(
    summary=(
        "Energy of an encoder's tokens (Zagoruyko & Komodakis 2017): over 4 x 4 cells of a picture, over 16 segments "
        "of a sequence. The teacher's maps are stored only if a recipe uses them. Both encoders need tokens and must "
        "not be frozen."
    ),
    example="maps: {kind: attention_transfer, map: picture}",
    meaning={"en": "where the teacher's features are strong", "zh": "教师特征强的位置"},
    paper="Zagoruyko & Komodakis 2017",
    formula="sum over places of (Q_s - Q_t)², Q the normalised energies",
    helps="encoders of one kind in two sizes",
    pitfalls="the authors' code and paper differ; here a sum over places, so their number doesn't matter",
)
EXAMPLES = ({"map": "picture"},)


class Settings(PartSettings):
    """Which modality's map."""

    kind: Literal["attention_transfer"] = "attention_transfer"
    weight: Weight = 1.0
    map: str = Setting(description="Modality whose maps are compared.")


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's map of the modality."""
    return (settings.map + MAP,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters, and no widths to agree on."""
    from torch import nn

    for role, taps in (("student", student), ("teacher", teacher)):
        if settings.map + MAP not in taps:
            known = sorted(name.removesuffix(MAP) for name in taps if name.endswith(MAP) and LOOK not in name)
            hint = f"there is: {', '.join(known)}" if known else "use kind hint"
            raise ValueError(f"the {role} has no map of '{settings.map}' (an encoder with tokens, not frozen); {hint}")
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Energies (B, K) of both -> scalar, over the rows that have the modality."""
    teacher_maps = teacher[settings.map + MAP].detach()
    row_mask = answered_rows(teacher_maps, student.present.get(settings.map))
    return attention_transfer(student.maps[settings.map], teacher_maps, row_mask)


def attention_transfer(student: Tensor, teacher: Tensor, weight: Tensor | None = None) -> Tensor:
    """Activation maps (B, C, H, W), tokens (B, L, D), or energies (B, K) as they are, of both; weights (B,) -> scalar
    (Zagoruyko & Komodakis 2017)."""
    student_maps, teacher_maps = (_energy(x) for x in clean(weight, exact(student), exact(teacher.detach())))
    if student_maps.shape != teacher_maps.shape:
        student_maps, teacher_maps = _smaller(student_maps, teacher_maps)
    return mean((unit(student_maps.flatten(1)) - unit(teacher_maps.flatten(1))).square().sum(1), weight)


def _energy(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W); (B, L, D) -> (B, L)."""
    return x if x.dim() == 2 else x.square().mean(1 if x.dim() == 4 else 2)


def _smaller(student_maps: Tensor, teacher_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Both averaged down to the size of the smaller."""
    from torch.nn import functional as F

    size = [min(a, b) for a, b in zip(student_maps.shape[1:], teacher_maps.shape[1:], strict=True)]
    pool = F.adaptive_avg_pool2d if len(size) == 2 else F.adaptive_avg_pool1d
    shape = size if len(size) == 2 else size[0]
    student_maps, teacher_maps = (pool(x.unsqueeze(1), shape).squeeze(1) for x in (student_maps, teacher_maps))  # pyright: ignore
    return student_maps, teacher_maps
