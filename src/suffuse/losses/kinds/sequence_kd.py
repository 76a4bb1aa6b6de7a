"""Sequence-level distillation (Kim & Rush 2016; for CTC Takashima et al. 2018): the teacher's hypotheses as labels.

    (1/B) sum_b sum_n w_bn (-log q(y_bn | x_b)) / max(1, |y_bn|)       w_bn = p(y_bn | x_b) / sum_m p(y_bm | x_b)

y_b1, y_b2, ... are what the teacher's frames most probably say, p their probabilities, and q the student's, by CTC
(:mod:`suffuse.losses.ctc`). With ``n_best`` 1 it is the most probable path's units (greedy decoding), else what a
prefix beam search finds. It doesn't matter in which frames either network says a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field as Setting

from ...errors import UsageError
from ...registry import PartSettings
from ...transcripts.ctc_decoding import beam_search, log_softmax
from ...types import BLANK, TOKENS, Output
from .. import Confidence, LossDocs, Weight
from ..ctc import ctc_rows
from ..frame_ops import frames_of, recorded_rows
from ..row_ops import clean, exact, mean, transformed, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (TOKENS,)
ZERO_AT_TEACHER = False  # least where the student is sure

DOCS = LossDocs(
    summary="The teacher's decoded sequences as transcripts (Kim & Rush 2016; Takashima et al. 2018).",
    example="decoded: {kind: sequence_kd, confidence: 0.9}",
    meaning={"en": "the teacher's transcripts", "zh": "教师的转写文本"},
    paper="Kim & Rush 2016, Takashima et al. 2018",
    formula="CTC's loss on the teacher's n best sequences, weighed by their probabilities",
    helps="rows without a transcript; networks that say units in other frames than the teacher",
    pitfalls=(
        "its errors become labels: set `confidence`; `n_best` above 1 decodes every row in every step, in Python: more "
        "time than the network's step itself"
    ),
)
EXAMPLES = ({}, {"n_best": 3, "beam": 4})


class Settings(PartSettings):
    """How many hypotheses, and how they are searched; least confidence of the teacher in rows without a label."""

    kind: Literal["sequence_kd"] = "sequence_kd"
    weight: Weight = 1.0
    n_best: int = Setting(
        default=1,
        ge=1,
        le=100,
        description="Hypotheses of each row. 1: greedy decoding. More: a beam search in every step, which is slow.",
    )
    beam: int = Setting(default=8, ge=1, le=1000, description="Prefixes that the beam search keeps, for `n_best` > 1.")
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, T V) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    frames, teacher_frames = (frames_of(logits, student.head) for logits in (student.logits, teacher_logits))
    return sequence_kd(frames, teacher_frames, settings.n_best, settings.beam, row_mask)


def sequence_kd(
    student: Tensor, teacher: Tensor, n_best: int = 1, beam: int = 8, weight: Tensor | None = None
) -> Tensor:
    """Both logits (B, T, V), weights (B,) -> scalar (Kim & Rush 2016; Takashima et al. 2018). Rows without a recording
    are left out."""
    heard = recorded_rows(weight, teacher)
    (teacher,) = clean(heard, exact(teacher.detach()))
    weight = recorded_rows(heard, student)
    (student,) = clean(weight, exact(student))
    if n_best == 1:
        return mean(ctc_rows(student, greedy_targets(teacher)), weight)
    targets, posterior = beam_targets(teacher, n_best, beam, heard > 0)
    rows = ctc_rows(student.repeat_interleave(n_best, 0), targets.flatten(0, 1)).unflatten(0, posterior.shape)
    return mean((rows * posterior).sum(1), weight)


def greedy_targets(logits: Tensor) -> Tensor:
    """Logits (B, T, V) -> targets (B, 1 + T) of each row's most probable path: how many units, then the units."""
    import torch

    best = logits.argmax(2)
    before = torch.nn.functional.pad(best, (1, 0), value=BLANK)[:, :-1]
    is_first = (best != BLANK) & (best != before)
    place = is_first.cumsum(1)  # of each unit, from 1; all else is put in place 0, which the count then takes
    target = best.new_zeros(len(best), best.shape[1] + 1).scatter(1, place.where(is_first, 0), best)
    return torch.cat([is_first.sum(1, keepdim=True), target[:, 1:]], 1)


def beam_targets(logits: Tensor, n_best: int, beam: int, row_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V), rows (B,) that are decoded -> targets (B, n, 1 + L) of each row's hypotheses, and their
    probabilities (B, n), which sum to 1; 0 where a row has fewer. Of other rows the empty sequence. Raises UsageError
    inside of a transform of ``torch.func``."""
    import torch

    if transformed():  # it hides the numbers
        raise UsageError(
            "a beam search reads numbers, which torch.func hides", where="losses.sequence_kd",
            got=f"n_best = {n_best}", hint="use n_best = 1 inside of torch.func.grad, vmap and the like",
        )  # fmt: skip
    frames = zip(logits.cpu().double().numpy(), row_mask.tolist(), strict=True)
    nothing = np.zeros((0, logits.shape[2]))
    decoded = (log_softmax(row) if is_asked else nothing for row, is_asked in frames)
    rows = [beam_search(log_p, max(beam, n_best), n_best=n_best) for log_p in decoded]
    length = max((len(h.units) for found in rows for h in found), default=0)
    targets = torch.zeros(len(rows), n_best, 1 + length, dtype=torch.int64)
    log_p = torch.full((len(rows), n_best), -torch.inf, dtype=torch.float64)
    for row, found in enumerate(rows):
        for place, hypothesis in enumerate(found):
            targets[row, place, : 1 + len(hypothesis.units)] = torch.tensor([len(hypothesis.units), *hypothesis.units])
            log_p[row, place] = hypothesis.log_probability
    return targets.to(logits.device), log_p.softmax(1).to(logits)
