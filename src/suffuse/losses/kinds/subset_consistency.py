"""Consistency between modality subsets: on fewer modalities the student agrees with itself on all that a row has.

    classes  T^2 KL(p || q)
    labels   T^2 mean_c KL(Bernoulli(p_c) || Bernoulli(q_c))
    number   (z_all - z_fewer)^2
    tokens   T^2 KL(p || q) in each frame, a mean over the row's frames

p = softmax (labels: sigmoid) of z_all / T, detached, q of z_fewer / T; mean over the rows from which modality dropout
took something in this step. No teacher and no label is read: self-distillation across subsets, as in slimmable networks
across widths (Yu & Huang 2019). The encoders run once; the fusion and the head run twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...transcripts.units import certain_blank
from ...types import CLASSES, LABELS, NUMBER, TOKENS, Output
from .. import LossDocs, Weight
from ..frame_ops import frame_divergence, frames_of, recorded_rows
from ..row_ops import clean, divergence, exact, label_divergence, mean

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (CLASSES, LABELS, NUMBER, TOKENS)
FULL_INPUT = True  # the student's logits on all modalities are read too

DOCS = LossDocs(
    summary="The student's output on a subset of modalities matches its own output on all of them.",
    example="consistency: {kind: subset_consistency, temperature: 2}",
    meaning={"en": "the student's own answer on all modalities", "zh": "学生在全部模态上的自身答案"},
    paper="Yu & Huang 2019",
    formula="T² KL of the student's output on all modalities, detached, and on fewer",
    helps="a student for any subset of modalities",
    pitfalls="needs modality dropout; doesn't use the teacher; dropped modalities are encoded too",
)
EXAMPLES = ({}, {"temperature": 2.0})


class Settings(PartSettings):
    """Temperature T."""

    kind: Literal["subset_consistency"] = "subset_consistency"
    weight: Weight = 1.0
    temperature: float = Setting(default=1.0, gt=0, description="Temperature of both outputs.")


def needs(settings: Settings) -> tuple[str, ...]:
    """Nothing of the teacher."""
    return ()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """The student's logits (B, C) and those on all modalities -> scalar; 0 where no row lost one."""
    if student.full_logits is None:
        return exact(student.logits[:0]).sum()
    kind = student.head.kind if student.head is not None else CLASSES
    logits, full = student.logits, student.full_logits
    if kind == TOKENS:
        logits, full = frames_of(logits, student.head), frames_of(full, student.head)
    return subset_consistency(logits, full, settings.temperature, student.is_partial, kind)


def subset_consistency(
    student: Tensor, full_logits: Tensor, temperature: float, weight: Tensor | None = None, head: str = CLASSES
) -> Tensor:
    """Logits (B, C), of a sequence (B, T, V), on fewer and on all modalities, weights (B,), the kind of target ->
    scalar. Of sequences, rows without a recording are left out."""
    if head == TOKENS:
        weight = recorded_rows(weight, student, full_logits)
    student, full = clean(weight, exact(student), exact(full_logits.detach()))
    if head == NUMBER:
        return mean((student - full).square().mean(1), weight)
    if head == TOKENS:
        rows, counts = frame_divergence(student, full, temperature, (~certain_blank(full)).to(full.dtype))
        return mean(rows, None if weight is None else weight * counts)
    student, full = student / temperature, full / temperature
    if head == LABELS:
        return mean(label_divergence(student, full).mean(1), weight) * temperature**2
    log_q, log_p = student.log_softmax(1), full.log_softmax(1)
    return mean(divergence(log_p, log_q), weight) * temperature**2
