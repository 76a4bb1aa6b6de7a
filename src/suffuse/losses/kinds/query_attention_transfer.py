"""Where each target's query looks, in the student as in the teacher (MiniLM's attention transfer, Wang et al. 2020).

    (1/(B Q)) sum_b sum_q KL(a^t_bq || a^s_bq)      a_bq: query q's attention, spread over K stretches of a row

of networks whose fusion has a query for every target. The teacher says at which moment or word an answer stands, which
no label does: a small student with few rows else has to find the place before it can learn what is said there. The two
may read different forms of one thing (an embedding and a spectrogram of a recording): stretches are shares of its
length. A millionth is added to every share, and all are divided by their sum, so that all is finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import LOOK, Output
from .. import LossDocs, Weight
from ..row_ops import answered_rows, both, clean, exact, mean

if TYPE_CHECKING:
    from torch import Tensor, nn

FLOOR = 1e-6

DOCS = LossDocs(
    summary=(
        "Attention of each target's query (as in MiniLM, Wang et al. 2020) over 32 segments of a row's tokens. Both "
        "networks need the fusion `queries`; they may read two forms of one recording. The teacher's attention is "
        "stored only if a recipe uses it."
    ),
    example="attention: {kind: query_attention_transfer, map: sound, teacher: speech}",
    meaning={"en": "where the teacher's queries look", "zh": "教师的查询关注的位置"},
    paper="Wang et al. 2020",
    formula="mean over queries of KL(a_t ‖ a_s), a the attention over 32 stretches of a row",
    helps="few rows, and fusion `queries` in both networks: the teacher shows where to look",
    pitfalls="both must read the same content, possibly in two forms, along the same time or words",
)
EXAMPLES = ({"map": "picture"}, {"map": "question", "teacher": "picture"})


class Settings(PartSettings):
    """The modality that the queries attend to."""

    kind: Literal["query_attention_transfer"] = "query_attention_transfer"
    weight: Weight = 1.0
    map: str = Setting(description="The student's modality.")
    teacher: str = Setting(default="", description="The teacher's modality. Default: the same name.")


def needs(settings: Settings) -> tuple[str, ...]:
    """How the teacher's queries look at its modality."""
    return ((settings.teacher or settings.map) + LOOK,)


def asks(settings: Settings) -> tuple[str, ...]:
    """How the student's look at its own."""
    return (settings.map + LOOK,)


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """No parameters; as many queries in both."""
    from torch import nn

    (student_tap,), (teacher_tap,) = asks(settings), needs(settings)
    for role, name, taps in (("student", student_tap, student), ("teacher", teacher_tap, teacher)):
        if name not in taps:
            known = sorted(tap.removesuffix(LOOK) for tap in taps if tap.endswith(LOOK))
            hint = f"there is: {', '.join(known)}" if known else "use kind attention_transfer or hint"
            modality = name.removesuffix(LOOK)
            raise ValueError(
                f"the {role} has no queries that look at tokens of '{modality}' (fusion kind queries); {hint}"
            )
    if student[student_tap] != teacher[teacher_tap]:
        got = f"the student's queries give {student[student_tap]} numbers"
        raise ValueError(f"{got}, the teacher's {teacher[teacher_tap]}")
    return nn.ModuleDict()


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Spreads (B, Q K) of both -> scalar, over the rows in which both have the modality."""
    from ...attention_maps import STRETCHES

    (name,) = needs(settings)
    teacher_maps = teacher[name].detach()
    row_mask = answered_rows(teacher_maps, student.present.get(settings.map))
    has_attention = teacher_maps.nan_to_num().sum(1) > 0
    if has_attention.device.type != "cpu" or not has_attention.all():  # a device isn't waited for
        row_mask = both(row_mask, has_attention)
    a_s = student.maps[asks(settings)[0]].unflatten(1, (-1, STRETCHES))
    return query_attention_transfer(a_s, teacher_maps.unflatten(1, (-1, STRETCHES)), row_mask)


def query_attention_transfer(student: Tensor, teacher: Tensor, weight: Tensor | None = None) -> Tensor:
    """Attention (B, Q, K) of queries over places, of both; weights (B,) -> scalar (Wang et al. 2020)."""
    a_s, a_t = (_spread(x) for x in clean(weight, exact(student), exact(teacher.detach())))
    return mean((a_t * (a_t.log() - a_s.log())).sum(2).mean(1), weight)


def _spread(x: Tensor) -> Tensor:
    """Shares of the sum, none of them 0."""
    x = x + FLOOR
    return x / x.sum(2, keepdim=True)
