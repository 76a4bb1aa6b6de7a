"""A hint for every modality (UMT, Du et al. 2023): each feature of the student meets the teacher's of that modality.

    mean over m of (1/n_m) sum over the rows that have m of mean_d (W_m h_m - h_m^t)^2

In joint training a network leans on the modality that is learned first; a target of its own for each mends that.
Mean over modalities, where the paper adds them up, so that a weight means the same for two and for five. The projectors
W_m are trained with the student and no part of it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Modalities, Weight
from ..row_ops import clean, exact, features, mean, modalities, taps

if TYPE_CHECKING:
    from torch import Tensor, nn

DOCS = LossDocs(
    summary="One hint per modality (UMT, Du et al. 2023), each with its own projector.",
    example="hints: {kind: modality_hints}",
    meaning={"en": "the teacher's features of each modality", "zh": "教师各模态的特征"},
    paper="Du et al. 2023",
    formula="a hint for each modality, their mean",
    projector="yes",
    helps="a modality that joint training neglects; a very small student (easy-VQA, 6,323 parameters)",
    pitfalls="the paper's teachers saw one modality each",
)
EXAMPLES = ({}, {"modalities": ("picture",)})


class Settings(PartSettings):
    """Which modalities; none named: all that both have."""

    kind: Literal["modality_hints"] = "modality_hints"
    weight: Weight = 1.0
    modalities: Modalities = ()


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's feature of each modality; ``*`` stands for those that both have."""
    return settings.modalities or ("*",)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """A projector for each modality, student width -> teacher width."""
    from torch import nn

    names = settings.modalities or [n for n in modalities(student) if n in teacher]
    if not names:
        raise ValueError("student and teacher share no modality's feature; use kind hint with tap fused, or kind kd")
    return nn.ModuleDict({f"project_{name}": nn.Linear(*taps(name, student, teacher)) for name in names})


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D_m) of each modality -> scalar."""
    f_s, f_t, present = {}, {}, {}
    for key, project in layers.items():
        name = key.removeprefix("project_")
        feature, f_t[name], row_mask = features(student, teacher, name)
        (feature,) = clean(row_mask, feature)  # before the projector, whose gradient is a sum over rows
        f_s[name] = project(feature)
        if row_mask is not None:
            present[name] = row_mask
    return modality_hints(f_s, f_t, present)


def modality_hints(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    present: Mapping[str, Tensor] | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Modality -> features (B, D_m) after projection, of both; modality -> rows (B,) bool that have it, where some lack
    it; weights (B,) -> scalar (Du et al. 2023)."""
    terms = []
    for name, f_s in student.items():
        row_mask = (present or {}).get(name)
        share = weight if row_mask is None else row_mask if weight is None else row_mask * weight
        a, b = clean(share, exact(f_s), exact(teacher[name].detach()))
        terms.append(mean((a - b).square().mean(1), share))
    return cast("Tensor", sum(terms)) / len(terms)
