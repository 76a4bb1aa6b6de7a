"""Transfer of fusion weights: the student counts on each modality as much as the teacher does.

    (1/B) sum_b KL(v_b || w_b)      v, w the teacher's and the student's gates, each divided by its sum over the
                                    modalities that the student has in that row

So a row in which the student lacks a modality learns how the teacher weighs the others among themselves, and a row
with one modality nothing. The divergence between attentions of DIDE (Wang et al. 2022), on the shares of modalities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Weight
from ..row_ops import clean, exact, mean

if TYPE_CHECKING:
    from torch import Tensor, nn

HINT = "use kind modality_hints or kd"
SMALLEST = 1e-12  # share of a modality

DOCS = LossDocs(
    summary="The teacher's fusion weights, renormalised over the student's modalities in each row.",
    example="gates: {kind: gate_transfer, weight: 0.1}",
    meaning={"en": "how much the teacher counts on each modality", "zh": "教师对各模态的倚重程度"},
    paper="Wang et al. 2022, on shares of modalities",
    formula="KL of the gates, renormalised over what the student has",
    helps="a student that relies on one modality; missing modalities",
    pitfalls="both fusions need learned gates; the teacher's gates need not be faithful",
)


class Settings(PartSettings):
    """Nothing to choose."""

    kind: Literal["gate_transfer"] = "gate_transfer"
    weight: Weight = 1.0


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's gates, in the student's order of modalities; NaN of one that the teacher doesn't read."""
    return ("gates",)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters."""
    from torch import nn

    for role, taps in (("student", student), ("teacher", teacher)):
        if "gates" not in taps:
            raise ValueError(f"the {role}'s fusion has no gates; {HINT}, or another fusion: gated, softmax_gate ...")
    if student["gates"] < 2:
        raise ValueError(f"the student has one modality, whose share is always 1; {HINT}")
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Gates (B, M) of both -> scalar."""
    import torch

    teacher_gates, student_gates = teacher["gates"].detach(), student.gates
    assert student_gates is not None, "layers() has refused a student without gates"
    known = ~teacher_gates.isnan()
    has_modality = [student.present.get(name) for name in student.features]
    columns = [known[:, m] if mask is None else mask & known[:, m] for m, mask in enumerate(has_modality)]
    return gate_transfer(student_gates, teacher_gates, torch.stack(columns, dim=1))


def gate_transfer(student: Tensor, teacher: Tensor, present: Tensor, weight: Tensor | None = None) -> Tensor:
    """Gates (B, M) of both, present (B, M) bool what the student has, weights (B,) -> scalar. Rows in which neither, or
    only one of them, counts on any of it are left out."""
    student_gates, teacher_gates = clean(weight, exact(student), exact(teacher.detach()))
    student_gates, teacher_gates = student_gates.where(present, 0.0), teacher_gates.where(present, 0.0)
    total_s, total_t = student_gates.sum(1, keepdim=True), teacher_gates.sum(1, keepdim=True)
    valid = ((total_s > SMALLEST) & (total_t > SMALLEST)).squeeze(1)
    q, p = (
        student_gates / total_s.where(total_s > SMALLEST, 1.0),
        teacher_gates / total_t.where(total_t > SMALLEST, 1.0),
    )
    each = p * (p.clamp(min=SMALLEST).log() - q.clamp(min=SMALLEST).log())
    rows = each.where(present, 0.0).sum(1)
    return mean(rows.where(valid, 0.0), valid if weight is None else valid * weight)
