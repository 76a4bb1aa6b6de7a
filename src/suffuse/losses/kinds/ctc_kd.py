"""Frame-wise distillation of CTC outputs (Senior et al. 2015):

    T^2 (1/B) sum_b sum_t w_bt KL(p_bt || q_bt) / sum_t w_bt      p, q = softmax(z_teacher / T), softmax(z_student / T)

What w_bt is, by ``blank``, with b_bt the teacher's probability of blank at T = 1:

    all     1: as in the paper
    drop    1 where b_bt is less than ``threshold``, 0 elsewhere: only frames in which the teacher says something
    weigh   1 - b_bt

Most frames of a CTC network are blank, and say little. Frames after a row's end always have w = 0, and a row without a
frame that counts is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...transcripts.units import certain_blank
from ...types import BLANK, TOKENS, Output
from .. import Confidence, LossDocs, Temperature, Weight
from ..frame_ops import frame_divergence, frames_of, recorded_rows
from ..row_ops import clean, exact, mean, trusted_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = (TOKENS,)

DOCS = LossDocs(
    summary="Frame-wise distillation of a sequence (Senior et al. 2015).",
    example="soft: {kind: ctc_kd, weight: 0.9, blank: weigh}",
    meaning={"en": "the teacher's probabilities in every frame", "zh": "教师在每一帧给出的概率"},
    paper="Senior et al. 2015",
    formula="T² KL in each frame, a weighted mean over the row's frames",
    helps="the first to try for transcripts; rows without one",
    pitfalls=(
        "both networks must say a unit in the same frame: a teacher that hears more context is often later or earlier, "
        "add `guided_ctc` then; with `blank: all` most of it is about blank"
    ),
)
EXAMPLES = ({"temperature": 2.0}, {"blank": "drop", "threshold": 0.5}, {"blank": "weigh"})
Blank = Literal["all", "drop", "weigh"]


class Settings(PartSettings):
    """Temperature T; how frames count in which the teacher says nothing; least confidence of the teacher in rows
    without a label."""

    kind: Literal["ctc_kd"] = "ctc_kd"
    weight: Weight = 1.0
    temperature: Temperature = 1.0
    blank: Blank = Setting(
        default="all",
        description=(
            "`all`: every frame counts alike. `drop`: only those in which the teacher's probability of blank is below "
            "`threshold`. `weigh`: each by 1 minus that probability."
        ),
    )
    threshold: float = Setting(default=0.95, gt=0, le=1, description="Probability of blank, for `drop`.")
    confidence: Confidence = 0.0


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Both logits (B, T V) -> scalar."""
    teacher_logits = teacher["logits"].detach()
    row_mask = trusted_rows(settings.confidence, teacher_logits, target, student.head)
    frames, teacher_frames = (frames_of(logits, student.head) for logits in (student.logits, teacher_logits))
    return ctc_kd(frames, teacher_frames, settings.temperature, settings.blank, settings.threshold, row_mask)


def ctc_kd(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    blank: Blank = "all",
    threshold: float = 0.95,
    weight: Tensor | None = None,
) -> Tensor:
    """Both logits (B, T, V), weights (B,) -> scalar (Senior et al. 2015). Rows without a recording are left out."""
    weight = recorded_rows(weight, student, teacher)
    student, teacher = clean(weight, exact(student), exact(teacher.detach()))
    rows, counts = frame_divergence(student, teacher, temperature, frame_shares(teacher, blank, threshold))
    return mean(rows, weight * counts)


def frame_shares(teacher: Tensor, blank: Blank, threshold: float) -> Tensor:
    """The teacher's logits (B, T, V) -> what each frame counts (B, T)."""
    real = ~certain_blank(teacher)
    if blank == "all":
        return real.to(teacher.dtype)
    probability = teacher.softmax(2)[..., BLANK]
    share = 1 - probability if blank == "weigh" else (probability < threshold).to(teacher.dtype)
    return share * real
