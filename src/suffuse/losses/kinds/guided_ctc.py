"""Guided CTC (Kurata & Audhkhasi 2019): the student says a unit in the frame in which the teacher says it.

    probability   (1/B) sum_b (1/|G_b|) sum over t in G_b of 1 - q_bt,u
    log           (1/B) sum_b (1/|G_b|) sum over t in G_b of -log q_bt,u

G_b are the frames in which the teacher's most probable output is a unit, u_bt, and not blank; q = softmax(z_student).
The paper's idea, a mask of the teacher's units on the student's probabilities, is from its abstract; both formulas are
ours and may differ from its own. ``log`` is the cross-entropy in these frames; its gradient doesn't vanish where the
student gives the unit no probability. Rows in which the teacher says nothing are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import BLANK, TOKENS, Output
from .. import Confidence, LossDocs, Weight
from ..frame_ops import frame_mean, frames_of, recorded_rows
from ..row_ops import clean, exact, mean, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (TOKENS,)
ZERO_AT_TEACHER = False  # least where the student is sure

DOCS = LossDocs(
    summary="The student says each unit in the frame in which the teacher says it (Kurata & Audhkhasi 2019).",
    example="spikes: {kind: guided_ctc, weight: 0.5}",
    meaning={"en": "when the teacher says each unit", "zh": "教师在哪一帧说出每个单元"},
    paper="Kurata & Audhkhasi 2019",
    formula="1 - q(u), or -log q(u), in frames where the teacher's most probable output is a unit u",
    helps="beside `task` and `ctc_kd`: networks whose units come in other frames than the teacher's",
    pitfalls="reads when the teacher says what, not how sure it is; `probability` learns slowly where q(u) is near 0",
)
EXAMPLES = ({}, {"form": "log"})
Form = Literal["probability", "log"]


class Settings(PartSettings):
    """Probabilities or their logarithms; least confidence of the teacher in rows without a label."""

    kind: Literal["guided_ctc"] = "guided_ctc"
    weight: Weight = 1.0
    form: Form = Setting(
        default="probability",
        description="`probability`: 1 minus the student's probability of the unit. `log`: minus its logarithm.",
    )
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, T V) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    frames, teacher_frames = (frames_of(logits, student.head) for logits in (student.logits, teacher_logits))
    return guided_ctc(frames, teacher_frames, settings.form, row_mask)


def guided_ctc(student: Tensor, teacher: Tensor, form: Form = "probability", weight: Tensor | None = None) -> Tensor:
    """Both logits (B, T, V), weights (B,) -> scalar (Kurata & Audhkhasi 2019). Rows without a recording are left
    out."""
    weight = recorded_rows(weight, student, teacher)
    student, teacher = clean(weight, exact(student), exact(teacher.detach()))
    best = teacher.argmax(2)
    is_unit = best != BLANK
    log_q = student.where(is_unit.unsqueeze(2), 0.0).log_softmax(2).gather(2, best.unsqueeze(2)).squeeze(2)
    rows, counts = frame_mean(-log_q if form == "log" else 1 - log_q.exp(), is_unit.to(log_q.dtype))
    return mean(rows, weight * counts)
